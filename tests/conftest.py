"""Tiny projects on disk, and the real command line over them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bclust.cli.main import main

ROOT = Path(__file__).parent.parent
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as bclust/__main__.py does
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "8")

# A paid function without a network: it answers in upper case, and writes down each time that it was asked.
ASK = '''
"""A paid function for tests."""
from bclust.functions import Answer, CallError, Estimate, Limits, Request, call
import json, pathlib

class Lane:
    def __init__(self, context, name):
        self.limits = Limits(max_concurrency=4, max_retries=0)
        self.log = context.root / "asked.txt"
        self.name = name
    async def answer(self, payloads):
        answers = []
        for payload in payloads:
            prompt = json.loads(payload)["prompt"]
            with self.log.open("a") as file:
                file.write(f"{self.name} {prompt}\\n")
            if (self.log.parent / "broken").exists() and "bad" in prompt:
                raise CallError("the server is down")
            answers.append(Answer(prompt.upper(), input_tokens=3, output_tokens=1, cost_usd=0.01))
        return answers
    def estimate(self, payload):
        return Estimate(3, 1, 0.01)
    async def close(self):
        pass

@call("(prompt VARCHAR, llm_id VARCHAR) -> STRUCT(text VARCHAR, error VARCHAR, cost_usd DOUBLE)", version=1, reads=("llms",))
class Ask:
    """Answers in upper case."""
    def __init__(self, context):
        self.context = context
    def request(self, prompt, llm_id):
        return Request(llm_id, json.dumps({"llm": llm_id, "prompt": prompt}))
    def lane(self, name):
        return Lane(self.context, name)
'''

BASE = {
    "bclust.yml": """
        name: tiny
        vars: {greeting: hello, n: 10}
        calls: {confirm_over_usd: 5}
        sources:
          - {name: raw, files: [data/*.jsonl], required: [text]}
        seeds:
          llms:
            - {llm_id: a}
            - {llm_id: b}
    """,
    "data/texts.jsonl": '{"text": "one"}\n{"text": "two"}\n{"text": "bad three"}\n',
    "udfs/__init__.py": '"""Functions."""\n',
    "udfs/ask.py": ASK,
    "models/texts.sql": "-- the texts\nselect record->>'text' as text from raw limit getvariable('n')",
    "models/answers.sql": """
        with asked as (
            select t.text, l.llm_id, ask(getvariable('greeting') || ' ' || t.text, l.llm_id) as answer
            from texts as t cross join llms as l
        )
        select text, llm_id, answer.text as answer, answer.error as error from asked
    """,
    "models/counts.sql": "select llm_id, count(*) as n, count(error) as errors from answers group by llm_id",
    "models/_models.yml": """
        models:
          - name: answers
            columns:
              - {name: text, data_tests: [not_null]}
            data_tests:
              - unique: {columns: [text, llm_id]}
    """,
}


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


class Project:
    """A project on disk."""

    def __init__(self, root: Path, run: Callable[..., Outcome]) -> None:
        self.root = root
        self._run = run

    def write(self, files: Mapping[str, str | None]) -> Project:
        """Write files (dedented); None deletes one."""
        for name, text in files.items():
            path = self.root / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return self

    def replace(self, name: str, old: str, new: str) -> Project:
        """Change a file in one place."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        (self.root / name).write_text(text.replace(old, new), encoding="utf-8")
        return self

    def run(self, *arguments: str) -> Outcome:
        """Run bclust here."""
        return self._run(self.root, *arguments)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the published warehouse."""
        from bclust.warehouse.database import open_published

        with open_published(self.root / "warehouse.duckdb") as warehouse:
            return warehouse.rows(sql)

    @property
    def asked(self) -> list[str]:
        """What the paid function was asked so far."""
        path = self.root / "asked.txt"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def without_unit_tests(study: Path) -> Path:
    """Take the unit tests out of a new project: `starter` and `make demo` run them, and each build of each copy would again."""
    for path in (study / "models").rglob("*.yml"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"^unit_tests:\n(?:[ #-].*\n|\n)*", "", text, flags=re.MULTILINE), encoding="utf-8")
    return study


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, as `bclust init` hands it out, built: once for all tests, which only look at it."""
    folder = tmp_path_factory.mktemp("starter")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    for place, *arguments in ((folder, "init", "study"), (folder / "study", "build")):
        command = [sys.executable, "-m", "bclust", *arguments]
        outcome = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=1200, check=False)
        assert outcome.returncode == 0, outcome.stderr
    return folder / "study"


@pytest.fixture
def bclust(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run the command line in a folder and see what it prints."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # a file changed twice in a second keeps its old bytecode

    def run(folder: Path, *arguments: str) -> Outcome:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        try:
            main(list(arguments))
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def project(tmp_path: Path, bclust: Callable[..., Outcome]) -> Project:
    """A project with one source, one seed, a paid model between two free ones."""
    return Project(tmp_path, bclust).write(BASE)


@pytest.fixture
def empty_project(tmp_path: Path, bclust: Callable[..., Outcome]) -> Project:
    """A folder to write a project into."""
    return Project(tmp_path, bclust)
