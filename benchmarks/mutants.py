"""Do the unit tests of the models see a mistake? Each mutant is one, made in a copy of the project.

    python benchmarks/mutants.py [--quick] [--only WORDS]

A mutant replaces one text in one file of models/ or udfs/, as a slip of the hand would. The unit tests in yml of all models whose
SQL or functions it changes run in the order of their cost, until one fails: the mutant is killed. It lives where none fails, is
stale where its text is not there exactly once, and broken where a test cannot be run with it. The last line is JSON: mutants,
killed, lived (names, with those that are stale or broken). Exit code 1 where one lives. --quick: every fourth mutant.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

from bclust.build.results import Status
from bclust.build.unit_tests import run_unit_test
from bclust.errors import BclustError
from bclust.project.reading import read_project
from bclust.project.registry import load_functions
from benchmarks._mistakes import MISTAKES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bclust.project.manifest import Manifest
    from bclust.project.nodes import Node, UnitTest

ROOT = Path(__file__).parent.parent
COPIED = ("bclust.yml", "models", "udfs", "seeds", "tests/data", "tests/generic")


@dataclass(frozen=True)
class Mutant:
    """A mistake: ``text``, which stands in ``file`` once, is replaced."""

    file: str
    name: str
    text: str
    replacement: str


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: killed (by which unit test), lived, stale or broken (why)."""

    mutant: Mutant
    fate: str
    by: str
    seconds: float


def mutants(only: str = "", *, quick: bool = False) -> list[Mutant]:
    """All of them, or those with these words in their name or file; ``quick``: every fourth one, the same each time.

    Those of models come first: they run with the functions that were read before any was changed.
    """
    files = sorted(MISTAKES, key=lambda file: file.startswith("udfs/"))
    every = [Mutant(file, *mistake) for file in files for mistake in MISTAKES[file]]
    return [m for m in every if only in f"{m.file} {m.name}"][:: 4 if quick else 1]


def run(chosen: Sequence[Mutant]) -> Iterator[Outcome]:
    """The fate of each mutant. Raises SystemExit where a unit test fails without any."""
    # of a file with the length and the second of the mutant before it, that one's bytecode would be used
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, root / name)
        plain = read_project(root)
        cost: dict[str, float] = {}
        for mutant in chosen:
            started = time.perf_counter()
            fate, by = _fate(mutant, root, plain, cost)
            yield Outcome(mutant, fate, by, time.perf_counter() - started)


def _fate(mutant: Mutant, root: Path, plain: Manifest, cost: dict[str, float]) -> tuple[str, str]:
    path = root / mutant.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(mutant.text) != 1:
        return "stale", f"its text is there {text.count(mutant.text)} times"
    path.write_text(text.replace(mutant.text, mutant.replacement), encoding="utf-8")
    try:
        mutated = _read_again(path, root, plain)
        changed = {name for name, node in mutated.nodes.items() if _made_by(node, mutated) != _made_by(plain.nodes[name], plain)}
    finally:
        path.write_text(text, encoding="utf-8")
    tests = [t for t in plain.unit_tests if t.model in changed]
    for test in (t for t in tests if t.unique_id not in cost):
        cost[test.unique_id] = _seconds(test, plain)
    try:
        return _first_failure(sorted(tests, key=lambda t: cost[t.unique_id]), mutated)
    except BclustError as error:
        return "broken", str(error)


def _seconds(test: UnitTest, plain: Manifest) -> float:
    """How long a unit test takes without a mutant; it must pass."""
    result = run_unit_test(test, plain)
    if result.status is not Status.PASS:
        raise SystemExit(f"{test.name} fails without a mutant: {result.message}")
    return result.seconds


def _read_again(path: Path, root: Path, plain: Manifest) -> Manifest:
    """The project with the one file as it is now: a mutant changes no name, so that what reads what stays."""
    if path.is_relative_to(root / "udfs"):
        return replace(plain, functions=load_functions(root))
    sql = path.read_text(encoding="utf-8").strip().rstrip(";")
    return replace(plain, nodes={**plain.nodes, path.stem: replace(plain.nodes[path.stem], sql=sql)})


def _made_by(node: Node, manifest: Manifest) -> tuple[str, ...]:
    """What a table is made by: its SQL and the functions that it calls."""
    functions = (manifest.functions[name] for name in node.functions)
    return node.sql, *(f.macro_sql or f.source_hash for f in functions)


def _first_failure(tests: Sequence[UnitTest], manifest: Manifest) -> tuple[str, str]:
    for test in tests:
        result = run_unit_test(test, manifest)
        if result.status is Status.FAIL:
            return "killed", test.name
        if result.status is not Status.PASS:
            return "broken", f"{test.name}: {result.message}"
    return "lived", f"{len(tests)} unit tests pass" if tests else "no unit test runs it"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants with these words in their name or file")
    parser.add_argument("--quick", action="store_true", help="every fourth mutant")
    arguments = parser.parse_args()
    outcomes = []
    for outcome in run(mutants(arguments.only, quick=arguments.quick)):
        outcomes.append(outcome)
        m = outcome.mutant
        print(f"{outcome.fate:7} {outcome.seconds:5.1f} s  {Path(m.file).name}: {m.name}\n{'':17}{outcome.by}", flush=True)
    lived = [f"{o.mutant.file}: {o.mutant.name} ({o.fate})" for o in outcomes if o.fate != "killed"]
    print(json.dumps({"mutants": len(outcomes), "killed": len(outcomes) - len(lived), "lived": lived}))
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
