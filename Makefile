# One word per task; the same words in CI.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint fix report bench docs clean

# A virtual environment with what the demo needs.
.venv/demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

# The same with what tests and lint need: torch and transformers (extra `local`), browsers' driver, checkers.
.venv/dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,png,dev]'
	touch $@ .venv/demo

# And with what benchmarks compare with.
.venv/bench: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@ .venv/dev .venv/demo

demo: .venv/demo
	$(BIN)/bclust build --target demo
	$(BIN)/bclust report --target demo --export report.html
	$(BIN)/bclust report --target demo --export target/findings.md && cat target/findings.md
	@printf '\nnext:\n  $(BIN)/bclust report\n  $(BIN)/bclust sql "from approval_rates"\n  $(BIN)/bclust build --target demo    (nothing is asked twice)\n'

test: .venv/dev
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar models tests/data
	$(BIN)/sqlfluff lint --disable-progress-bar --templater placeholder tests/generic
	$(BIN)/python docs/reference/make.py --check

fix: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --disable-progress-bar models tests/data
	$(BIN)/sqlfluff fix --disable-progress-bar --templater placeholder tests/generic
	$(BIN)/python docs/reference/make.py

docs: .venv/dev
	$(BIN)/python docs/reference/make.py

report: .venv/demo
	$(BIN)/bclust report

# The benchmarks; their peers are installed by peers.py itself, into environments of their own.
bench: .venv/bench
	for name in $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)); do $(BIN)/python $$name --quick || exit 1; done

clean:
	rm -rf .venv target build dist
