"""Claims: one asker per question, whoever else builds on the same store, and whatever becomes of him."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bclust.calls import claims as call_claims
from bclust.calls.batch_records import BatchRecords, OpenBatch
from bclust.calls.desk import CallDesk, Summary
from bclust.calls.owners import Process, is_gone, this_process
from bclust.calls.progress import Progress
from bclust.calls.store import Call, CallStore, call_key
from bclust.functions import Answer, CallError, Context
from tests.functional.loopback import Behavior, Loopback
from tests.unit.test_call_batches import Study, questions, this_project
from tests.unit.test_calls import Party, World, answer, look_up, prompts_of

__all__ = ["this_project"]  # a fixture that is used by itself

ELSEWHERE = Process("another machine/1", "boot", "space", 4711, "1")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life come every 50 ms."""
    monkeypatch.setattr(call_claims, "_BEAT_S", 0.05)
    monkeypatch.setattr(call_claims, "_LOOK_S", 0.05)


def key_of(prompt: str) -> bytes:
    return call_key("ask", 1, json.dumps({"lane": "a", "prompt": prompt, "style": None}))


def claims(world: World) -> int:
    con = sqlite3.connect(world.folder / "calls.sqlite")
    [(count,)] = con.execute("select count(*) from claims").fetchall()
    con.close()
    return int(count)


def claimed_by(world: World, process: Process, prompts: list[str]) -> Callable[[], None]:
    """Have some other process claim questions; returns what gives a sign of its life."""
    world.store.do(lambda con: None).result()  # what makes the tables
    con = sqlite3.connect(world.folder / "calls.sqlite", check_same_thread=False, isolation_level=None)
    con.execute("insert into owners values (7, ?, ?, ?, ?, ?, 0, 0)", process)
    con.executemany("insert into claims values (?, 7)", [(key_of(prompt),) for prompt in prompts])
    return lambda: con.execute("update owners set beat = beat + 1 where id = 7") and None


def test_two_builds_at_once_ask_nothing_twice_and_both_have_all_answers(world: World) -> None:
    party = world.party("a", latency=0.01)
    rows = prompts_of(600)
    said: list[str] = []
    done: list[tuple[Summary, CallDesk, list[Any]]] = []

    def build() -> None:
        with CallStore(world.folder / "calls.sqlite") as store:
            desk = CallDesk(store, Context(world.folder))
            look_up(desk, world, rows)
            summary = desk.answer(on_event=lambda p: said.append(p.asked_elsewhere), stop=threading.Event())
            done.append((summary, desk, look_up(desk, world, rows)))

    builds = [threading.Thread(target=build) for _ in range(2)]
    for thread in builds:
        thread.start()
    for thread in builds:
        thread.join()
    assert sorted(party.asked) == sorted(prompt for prompt, _ in rows)
    (first, one, answers), (second, two, same) = done
    assert first.answered + second.answered == 600
    assert answers == same
    assert None not in answers
    assert (first.remaining, second.remaining, one.cached + one.new, two.cached + two.new) == (0, 0, 600, 600)
    assert any(f"wait for another build ({this_process()})" in note for note in said)
    assert claims(world) == 0


CLAIMER = """
import sys, time
from pathlib import Path
from bclust.calls.claims import Claims
from bclust.calls.store import CallStore
import asyncio, json
store = CallStore(Path(sys.argv[1]))
async def main():
    claims = Claims(store)
    taken = await claims.take([bytes.fromhex(key) for key in json.loads(sys.argv[2])])
    print(len(taken.mine), flush=True)
    time.sleep(60)
asyncio.run(main())
"""


