"""Batches as users make them: the real command line in processes that are killed, the real SDKs, and servers that count."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.functional.loopback import Behavior
from tests.functional.test_paid_calls import KEYS, PLANTED, PRICES, Study, blank, contents, servers, start

__all__ = ["blank", "servers"]  # fixtures

LANES = ("gpt", "claude")
GRACE = 2.0
BATCH = {"mode": "batch", "batch_poll_s": 0.05, "batch_grace_s": GRACE, "batch_requests": 4}
KILLS = 30

# Processes of the command line that start at once: everything is imported before they fork.
FORKING = """
import json, os, sys
import anthropic, duckdb, httpx2, openai, pyarrow, rich.console, sqlglot
import bclust.build, bclust.cli, bclust.session
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        log = os.open("build.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.argv[1:] = json.loads(line)
        bclust.cli.main(sys.argv[1:])
        sys.stderr.flush()
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass
class Batched:
    """A study whose language models are asked in batches, and the moments at which its builds are killed."""

    study: Study
    few: str
    _forking: subprocess.Popen[str] | None = field(default=None)

    @property
    def build(self) -> tuple[str, ...]:
        return ("build", "-y", "-s", "responses", "--vars", self.few)

    def records(self, sql: str) -> list[tuple[Any, ...]]:
        path = self.study.root / ".bclust" / "calls.sqlite"
        try:
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as store:
                return store.execute(sql).fetchall()
        except sqlite3.OperationalError:  # no store, or no batch, yet
            return []

    def count(self, condition: str) -> int:
        rows = self.records(f"select count(*) from batches where closed_at is null and {condition}")
        return int(rows[0][0]) if rows else 0

    @property
    def accepted(self) -> int:
        return sum(len(server.batches.made) for server in (self.study.gpt, self.study.claude))

    @property
    def answered(self) -> int:
        rows = self.records("select count(*) from answers where function = 'llm'")
        return int(rows[0][0]) if rows else 0

    def kill_when(self, reached: Callable[[], bool], patience: float) -> None:
        """Start a build and end it with SIGKILL at some moment."""
        forking = self._forking
        assert forking is not None
        assert forking.stdin is not None
        assert forking.stdout is not None
        forking.stdin.write(json.dumps(self.build) + "\n")
        forking.stdin.flush()
        pid = int(forking.stdout.readline())
        until = time.monotonic() + patience
        try:
            while not reached() and time.monotonic() < until:
                time.sleep(0.002)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it came to its end before
                os.kill(pid, signal.SIGKILL)
        assert int(forking.stdout.readline()) in (-signal.SIGKILL, 0), (self.study.root / "build.log").read_text()

    @contextlib.contextmanager
    def quick_starts(self) -> Iterator[None]:
        with subprocess.Popen(
            [sys.executable, "-c", FORKING], cwd=self.study.root, env=self.study.environment(KEYS), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as self._forking:  # fmt: skip
            yield
            self._forking.communicate()

    def finish(self) -> None:
        for server in (self.study.gpt, self.study.claude):
            server.behavior.batch_late_s = server.behavior.batch_hold_s = 0.0
            server.batches.finish()

    def each_once(self, n: int) -> bool:
        """Every question was accepted once, and by no other way."""
        return all(
            counts.answered.total() == 0 and len(counts.accepted) == counts.accepted.total() == n
            for counts in self.study.chats.values()
        )


def batched(servers: ExitStack, blank: Path, root: Path, n: int, behavior: Callable[[], Behavior], **settings: Any) -> Batched:
    study = start(servers, blank, root, behavior(), behavior(), **BATCH, **settings)
    return Batched(study, f"{{n_statements: {n}}}")


def test_batches_of_a_killed_process_are_collected_by_another_and_the_plan_says_what_waits(
    servers: ExitStack, blank: Path, tmp_path: Path
) -> None:
    batches = batched(servers, blank, tmp_path / "study", 10, lambda: Behavior(batch_s=600), **PRICES)
    study = batches.study
    whole = study.run("plan", "-s", "responses", "--vars", batches.few).stdout
    direct = study.root / "bclust.yml"
    half = float(re.search(r"est\. \$([\d.]+)", whole.splitlines()[-1])[1])  # type: ignore[index]
    text = direct.read_text()
    direct.write_text(text.replace("mode: batch", "mode: direct"))
    listed = study.run("plan", "-s", "responses", "--vars", batches.few).stdout
    assert half == pytest.approx(float(re.search(r"est\. \$([\d.]+)", listed.splitlines()[-1])[1]) / 2, abs=0.01)  # type: ignore[index]
    direct.write_text(text)

    with batches.quick_starts():
        batches.kill_when(lambda: batches.count("remote_id is not null") == 6, 60)
    assert batches.count("remote_id is not null") == 6
    log = (study.root / "build.log").read_text()
    assert "batches with" in log
    assert "Ctrl-C stops waiting" in log
    plan = study.run("plan", "-s", "responses", "--vars", batches.few).stdout
    assert re.findall(r"llm (\w+) +0 new, 0 stored, 10 wait in open batches", plan) == ["claude", "gpt"]
    assert plan.splitlines()[-1].endswith("0 new calls, 0 stored · est. $0.00")
    stats = study.run("calls", "stats").stdout
    assert "open batches" in stats
    assert len(re.findall(r"bclust-\w{24}", stats)) == 6

    batches.finish()
    said = study.build("-s", "responses", "--vars", batches.few)
    assert "calls 20 new, 0 cached, 0 failed" in said
    assert batches.each_once(10)
    assert "calls 0 new" in study.build("-s", "responses", "--vars", batches.few, "-f", "--offline", keys={})
    assert [str(p) for p, content in contents(study.root) if PLANTED.encode() in content] == []


def test_ctrl_c_says_what_waits_and_the_same_command_collects_it(servers: ExitStack, blank: Path, tmp_path: Path) -> None:
    batches = batched(servers, blank, tmp_path / "study", 6, lambda: Behavior(batch_s=600))
    study = batches.study
    process = subprocess.Popen(
        study.command(*batches.build), cwd=study.root, env=study.environment(KEYS), stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while batches.count("remote_id is not null") < 4 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "12 questions wait in open batches" in said
    assert "go on with the same command" in said
    batches.finish()
    assert "calls 12 new" in study.build(*batches.build[2:])
    assert batches.each_once(6)


def test_a_kill_between_sending_and_writing_down_and_a_request_that_arrives_late_are_each_found(
    servers: ExitStack, blank: Path, tmp_path: Path
) -> None:
    """The first process dies when a server has its batch and has not told it; the second while one is on its way."""
    batches = batched(servers, blank, tmp_path / "study", 6, lambda: Behavior(batch_hold_s=1.2, batch_s=0.3))
    with batches.quick_starts():
        batches.kill_when(lambda: batches.accepted >= 2, 60)
        assert (batches.accepted, batches.count("sent_at is not null and remote_id is null")) == (2, 2)
        for server in (batches.study.gpt, batches.study.claude):
            server.behavior.batch_hold_s, server.behavior.batch_late_s = 0.0, 1.0
        seen = batches.accepted
        batches.kill_when(lambda: batches.count("sent_at is not null and remote_id is null and questions = 2") == 2, 60)
        assert batches.accepted == seen, "it is on its way"
        batches.kill_when(lambda: False, 0.6)
    batches.finish()
    said = batches.study.build(*batches.build[2:])
    assert "0 failed" in said
    assert batches.each_once(6)
    assert batches.count("true") == 0
    assert len(batches.study.responses()) == 12


def test_thirty_kills_at_any_moment_submit_nothing_twice_and_lose_nothing(
    servers: ExitStack, blank: Path, tmp_path: Path
) -> None:
    draw = random.Random(7)
    slow = Behavior(batch_late_s=0.06, batch_hold_s=0.06, batch_s=0.3)
    batches = batched(servers, blank, tmp_path / "study", 200, lambda: Behavior(**vars(slow)))
    at_death: Counter[str] = Counter()
    submitted = "remote_id is not null"
    lengths = {"any moment": 2, "prepared": 1, "sent": 2, "accepted": 3, "submitted": 1, "collecting": 2}
    moments = [name for name, n in lengths.items() for _ in range(n)]
    with batches.quick_starts():
        for _ in range(KILLS):
            moment = draw.choice(moments)
            before = (batches.accepted, batches.answered, batches.count(submitted))

            def reached(moment: str = moment, before: tuple[int, int, int] = before) -> bool:
                return {
                    "any moment": lambda: False,
                    "prepared": lambda: batches.count("sent_at is null") > 0,
                    "sent": lambda: batches.count("sent_at is not null and remote_id is null") > 0,
                    "accepted": lambda: batches.accepted > before[0],
                    "collecting": lambda: batches.answered > before[1],
                    "submitted": lambda: batches.count(submitted) > before[2],
                }[moment]()

            batches.kill_when(reached, draw.uniform(0.3, 2.0) if moment == "any moment" else 4.0)
            named = {row[0] for row in batches.records("select remote_id from batches where remote_id is not null")}
            made = [b.id for s in (batches.study.gpt, batches.study.claude) for b in s.batches.made]
            at_death["prepared"] += batches.count("sent_at is null") > 0
            at_death["sent"] += batches.count("sent_at is not null and remote_id is null") > 0
            at_death["at the server, not written down"] += any(name not in named for name in made)
            at_death["submitted"] += batches.count(submitted) > 0
            at_death["some answered"] += 0 < batches.answered < 400
    kept = batches.answered
    batches.finish()
    said = batches.study.build(*batches.build[2:])
    sys.stdout.write(f"\nat {KILLS} kills: {dict(at_death)}; answers before the last build: {kept}\n")
    assert 0 < kept < 400, "the kills came too early or too late to prove anything"
    assert f"calls {400 - kept} new, {kept} cached, 0 failed" in said
    assert batches.each_once(200)
    assert batches.count("true") == 0
    assert all(row["response"] for row in batches.study.responses())
    assert len(batches.study.responses()) == 400
    assert at_death["at the server, not written down"] >= 3
    assert at_death["sent"] >= 3
    assert at_death["submitted"] >= 3
