"""Several builds of one call store at once, and builds that are killed while they ask again, as users start them."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.functional.loopback import Behavior, Counts
from tests.functional.test_paid_calls import EVERYTHING, KEYS, Study, blank, start

__all__ = ["blank"]  # a fixture
FEW = ("--vars", "{n_statements: 24}")


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def started(study: Study, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A build that goes on by itself; what it says is in ``log``."""
    with log.open("w") as file:
        command = study.command("build", "-y", *arguments, *FEW)
        return subprocess.Popen(command, cwd=study.root, env=study.environment(KEYS), stderr=file, stdout=file)


def asked(study: Study) -> dict[str, Counts]:
    return study.chats | {"embedder": study.embedder.counts}


def test_two_targets_at_once_ask_nothing_twice_and_both_have_whole_tables(
    servers: ExitStack, blank: Path, tmp_path: Path
) -> None:
    study = start(servers, blank, tmp_path / "study", Behavior(latency_ms=(60, 200)))
    study.embedder.behavior.latency_ms = (300, 300)
    path = study.root / "bclust.yml"
    path.write_text(path.read_text() + yaml.safe_dump({"default_target": "one", "targets": {"one": {}, "two": {}}}))
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    builds = [started(study, log, "-t", name, "-s", EVERYTHING) for log, name in zip(logs, ("one", "two"), strict=True)]
    assert [build.wait(1200) for build in builds] == [0, 0], logs[0].read_text() + logs[1].read_text()
    for name, counts in asked(study).items():
        assert max(counts.tries.values()) == 1, f"{name} was asked something twice"
    tables = []
    for name in ("warehouse.duckdb", "warehouse.two.duckdb"):
        (study.root / name).replace(study.root / "warehouse.duckdb")
        tables.append(study.tables())
    assert tables[0] == tables[1]
    assert len(tables[0]["responses"]) == 24 * 2
    assert any("wait for another build (PID " in log.read_text() for log in logs)


def test_a_kill_while_asking_again_takes_no_answer_out_of_use_and_the_same_command_goes_on(
    servers: ExitStack, blank: Path, tmp_path: Path
) -> None:
    study = start(servers, blank, tmp_path / "study", Behavior(latency_ms=(30, 60)))
    study.build("-s", "responses", *FEW)
    before = {name: counts.answered.total() for name, counts in study.chats.items()}
    again = started(study, tmp_path / "log", "-s", "responses", "--refresh-calls", "llm")
    until = time.monotonic() + 60
    while sum(c.answered.total() for c in study.chats.values()) < sum(before.values()) + 10 and time.monotonic() < until:
        time.sleep(0.002)
    again.send_signal(signal.SIGKILL)
    again.wait(30)
    assert len(study.stored()) == 48
    with sqlite3.connect(study.root / ".bclust" / "calls.sqlite") as con:
        [(kept,)] = con.execute("select count(*) from superseded")
    con.close()
    assert 0 < kept < 48
    assert "0 new calls, 48 stored" in study.run("plan", "-f", "-s", "responses", *FEW).stdout
    said = study.build("-s", "responses", "--refresh-calls", "llm", *FEW)
    assert f"UTC and goes on: {kept} answers since then are kept" in said
    assert f"calls {48 - kept} new, {kept} cached, 0 failed" in said
    said = study.build("-s", "responses", "--refresh-calls", "llm", *FEW)
    assert "calls 48 new, 0 cached, 0 failed" in said


@pytest.mark.parametrize("table", ["responses", "response_embeddings"])
def test_what_had_been_read_and_not_stored_when_the_build_was_killed_is_not_asked_again(
    servers: ExitStack, blank: Path, tmp_path: Path, table: str
) -> None:
    study = start(servers, blank, tmp_path / "study", Behavior(latency_ms=(400, 400)))
    study.embedder.behavior.latency_ms = (400, 400)
    if table == "response_embeddings":
        study.build("-s", "responses", *FEW)
    counts = [study.embedder.counts] if table == "response_embeddings" else list(study.chats.values())
    build = started(study, tmp_path / "log", "-s", f"+{table}")

    def wait_for(answers: int) -> None:
        until = time.monotonic() + 60
        while sum(c.answered.total() if answers else c.requests for c in counts) < max(1, answers) and time.monotonic() < until:
            time.sleep(0.002)

    wait_for(0)
    with sqlite3.connect(study.root / ".bclust" / "calls.sqlite", isolation_level=None, timeout=30) as con:
        con.execute("begin immediate")
        wait_for(1)
        time.sleep(0.3)  # the answers travel; the next ones are not there yet
        paid = {(name, text) for name, of in asked(study).items() for text in of.answered}
        build.send_signal(signal.SIGKILL)
        build.wait(30)
        [(stored,)] = con.execute("select count(*) from answers where function = ?", ("embed" if len(counts) == 1 else "llm",))
        con.execute("rollback")
    con.close()
    assert stored < len(paid)
    study.build("-s", f"+{table}", *FEW)
    assert {asked(study)[name].tries[text] for name, text in paid} == {1}