def test_the_claims_of_a_killed_process_are_taken_over_at_once_and_those_of_a_living_one_are_not(world: World) -> None:
    party = world.party("a")
    keys = json.dumps([key_of(prompt).hex() for prompt, _ in prompts_of(50)])
    other = subprocess.Popen(
        [sys.executable, "-c", CLAIMER, str(world.folder / "calls.sqlite"), keys], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "50\n"
    desk = world.desk()
    look_up(desk, world, prompts_of(60))
    threading.Timer(1.0, other.kill).start()
    began = time.monotonic()
    asked: list[tuple[float, int]] = []
    summary = desk.answer(on_event=lambda p: asked.append((time.monotonic(), len(party.asked))), stop=threading.Event())
    assert summary.answered == 60
    assert {n for when, n in asked if 0.3 < when - began < 0.9} <= {10}
    assert time.monotonic() - began < 60
    other.wait()


def test_a_process_on_another_machine_is_dead_when_it_gives_no_sign_of_life_whatever_its_clock_says(
    world: World, quick: None
) -> None:
    party = world.party("a")
    sign = claimed_by(world, ELSEWHERE, ["question 0", "question 1"])
    desk = CallDesk(world.store, Context(world.folder))
    look_up(desk, world, prompts_of(4))
    alive = time.monotonic() + 0.8
    seen: list[tuple[float, int]] = []
    said: set[str] = set()

    def show(progress: Progress) -> None:
        if time.monotonic() < alive:
            sign()
        said.add(progress.asked_elsewhere)
        seen.append((time.monotonic(), len(party.asked)))

    assert desk.answer(on_event=show, stop=threading.Event()).answered == 4
    assert {n for when, n in seen if alive - 0.5 < when < alive} == {2}
    assert "2 wait for another build (PID 4711 on another machine)" in said


def test_a_process_that_is_waited_for_in_vain_can_be_left_by_ctrl_c(world: World) -> None:
    party = world.party("a")
    claimed_by(world, this_process(), ["question 0"])
    desk = CallDesk(world.store, Context(world.folder))
    look_up(desk, world, prompts_of(3))
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    summary = answer(desk, stop=stop)
    assert (summary.interrupted, summary.answered, summary.remaining) == (True, 2, 1)
    assert "question 0" not in party.asked


def test_a_stopped_build_gives_up_its_claims(world: World) -> None:
    stop = threading.Event()

    def script(party: Party, prompts: list[str]) -> list[Answer | CallError]:
        if len(party.asked) > 20:
            stop.set()
        return [Answer(p) for p in prompts]

    world.party("a", script, latency=0.01)
    desk = world.desk()
    look_up(desk, world, prompts_of(300))
    assert answer(desk, stop=stop).interrupted
    assert claims(world) == 0


def test_what_failed_elsewhere_is_asked_here(world: World) -> None:
    party = world.party("a", lambda _, prompts: [CallError("no luck") for _ in prompts], latency=0.3)
    done: list[Summary] = []

    def build() -> None:
        with CallStore(world.folder / "calls.sqlite") as store:
            desk = CallDesk(store, Context(world.folder))
            look_up(desk, world, prompts_of(2))
            done.append(answer(desk))

    first = threading.Thread(target=build)
    first.start()
    while not party.asked:
        time.sleep(0.01)
    party.script = lambda _, prompts: [Answer("fine") if len(party.asked) > 3 else CallError("no luck") for _ in prompts]
    build()
    first.join()
    assert sorted((s.answered, s.failed) for s in done) in ([(0, 2), (2, 0)], [(0, 2), (1, 1)], [(1, 1), (1, 1)])
    assert claims(world) == 0


def test_a_build_that_slept_through_its_lease_claims_anew_before_it_asks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    party = world.party("a", latency=0.05, max_concurrency=2)
    desk = world.desk()
    look_up(desk, world, prompts_of(30))
    slept = []

    def show(_: Progress) -> None:
        """After some calls the clock has gone on by an hour, and all that was claimed and not asked is answered by another."""
        if len(party.asked) >= 4 and not slept:
            slept.append(1)
            with CallStore(world.folder / "calls.sqlite") as other:
                for prompt, _ in prompts_of(30):
                    payload = json.dumps({"lane": "a", "prompt": prompt, "style": None})
                    if prompt not in party.asked:
                        other.put(Call(call_key("ask", 1, payload), "ask", 1, "a", payload), Answer("elsewhere"))
            clocks = call_claims._clocks
            monkeypatch.setattr(call_claims, "_clocks", lambda: tuple(now + 3600 for now in clocks()))

    desk.answer(on_event=show, stop=threading.Event())
    assert len(party.asked) == len(set(party.asked)) < 12
    texts = [row["text"] for row in look_up(desk, world, prompts_of(30))]
    assert texts.count("elsewhere") == 30 - len(party.asked)


def test_who_is_gone_is_told_from_who_may_be_there() -> None:
    here = this_process()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    assert not is_gone(here)
    ended.wait()
    assert is_gone(here._replace(pid=ended.pid, started="1"))
    assert is_gone(here._replace(started="1")), "another process has the same number now"
    assert is_gone(here._replace(boot="before")), "the machine was started anew"
    assert not is_gone(here._replace(space="pid:[1]", pid=2**22)), "of another container nothing is certain"
    assert not is_gone(here._replace(host="another/1", pid=2**22))


# --- beside batches ------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    study = Study(tmp_path, "openai")
    yield study
    study.store.close()


def test_a_question_that_goes_into_a_batch_after_a_direct_build_began_is_not_asked_directly(study: Study) -> None:
    with Loopback(Behavior(latency_ms=(30, 30))) as server:
        row = study.row(server, mode="direct", max_concurrency=2)
        desk, answers = study.desk(row, questions(90))
        with CallStore(study.folder / "calls.sqlite") as store:
            records = BatchRecords(store)
            calls = [Call(key, "llm", 1, "x", payload) for misses in desk._misses.values() for key, payload in misses.items()]
            opened: list[OpenBatch] = []

            def show(_: Progress) -> None:
                if server.counts.requests and not opened:
                    opened.append(records.prepare(calls[-4:], ""))

            first = desk.answer(on_event=show, stop=threading.Event())
            assert (first.answered, first.remaining) == (86, 4)
            records.close(opened[0], "unsent")
        assert desk.answer(on_event=lambda _: None, stop=threading.Event()).answered == 4
        assert server.counts.answered.total() == 90
        assert None not in [a["text"] for a in answers()]


def test_a_question_that_another_build_asks_directly_is_in_no_batch(study: Study, quick: None) -> None:
    with Loopback(Behavior(latency_ms=(400, 400))) as server:
        row = study.row(server)
        direct = CallDesk(
            CallStore(study.folder / "calls.sqlite"),
            Context(study.folder, seeds={"llms": [row | {"mode": "direct"}]}, env=study.env),
        )
        first, answers = study.desk(row, questions(6))
        direct._functions, direct._misses = (
            first._functions,
            {name: dict(list(c.items())[:3]) for name, c in first._misses.items()},
        )
        other = threading.Thread(target=lambda: direct.answer(on_event=lambda _: None, stop=threading.Event()))
        other.start()
        while not server.counts.requests:
            time.sleep(0.01)
        first.answer(on_event=lambda _: None, stop=threading.Event())
        other.join()
        direct.store.close()
        assert server.counts.accepted + server.counts.answered == dict.fromkeys(questions(6), 1)
        assert None not in [a["text"] for a in answers()]
