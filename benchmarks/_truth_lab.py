"""Many small warehouses in one process: what was drawn is given, all below it is made by the project's own models."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import multiprocessing
import multiprocessing.pool
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from bclust.warehouse.database import Warehouse

ROOT = Path(__file__).parent.parent
FOLDER = "KNOWN_TRUTH_FOLDER"
PROJECT = """
name: known_truth
vars: %s
sources: [{name: raw_statements, files: [statements/*.jsonl], required: [statement]}]
seeds:
  llms: %s
  embedders: [{embedder: default, provider: lexical}]
  clusterings: [{clustering: main, algorithm: kmeans, n_clusters: %d}]
"""
DRAWN: dict[str, Any] = {  # what differs from bclust.yml: all statements are asked, nobody names clusters
    "n_statements": None, "prompt_types": ["personas", "awareness"], "themes_llm": None, "judge_llm": None,
    "permutations": 200, "stability_resamples": 3, "max_statement_length": 500,
}  # fmt: skip


def write_project(folder: Path, llms: Sequence[Mapping[str, Any]] = (), clusters: int = 12, **variables: Any) -> Path:
    """A project with the models and functions of this one, and settings of its own."""
    from bclust.project.config import plain, read_yaml

    for part in ("models", "udfs", "seeds"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "statements", "_unit_tests.yml"))
    (folder / "statements").mkdir()
    (folder / "statements" / "behavior-00.jsonl").write_text('{"statement": "Nothing is said here."}\n')
    settings = plain(read_yaml(ROOT / "bclust.yml").section("vars")) | DRAWN | variables
    llms = llms or [{"llm_id": "a", "provider": "recorded", "files": ["statements/*.jsonl"]}]
    (folder / "bclust.yml").write_text(PROJECT % (json.dumps(settings), json.dumps(list(llms)), clusters))
    return folder


class Lab:
    """A project that is read once, and as many warehouses in memory as are wanted."""

    def __init__(self, folder: Path) -> None:
        from bclust.project.reading import read_project

        self.manifest = read_project(write_project(folder))

    @contextlib.contextmanager
    def warehouse(self, given: Mapping[str, pa.Table], wanted: Sequence[str], **variables: Any) -> Iterator[Warehouse]:
        """A warehouse with the given tables and, by the models' own SQL, all wanted ones with what they need."""
        from bclust.build.session import Session
        from bclust.build.state import SCHEMA

        with Session(self.manifest, warehouse=None) as session:
            warehouse = session.warehouse
            warehouse.execute(SCHEMA)
            warehouse.execute("set threads = 1")
            warehouse.set_variables(variables)
            for name, table in given.items():
                warehouse.load(f'"{name}"', table)
            if "raw_statements" in given:
                warehouse.execute("alter table raw_statements alter record type json")
            for name in self._missing(given, wanted):
                self._make(warehouse, name)
            yield warehouse

    def tables(self, given: Mapping[str, pa.Table], wanted: Sequence[str], **variables: Any) -> dict[str, list[dict[str, Any]]]:
        """The rows of the wanted tables."""
        with self.warehouse(given, wanted, **variables) as warehouse:
            return {name: warehouse.rows(f'from "{name}"') for name in wanted}

    def _missing(self, given: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
        """The wanted tables and what they need, down to what is given, in building order."""
        needed: set[str] = set()
        layer = {name for name in wanted if name not in given}
        while layer:
            needed |= layer
            layer = {parent for name in layer for parent in self.manifest.graph.parents[name]} - needed - set(given)
        return self.manifest.graph.sorted(needed)

    def _make(self, warehouse: Warehouse, name: str) -> None:
        from bclust.build.plan import load_seed
        from bclust.project.nodes import MODEL

        node = self.manifest.nodes[name]
        if node.kind == MODEL:
            warehouse.run(f'create table "{name}" as\n', node.sql, node.where)
        else:
            load_seed(warehouse, node, f'"{name}"')


@functools.cache
def lab() -> Lab:
    """This process's lab: it has one, however many warehouses it makes."""
    return Lab(Path(tempfile.mkdtemp(dir=_folder())))


def _folder() -> str:
    """Where all processes keep their projects; the first one clears it away."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="known-truth-")
        atexit.register(shutil.rmtree, os.environ[FOLDER], ignore_errors=True)
    return os.environ[FOLDER]


@functools.cache
def _pool(processes: int) -> multiprocessing.pool.Pool:
    _folder()
    return multiprocessing.get_context("spawn").Pool(processes)


def run_all(function: Callable[[Any], Any], jobs: Sequence[Any], processes: int) -> list[Any]:
    """The result of each job, in order; in this process for one, else in that many of their own, which stay."""
    if processes == 1:
        return [function(job) for job in jobs]
    return _pool(processes).map(function, jobs, chunksize=1)


def build_all(function: Callable[[Any], Any], jobs: Sequence[Any], processes: int) -> list[Any]:
    """The same for whole builds: a process holds the functions of one project, so theirs are not those of the lab."""
    _folder()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.map(function, jobs, chunksize=1)
