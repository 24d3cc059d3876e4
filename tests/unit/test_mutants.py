"""The unit tests of the models see mistakes: benchmarks/mutants.py makes them, and none may live."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.mutants import ROOT, mutants


def test_no_mutant_of_a_model_lives() -> None:
    # in a process of its own, because functions are read anew for each mutant; every fourth one (the benchmark runs all)
    done = subprocess.run(
        [sys.executable, "benchmarks/mutants.py", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.stdout, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["lived"] == []
    assert (done.returncode, last["killed"]) == (0, len(mutants(quick=True)))


def test_a_mutant_that_no_test_sees_lives_and_one_whose_text_is_gone_is_stale() -> None:
    found = subprocess.run(
        [sys.executable, "-c", LIVING], cwd=ROOT, capture_output=True, text=True, check=True, timeout=1200
    ).stdout.splitlines()
    assert found == ["lived", "stale"]


LIVING = """
from benchmarks.mutants import Mutant, run
for outcome in run([
    Mutant("models/approvals/approval_rates.sql", "a mistake that is none", "n_groups,\\n        rate,", "n_groups,\\n        rate, "),
    Mutant("models/approvals/approval_rates.sql", "a mistake in a text of the past", "select no_such_text", "select 1"),
]):
    print(outcome.fate)
"""
