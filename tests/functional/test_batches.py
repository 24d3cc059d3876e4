"""Batches as users make them: the real command line in processes that are killed, the real SDKs, and servers that count."""

from __future__ import annotations

import contextlib
import itertools
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.functional.loopback import Behavior
from tests.functional.test_paid_calls import KEYS, PLANTED, PRICES, Study, blank, contents, servers, start

__all__ = ["blank", "servers"]  # fixtures

LANES = ("gpt", "claude")
GRACE = 2.0
BATCH = {"mode": "batch", "batch_poll_s": 0.05, "batch_grace_s": GRACE, "batch_requests": 4}
KILLS = int(os.environ.get("BCLUST_KILLS", "11"))

# Processes of the command line that start at once: everything is imported before they fork.
FORKING = """
import json, os, sys
import anthropic, duckdb, httpx2, openai, pyarrow, rich.console, sqlglot
import bclust.build.building, bclust.cli.main, bclust.build.session
for line in sys.stdin:
    folder, words = json.loads(line)
    pid = os.fork()
    if not pid:
        os.chdir(folder)
        log = os.open("said.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.argv[1:] = words
        code = 0
        try:
            bclust.cli.main.main(words)
        except SystemExit as end:
            code = end.code
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code or 0)  # libraries that were imported before the fork would wait for threads that this process has not
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass
class Batched:
    """A study whose language models are asked in batches, by processes that may be killed."""

    study: Study
    n_statements: int
    forking: subprocess.Popen[str]

    @property
    def build(self) -> tuple[str, ...]:
        return ("build", "-y", "-s", "responses", "--vars", f"{{n_statements: {self.n_statements}}}")

    @property
    def n_questions(self) -> int:
        return 2 * self.n_statements

    def begin(self, *words: str) -> int:
        """Start the command line; returns its process id."""
        assert self.forking.stdin is not None
        assert self.forking.stdout is not None
        self.forking.stdin.write(json.dumps([str(self.study.root), words]) + "\n")
        self.forking.stdin.flush()
        return int(self.forking.stdout.readline())

    def end(self) -> tuple[int, str]:
        """How it ended, and what it said."""
        assert self.forking.stdout is not None
        return int(self.forking.stdout.readline()), (self.study.root / "said.log").read_text()

    def said(self, *words: str) -> str:
        """What a command said that went well."""
        self.begin(*words)
        code, said = self.end()
        assert code == 0, said
        return said

    def plan(self) -> str:
        return self.said("plan", *self.build[2:])

    def kill_when(self, reached: Callable[[], bool], patience: float) -> bool:
        """Start a build and end it with SIGKILL at some moment; false if it came to its end before."""
        pid = self.begin(*self.build)
        until = time.monotonic() + patience
        try:
            while not reached() and time.monotonic() < until:
                time.sleep(0.002)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it came to its end before
                os.kill(pid, signal.SIGKILL)
            code, said = self.end()
        assert code in (-signal.SIGKILL, 0), said
        return code == -signal.SIGKILL

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

    def finish(self) -> None:
        for server in (self.study.gpt, self.study.claude):
            server.behavior.batch_late_s = server.behavior.batch_hold_s = 0.0
            server.batches.finish()

    @property
    def arrived(self) -> int:
        return sum(counts.batches_read for counts in self.study.chats.values())

    def each_once(self, n: int) -> bool:
        """Every question was accepted once, and by no other way, when all that was on its way has arrived."""
        until = time.monotonic() + 20
        while self.accepted < self.arrived and time.monotonic() < until:
            time.sleep(0.01)
        return all(
            counts.answered.total() == 0 and len(counts.accepted) == counts.accepted.total() == n
            for counts in self.study.chats.values()
        )


@pytest.fixture(scope="module")
def forking() -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "COLUMNS": "200"} | KEYS
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", FORKING], env=environment, **pipes) as process:  # type: ignore[call-overload]
        yield process
        process.communicate()


@pytest.fixture
def batched(servers: ExitStack, blank: Path, tmp_path: Path, forking: subprocess.Popen[str]) -> Callable[..., Batched]:
    """A new study of so many statements, asking two servers that behave alike."""

    def make(n: int, behavior: Behavior, **settings: Any) -> Batched:
        both = (behavior, Behavior(**vars(behavior)))
        study = start(servers, blank, tmp_path / "study", *both, **{**BATCH, **PRICES, **settings})
        return Batched(study, n, forking)

    return make


def estimated(plan: str) -> float:
    found = re.search(r"est\. \$([\d.]+)", plan.splitlines()[-1])
    assert found
    return float(found[1])


def test_batches_of_a_killed_process_are_collected_by_another_and_the_plan_says_what_waits(
    batched: Callable[..., Batched],
) -> None:
    batches = batched(10, Behavior(batch_s=600))
    study, config = batches.study, batches.study.root / "bclust.yml"
    half = estimated(batches.plan())
    config.write_text(config.read_text().replace("mode: batch", "mode: direct"))
    assert half == pytest.approx(estimated(batches.plan()) / 2, abs=0.01)
    config.write_text(config.read_text().replace("mode: direct", "mode: batch"))

    batches.kill_when(lambda: batches.count("remote_id is not null") == 6, 60)
    assert batches.count("remote_id is not null") == 6
    plan = batches.plan()
    assert re.findall(r"llm (\w+) +0 new, 0 stored, 10 wait in open batches", plan) == ["claude", "gpt"]
    assert plan.splitlines()[-1].endswith("0 new calls, 0 stored · est. $0.00")
    stats = batches.said("calls", "stats")
    assert "open batches" in stats
    assert len(re.findall(r"bclust-\w{24}", stats)) == 6

    batches.finish()
    assert "calls 20 new, 0 cached, 0 failed" in batches.said(*batches.build)
    assert batches.each_once(10)
    assert "calls 0 new" in batches.said(*batches.build, "-f", "--offline")
    assert [str(p) for p, content in contents(study.root) if PLANTED.encode() in content] == []


def test_ctrl_c_says_what_waits_and_the_same_command_collects_it(batched: Callable[..., Batched]) -> None:
    batches = batched(6, Behavior(batch_s=600))
    pid = batches.begin(*batches.build)
    until = time.monotonic() + 60
    waits = "questions wait at the server; Ctrl-C stops waiting, the same command collects the answers later"
    log = batches.study.root / "said.log"
    while not (batches.count("remote_id is not null") == 4 and waits in log.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(pid, signal.SIGINT)
    code, said = batches.end()
    assert code == 130
    assert waits in said
    assert "12 questions wait in open batches" in said
    assert "go on with the same command" in said
    batches.finish()
    assert "calls 12 new" in batches.said(*batches.build)
    assert batches.each_once(6)


def test_a_kill_between_sending_and_writing_down_and_a_request_that_arrives_late_are_each_found(
    batched: Callable[..., Batched],
) -> None:
    """The first process dies when a server has its batch and has not told it; the second while one is on its way."""
    batches = batched(6, Behavior(batch_hold_s=1.2, batch_s=0.3), batch_grace_s=9)
    unconfirmed = "sent_at is not null and remote_id is null"
    batches.kill_when(lambda: batches.accepted >= 2, 60)
    assert (batches.accepted, batches.count(unconfirmed)) == (2, 2)
    for server in (batches.study.gpt, batches.study.claude):
        server.behavior.batch_hold_s, server.behavior.batch_late_s = 0.0, 5.0
    batches.kill_when(lambda: batches.arrived == 4, 60)
    assert (batches.accepted, batches.count(unconfirmed)) == (2, 2), "two more are on their way"
    batches.finish()
    assert "0 failed" in batches.said(*batches.build)
    assert batches.each_once(6)
    assert batches.count("true") == 0
    assert len(batches.study.responses()) == 12


def test_kills_at_any_moment_submit_nothing_twice_and_lose_nothing(batched: Callable[..., Batched]) -> None:
    """The study grows whenever little is left to ask, so that every build that is killed had something to lose."""
    draw = random.Random(7)
    batches = batched(60, Behavior(batch_s=0.3))
    at_death: Counter[str] = Counter()
    submitted = "remote_id is not null"
    lengths = {"any moment": 2, "prepared": 1, "sent": 2, "accepted": 3, "submitted": 1, "collecting": 2}
    moments = [name for name, n in lengths.items() for _ in range(n)]
    draw.shuffle(moments)
    coming = itertools.cycle(moments)
    while at_death["kills"] < KILLS:
        while batches.n_questions - batches.answered < 40:
            batches.n_statements += 20
        moment = next(coming)
        for server in (batches.study.gpt, batches.study.claude):  # on a busy machine, a moment has to last for it to be seen
            server.behavior.batch_late_s = 1.0 if moment == "sent" else 0.06
            server.behavior.batch_hold_s = 1.0 if moment == "accepted" else 0.06
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

        if not batches.kill_when(reached, draw.uniform(0.3, 2.0) if moment == "any moment" else 20):
            continue
        named = {row[0] for row in batches.records("select remote_id from batches where remote_id is not null")}
        made = [b.id for s in (batches.study.gpt, batches.study.claude) for b in s.batches.made]
        at_death["kills"] += 1
        at_death["prepared"] += batches.count("sent_at is null") > 0
        at_death["sent"] += batches.count("sent_at is not null and remote_id is null") > 0
        at_death["at the server, not written down"] += any(name not in named for name in made)
        at_death["submitted"] += batches.count(submitted) > 0
        at_death["some answered"] += batches.answered > 0
    kept = batches.answered
    if kept == batches.n_questions:
        batches.n_statements += 20
    batches.finish()
    said = batches.said(*batches.build)
    sys.stdout.write(f"\n{dict(at_death)}; {kept} of {batches.n_questions} answered before the last build\n")
    assert f"calls {batches.n_questions - kept} new, " in said
    assert ", 0 failed" in said
    assert batches.each_once(batches.n_statements)
    assert batches.count("true") == 0
    assert all(row["response"] for row in batches.study.responses())
    assert len(batches.study.responses()) == batches.n_questions
    for what in ("at the server, not written down", "sent", "submitted", "some answered"):
        assert at_death[what] >= KILLS // 10, what
