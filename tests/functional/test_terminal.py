"""What steers a terminal is printed nowhere, and stands in no file but where it is data: Parquet, and JSON's escapes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import duckdb
import pytest

from tests.conftest import ROOT, Project

STEERING = {
    "title": "\x1b]0;pwned\x07", "clipboard": "\x1b]52;c;cHduZWQ=\x07", "link": "\x1b]8;;http://evil.example\x1b\\here",
    "clear": "\x1b[2J", "c1": "\x9b2J", "back": "No\x08\x08Yes", "return": "No\rYes", "turned": "\u202eabc\u2066", "delete": "\x7f",
    "null": "a\x00b", "line": "a\u2028b", "mark": "\u200fa",
}  # fmt: skip
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u202a-\u202e\u2066-\u2069]")
COLORS = re.compile(r"\x1b\[[\d;]*m")  # our own


@pytest.fixture
def steering(project: Project) -> Project:
    rows = ", ".join(f"('{kind}', {'||'.join(f'chr({ord(c)})' for c in text)})" for kind, text in STEERING.items())
    path = project.root / "models" / "steering.sql"
    path.write_text(f"select col0 as kind, col1 as said, [col1] as listed, {{'a': col1}} as packed from (values {rows})\n")
    project.run("build", "-s", "steering")
    return project


@pytest.mark.parametrize("format_", ["table", "csv", "json"])
@pytest.mark.parametrize("command", [("show", "steering", "--limit", "99"), ("sql", "from steering order by kind")])
def test_nothing_that_is_printed_steers(steering: Project, command: tuple[str, ...], format_: str) -> None:
    out = steering.run(*command, "--format", format_).out
    assert not HARMFUL.search(out)
    assert "pwned" in out
    if format_ == "json":
        assert {row["kind"]: row["said"] for row in json.loads(out)} == STEERING


def test_nothing_that_is_printed_on_a_terminal_steers(steering: Project) -> None:
    main, secondary = pty.openpty()
    command = [sys.executable, "-m", "bclust", "show", "steering", "--limit", "99"]
    process = subprocess.Popen(
        command,
        cwd=steering.root,
        stdout=secondary,
        stderr=secondary,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm"},
    )
    os.close(secondary)
    said = b""
    try:
        while piece := os.read(main, 65_536):
            said += piece
    except OSError:  # how a terminal says that the other side is gone
        pass
    os.close(main)
    assert process.wait(30) == 0
    text = COLORS.sub("", said.decode()).replace("\r\n", "\n")
    assert "pwned" in text
    assert not HARMFUL.search(text)


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_files_hold_marks_escapes_or_the_data(steering: Project, format_: str) -> None:
    path = steering.root / f"out.{format_}"
    steering.run("sql", "select kind, said, listed from steering", "--format", format_, "-o", str(path))
    if format_ != "parquet":
        assert not HARMFUL.search(path.read_bytes().decode())
    if format_ == "json":
        assert {row["kind"]: row["said"] for row in json.loads(path.read_text())} == STEERING
    if format_ == "parquet":
        assert dict(duckdb.sql(f"select kind, said from '{path}'").fetchall()) == STEERING


def test_names_and_errors_do_not_steer(project: Project) -> None:
    project.replace("bclust.yml", "llm_id: a", 'llm_id: "a\\e[2J"')
    for command in (
        ("plan",),
        ("build",),
        ("calls", "stats"),
        ("sql", "select '\x1b[2J' from nowhere"),
        ("show", "no\x1b[2Jwhere"),
    ):
        outcome = project.run(*command)
        assert not HARMFUL.search(outcome.out + outcome.err), command


def test_half_a_character_costs_its_line(project: Project) -> None:
    path = next(project.root.glob("seeds/**/*.jsonl"), None) or next(project.root.glob("**/*.jsonl"))
    good = path.read_text().splitlines()[0]
    record = json.loads(good)
    name = next(k for k, v in record.items() if isinstance(v, str))
    path.write_text(good + "\n" + json.dumps(record | {name: "x"}).replace('"x"', r'"an emoji \ud83d"') + "\n")
    outcome = project.run("build")
    assert "Traceback" not in outcome.err
    rejected = project.run("sql", "select reason from _bclust.rejected_rows", "--working", "--format", "csv")
    assert "half a character" in rejected.out + outcome.err
