"""Collect, call, replay: what is asked, how often, how fast, for how much, and what comes back into SQL."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from bclust.calls.desk import CallDesk, Summary
from bclust.calls.limits import Budget, Concurrency, Pace
from bclust.calls.progress import Progress
from bclust.calls.store import CallStore
from bclust.errors import BudgetError, FunctionError, StoreError
from bclust.functions import Answer, CallError, Context, Estimate, Limits, Request, Spec
from bclust.project.registry import Function
from bclust.project.sql_types import parse_signature, sql_type

SIGNATURE = (
    "(prompt VARCHAR, lane VARCHAR, style VARCHAR := NULL) -> STRUCT(text VARCHAR, error VARCHAR, finish_reason VARCHAR,"
    " input_tokens INTEGER, output_tokens INTEGER, latency_ms DOUBLE, cost_usd DOUBLE, answered_at TIMESTAMP, detail VARCHAR)"
)
Script = Callable[["Party", list[str]], Sequence[Answer | CallError]]


CHEAP = Estimate(3, 2, 0.25)


class Party:
    """A lane that answers as its script says, and keeps what it was asked."""

    def __init__(self, script: Script, limits: Limits, latency: float, estimate: Estimate) -> None:
        self.script, self.limits, self.latency, self._estimate = script, limits, latency, estimate
        self.asked: list[str] = []
        self.batches: list[list[str]] = []
        self.times: list[float] = []
        self.in_flight = self.most_in_flight = self.closed = 0

    async def answer(self, payloads: Sequence[str]) -> Sequence[Answer | CallError]:
        prompts = [json.loads(p)["prompt"] for p in payloads]
        self.asked += prompts
        self.batches.append(prompts)
        self.times.append(time.monotonic())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            return self.script(self, prompts)
        finally:
            self.in_flight -= 1

    def estimate(self, payload: str) -> Estimate:
        return self._estimate

    async def close(self) -> None:
        self.closed += 1


def upper(_: Party, prompts: list[str]) -> list[Answer | CallError]:
    return [Answer(p.upper(), "stop", 3, 2, 0.25, detail='{"a": 1}') for p in prompts]


class World:
    """A store, parties by name, and a desk for each build."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parties: dict[str, Party] = {}
        self.store = CallStore(folder / "calls.sqlite")
        self.env: dict[str, str] = {}
        self.version = 1
        self.returns = SIGNATURE

    def party(
        self, name: str, script: Script = upper, *, latency: float = 0.0, estimate: Estimate = CHEAP, **limits: Any
    ) -> Party:
        self.parties[name] = Party(script, Limits(**{"timeout_s": 5.0, **limits}), latency, estimate)
        return self.parties[name]

    def desk(self, **options: Any) -> CallDesk:
        """A new build (with the store opened anew, as a new process would)."""
        self.store.close()
        self.store = CallStore(self.folder / "calls.sqlite", read_only=options.pop("read_only", False))
        return CallDesk(self.store, Context(self.folder, env=self.env), **options)

    @property
    def function(self) -> Function:
        parties = self.parties

        class Caller:
            def __init__(self, context: Context) -> None: ...

            def request(self, prompt: str, lane: str, style: str | None = None) -> Request | None:
                return (
                    None if prompt == "nothing" else Request(lane, json.dumps({"lane": lane, "prompt": prompt, "style": style}))
                )

            def lane(self, name: str) -> Party:
                if name not in parties:
                    raise FunctionError(f"there is no lane {name}")
                return parties[name]

        signature = parse_signature(self.returns)
        return Function(
            "ask", "call", Path("ask.py"), "", signature=signature, spec=Spec("call", "", self.version), target=Caller
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


def prompts_of(n: int, start: int = 0) -> list[tuple[str, str]]:
    return [(f"question {i}", "a") for i in range(start, start + n)]


def look_up(desk: CallDesk, world: World, rows: Sequence[tuple[str | None, str | None]]) -> list[Any]:
    desk.start_pass()
    function = desk.arrow_function(world.function)
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(columns[0], pa.string()), pa.array(columns[1], pa.string()), pa.nulls(len(rows), pa.string())]
    return function(*arrays).to_pylist()


def answer(desk: CallDesk, budget: Budget | None = None, stop: threading.Event | None = None) -> Summary:
    return desk.answer(on_event=lambda _: None, stop=stop or threading.Event(), budget=budget)


# --- collect and replay ------------------------------------------------------------------------------------------


def test_a_question_is_null_and_recorded_until_it_is_answered_and_then_has_all_its_fields(world: World) -> None:
    world.party("a")
    desk = world.desk()
    assert look_up(desk, world, [("hi", "a"), ("hi", "a"), ("ho", "a")]) == [None] * 3
    assert (dict(desk.misses), desk.looked_up, desk.hits) == ({("ask", "a"): 2}, 3, 0)
    summary = answer(desk)
    assert (summary.answered, summary.failed, summary.remaining, summary.cost_usd) == (2, 0, 0, 0.5)
    first, again, _ = look_up(desk, world, [("hi", "a"), ("hi", "a"), ("ho", "a")])
    assert (desk.misses.total(), desk.looked_up, desk.hits) == (0, 3, 3)
    assert first == again
    assert first["text"] == "HI"
    assert (first["error"], first["finish_reason"], first["input_tokens"], first["output_tokens"]) == (None, "stop", 3, 2)
    assert (first["cost_usd"], first["detail"]) == (0.25, '{"a": 1}')
    assert first["latency_ms"] >= 0
    assert abs(first["answered_at"].timestamp() - time.time()) < 86_400
    assert (desk.new, desk.cached, desk.failed, desk.cost) == (2, 0, 0, 0.5)


def test_a_second_build_asks_nothing(world: World) -> None:
    party = world.party("a")
    rows = prompts_of(50)
    for new, cached in ((50, 0), (0, 50)):
        desk = world.desk()
        look_up(desk, world, rows)
        answer(desk)
        assert all(row["text"] for row in look_up(desk, world, rows))
        assert (desk.new, desk.cached) == (new, cached)
    assert sorted(party.asked) == sorted(prompt for prompt, _ in rows)


def test_another_version_of_a_function_asks_again(world: World) -> None:
    party = world.party("a")
    for version in (1, 2, 1):
        world.version = version
        desk = world.desk()
        look_up(desk, world, prompts_of(3))
        answer(desk)
    assert len(party.asked) == 6


def test_null_arguments_and_questions_without_content_are_null_and_only_the_former_count_as_unanswered(world: World) -> None:
    world.party("a")
    desk = world.desk()
    assert look_up(desk, world, [(None, "a"), ("hi", None), ("nothing", "a")]) == [None] * 3
    assert (desk.misses.total(), desk.unanswered["ask"]) == (0, 2)


def test_duckdb_threads_collect_every_question_once(world: World) -> None:
    world.party("a")
    desk = world.desk()
    look_up_ = desk.arrow_function(world.function)
    con = duckdb.connect()
    con.execute("set threads = 4")
    signature = world.function.signature
    assert signature is not None

    def three(prompt: Any, lane: Any, style: Any) -> Any:  # DuckDB counts the parameters
        return look_up_(prompt, lane, style)

    types = [sql_type(p.type) for p in signature.parameters]
    con.create_function("_ask", three, types, sql_type(signature.returns), type="arrow", null_handling="special")
    con.execute(world.function.create_sql())
    con.execute("create table t as select 'question ' || (i % 150000) as prompt from range(400000) r(i)")
    con.execute("create table r as select prompt, ask(prompt, 'a') as answer from t")
    assert desk.misses == {("ask", "a"): 150_000}
    assert con.sql("select count(answer) from r").fetchall() == [(0,)]


def test_two_names_of_one_party_ask_each_question_once_in_whatever_chunks_they_come(world: World) -> None:
    parties = [world.party("a"), world.party("b")]
    function = world.function
    assert function.target is not None
    function.target.request = lambda _, prompt, lane, __=None: Request(lane, json.dumps({"prompt": prompt}))
    desk = world.desk()
    ask = desk.arrow_function(function)
    for _ in range(2):
        rows = [ask(pa.array(["q1", "q2"]), pa.array([lane] * 2), pa.nulls(2, pa.string())).to_pylist() for lane in "ab"]
        if desk.misses:
            assert desk.misses.total() == 2
            answer(desk)
    assert [[row["text"] for row in some] for some in rows] == [["Q1", "Q2"]] * 2
    assert sorted(q for party in parties for q in party.asked) == ["q1", "q2"]


def test_vectors_come_back_as_float_lists(world: World) -> None:
    vectors = {f"question {i}": np.linspace(0, i, 5, dtype=np.float32) for i in range(3)}
    world.returns = "(text VARCHAR, lane VARCHAR, style VARCHAR := NULL) -> STRUCT(vector FLOAT[], error VARCHAR)"
    world.party("a", lambda _, prompts: [Answer(vectors[p].tobytes()) if p in vectors else CallError("no") for p in prompts])
    desk = world.desk()
    rows = [*prompts_of(3), ("nothing", "a"), ("bad", "a")]
    look_up(desk, world, rows)
    answer(desk)
    found = look_up(desk, world, rows)
    for i in range(3):
        np.testing.assert_array_equal(np.float32(found[i]["vector"]), vectors[f"question {i}"])
    assert found[3] is None
    assert found[4] == {"vector": None, "error": "no"}


def test_a_function_may_return_its_bare_answer(world: World) -> None:
    world.returns = "(text VARCHAR, lane VARCHAR, style VARCHAR := NULL) -> VARCHAR"
    world.party("a")
    desk = world.desk()
    look_up(desk, world, [("hi", "a")])
    answer(desk)
    assert look_up(desk, world, [("hi", "a"), ("nothing", "a")]) == ["HI", None]


def test_a_return_type_that_holds_no_answer_is_refused(world: World) -> None:
    world.returns = "(text VARCHAR, lane VARCHAR) -> STRUCT(error VARCHAR)"
    with pytest.raises(FunctionError, match="one field that is the answer"):
        world.desk().arrow_function(world.function)


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_failed_row_has_its_error_in_this_build_and_is_asked_again_by_the_next(world: World) -> None:
    def mostly(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        return [CallError("too long") if "3" in p else Answer(p.upper()) for p in prompts]

    party = world.party("a", mostly)
    desk = world.desk()
    look_up(desk, world, prompts_of(5))
    summary = answer(desk)
    assert (summary.answered, summary.failed) == (4, 1)
    assert summary.errors == {("ask", "a"): {"too long": 1}}
    rows = look_up(desk, world, prompts_of(5))
    assert [row["error"] for row in rows] == [None, None, None, "too long", None]
    assert [row["text"] for row in rows][3] is None
    assert desk.misses.total() == 0
    party.asked.clear()
    desk = world.desk()
    look_up(desk, world, prompts_of(5))
    answer(desk)
    assert party.asked == ["question 3"]


def test_what_may_pass_is_tried_again_and_what_will_not_is_not(world: World) -> None:
    def flaky(party: Party, prompts: list[str]) -> list[Answer | CallError]:
        if party.asked.count(prompts[0]) == 1:
            raise CallError("HTTP 500", retry=True, after=0.01)
        if "2" in prompts[0]:
            raise CallError("HTTP 400")
        return [Answer("ok")]

    party = world.party("a", flaky)
    desk = world.desk()
    look_up(desk, world, prompts_of(4))
    summary = answer(desk)
    assert (summary.answered, summary.failed, summary.retries) == (3, 1, 4)
    assert len(party.asked) == 8


def test_tries_end_after_max_retries(world: World) -> None:
    def down(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        raise CallError("HTTP 500", retry=True, after=0.001)

    party = world.party("a", down, max_retries=3)
    desk = world.desk()
    look_up(desk, world, prompts_of(2))
    summary = answer(desk)
    assert (summary.failed, len(party.asked)) == (2, 8)


def test_a_lane_that_cannot_work_stops_after_one_call_and_the_others_go_on(world: World) -> None:
    def shut(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        raise CallError("KEY is wrong", fatal=True)

    bad, good = world.party("bad", shut, latency=0.02), world.party("a")
    rows = [*prompts_of(20), *((f"question {i}", "bad") for i in range(20))]
    desk = world.desk()
    look_up(desk, world, rows)
    summary = answer(desk)
    assert (len(bad.asked), len(good.asked)) == (1, 20)
    assert (summary.answered, summary.failed, summary.fatal) == (20, 20, {("ask", "bad"): "KEY is wrong"})
    found = look_up(desk, world, rows)
    assert [row["error"] for row in found] == [None] * 20 + ["KEY is wrong"] * 20
    assert (bad.closed, good.closed) == (1, 1)


def test_a_fault_in_a_provider_costs_its_row_and_not_the_build(world: World) -> None:
    def buggy(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        return [Answer(str(1 // ("0" not in prompts[0])))]

    world.party("a", buggy)
    desk = world.desk()
    look_up(desk, world, prompts_of(3))
    summary = answer(desk)
    assert (summary.answered, summary.failed) == (2, 1)
    assert "ZeroDivisionError" in look_up(desk, world, prompts_of(1))[0]["error"]


def test_a_call_without_an_answer_in_time_is_tried_again(world: World) -> None:
    party = world.party("a", latency=0.3, timeout_s=0.05, max_retries=1)
    desk = world.desk()
    look_up(desk, world, prompts_of(1))
    summary = answer(desk)
    assert (summary.failed, len(party.asked)) == (1, 2)
    assert "no answer within 0.05 s" in look_up(desk, world, prompts_of(1))[0]["error"]


def test_the_culprit_of_a_failing_batch_is_found_and_the_others_are_answered(world: World) -> None:
    def poisoned(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        if "question 13" in prompts:
            raise CallError("cannot be processed")
        return [Answer(p) for p in prompts]

    party = world.party("a", poisoned, batch_size=16)
    desk = world.desk()
    look_up(desk, world, prompts_of(48))
    summary = answer(desk)
    assert (summary.answered, summary.failed) == (47, 1)
    assert len(party.batches) <= 3 + 8
    assert look_up(desk, world, prompts_of(14))[13]["error"] == "cannot be processed"


def test_only_the_calls_of_a_batch_that_failed_are_made_again(world: World) -> None:
    def partly(party: Party, prompts: list[str]) -> list[Answer | CallError]:
        return [CallError("later", retry=True) if p == "question 2" and party.asked.count(p) == 1 else Answer(p) for p in prompts]

    party = world.party("a", partly, batch_size=4)
    desk = world.desk()
    look_up(desk, world, prompts_of(4))
    assert answer(desk).answered == 4
    assert party.batches[1] == ["question 2"]


def test_batches_are_of_like_length_where_the_lane_wants_it(world: World) -> None:
    party = world.party("a", batch_size=2, sort_by_length=True, max_concurrency=1)
    desk = world.desk()
    look_up(desk, world, [("x" * n, "a") for n in (5, 1, 4, 2)])
    answer(desk)
    assert party.batches == [["x", "xx"], ["xxxx", "xxxxx"]]


# --- limits ------------------------------------------------------------------------------------------------------


def test_the_first_call_goes_alone_and_then_the_limit_is_reached_and_never_passed(world: World) -> None:
    party = world.party("a", latency=0.1, max_concurrency=16)
    desk = world.desk()
    look_up(desk, world, prompts_of(200))
    summary = answer(desk)
    assert party.most_in_flight == 16
    assert summary.seconds < 10  # one by one it would be 20; a busy machine is no reason to fail
    assert party.times[1] - party.times[0] >= 0.1


def test_where_nothing_can_be_wrong_the_first_calls_go_together(world: World) -> None:
    party = world.party("a", latency=0.05, max_concurrency=6, first_alone=False)
    desk = world.desk()
    look_up(desk, world, prompts_of(6))
    answer(desk)
    assert party.most_in_flight == 6


def test_requests_per_minute_are_kept(world: World) -> None:
    party = world.party("a", requests_per_minute=1200, max_concurrency=50)
    desk = world.desk()
    look_up(desk, world, prompts_of(21))
    answer(desk)
    assert 0.8 <= party.times[-1] - party.times[0] < 10


def test_tokens_per_minute_are_kept_by_the_tokens_really_used(world: World) -> None:
    # estimated 1,000 tokens each, used 5: at 60,000 a minute one call a second by the estimate, all at once by use
    party = world.party("a", tokens_per_minute=60_000, estimate=Estimate(500, 500, 0.0), max_concurrency=4)
    desk = world.desk()
    look_up(desk, world, prompts_of(10))
    answer(desk)
    assert party.times[-1] - party.times[0] < 6


def test_a_pace_spreads_and_gives_back() -> None:
    pace = Pace(60)
    pace.take(100.0, 1)
    assert pace.opens == pytest.approx(100.9)  # a tenth of a second late is forgiven
    pace.take(100.9, 3)
    assert pace.opens == pytest.approx(103.9)
    pace.give_back(2)
    assert pace.opens == pytest.approx(101.9)
    free = Pace(None)
    free.take(5.0, 1000)
    assert free.opens <= 5.0


def test_concurrency_halves_on_too_many_and_returns_to_just_below_it() -> None:
    concurrency = Concurrency(64)
    for _ in range(200):
        concurrency.succeeded(concurrency.epoch)
    assert concurrency.limit == 64
    assert concurrency.throttled(49, concurrency.epoch)
    assert concurrency.limit == 32
    assert concurrency.throttled(60, concurrency.epoch - 1)  # begun before the halving: says nothing new
    assert concurrency.limit == 32
    for _ in range(40):
        concurrency.succeeded(concurrency.epoch)
    assert 44 < concurrency.limit < 49
    for _ in range(5000):
        concurrency.succeeded(concurrency.epoch)
    assert concurrency.limit > 60  # a server that allows more again is used again


def test_a_server_that_lets_hardly_any_pass_counts_by_time_so_all_must_wait() -> None:
    concurrency = Concurrency(64)
    concurrency.succeeded(0)
    assert not concurrency.throttled(20, 0)


def test_under_a_cap_on_calls_at_once_nearly_as_many_are_under_way_and_no_row_fails(world: World) -> None:
    def capped(party: Party, prompts: list[str]) -> list[Answer | CallError]:
        return [Answer("ok")]

    class Capped(Party):
        async def answer(self, payloads: Sequence[str]) -> Sequence[Answer | CallError]:
            if self.in_flight >= 12:
                raise CallError("HTTP 429", retry=True, after=0.2, throttled=True)
            return await super().answer(payloads)

    party = world.parties["a"] = Capped(capped, Limits(max_concurrency=32), 0.1, Estimate(1, 1, 0.0))
    desk = world.desk()
    look_up(desk, world, prompts_of(300))
    summary = answer(desk)
    assert (summary.answered, summary.failed, party.most_in_flight) == (300, 0, 12)
    assert summary.retries < 60  # some are spent on finding the cap, and on looking whether it has moved
    assert summary.seconds < 15  # one by one it would be 30


def test_a_server_that_says_when_to_come_back_is_left_alone_until_then(world: World) -> None:
    def limited(party: Party, prompts: list[str]) -> list[Answer | CallError]:
        if 0.1 < time.monotonic() - party.times[0] < 0.6:
            raise CallError("HTTP 429", retry=True, after=0.5, throttled=True)
        return [Answer("ok")]

    party = world.party("a", limited, latency=0.01, max_concurrency=4)
    desk = world.desk()
    look_up(desk, world, prompts_of(100))
    assert answer(desk).answered == 100
    inside = [t - party.times[0] for t in party.times if 0.15 < t - party.times[0] < 0.55]
    assert len(inside) <= 8


# --- patience ----------------------------------------------------------------------------------------------------


def outage(begins: float, ends: float) -> Script:
    """Nobody is there from ``begins`` to ``ends`` seconds after the first call."""

    def script(party: Party, prompts: list[str]) -> list[Answer | CallError]:
        if begins < time.monotonic() - party.times[0] < ends:
            raise CallError("ConnectError: refused", retry=True, away=True)
        return [Answer("ok") for _ in prompts]

    return script


def test_a_server_that_goes_away_is_waited_for_and_no_try_is_spent(world: World) -> None:
    notes: list[str] = []
    party = world.party(
        "a", outage(0.1, 2.2), latency=0.02, max_concurrency=4, max_retries=0, initial_sleep_s=0.1, max_wait_s=30.0
    )
    desk = world.desk()
    look_up(desk, world, prompts_of(60))
    summary = desk.answer(on_event=lambda p: notes.append(p.note), stop=threading.Event())
    assert (summary.answered, summary.failed) == (60, 0)
    away = [t for t in party.times if 0.15 < t - party.times[0] < 2.1]
    assert len(away) <= 4 + 6, "one call at a time sees whether it is there again"
    assert any(re.fullmatch(r"ConnectError: refused; waits until \d\d:\d\d:\d\d", note) for note in notes)


def test_a_server_that_stays_away_is_waited_for_as_long_as_is_said(world: World) -> None:
    party = world.party(
        "a", outage(0.1, 1e9), latency=0.02, max_concurrency=4, max_retries=0, initial_sleep_s=0.05, max_wait_s=0.5
    )
    desk = world.desk()
    look_up(desk, world, prompts_of(60))
    summary = answer(desk)
    assert summary.answered + summary.failed == 60
    assert summary.answered > 0
    assert re.fullmatch(
        r"ConnectError: refused: no answer for [\d.]+ s, and max_wait_s is 0.5 s; build again later", said(summary)
    )
    assert 0.5 < party.times[-1] - party.times[0] < 20


def test_a_server_that_was_never_there_is_given_up_after_its_retries(world: World) -> None:
    party = world.party("a", outage(-1, 1e9), max_retries=2, initial_sleep_s=0.01)
    desk = world.desk()
    look_up(desk, world, prompts_of(1))
    assert answer(desk).failed == 1
    assert len(party.asked) == 3


def test_a_question_for_which_nobody_is_ever_there_fails_while_others_are_answered(world: World) -> None:
    def poisoned(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        if prompts == ["question 7"]:
            raise CallError("HTTP 502: bad gateway", retry=True, away=True)
        return [Answer("ok")]

    world.party("a", poisoned, latency=0.01, max_concurrency=4, max_retries=2, initial_sleep_s=0.01, max_wait_s=2.0)
    desk = world.desk()
    look_up(desk, world, prompts_of(100))
    summary = answer(desk)
    assert (summary.answered, summary.failed) == (99, 1)


@pytest.mark.parametrize(
    ("after", "asked"), [(86_400.0, "24 h"), (73 * 365.25 * 86_400, "73 years"), (1e305, "years"), (float("inf"), "for ever")]
)
@pytest.mark.parametrize("throttled", [True, False])
def test_a_server_that_asks_for_too_long_a_wait_ends_its_lane_and_it_is_said(
    world: World, after: float, asked: str, throttled: bool
) -> None:
    def shut(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        raise CallError("HTTP 429: slow down", retry=True, after=after, throttled=throttled)

    bad, good = world.party("bad", shut), world.party("a")
    desk = world.desk()
    look_up(desk, world, [*prompts_of(20), *((f"question {i}", "bad") for i in range(20))])
    began = time.monotonic()
    summary = answer(desk)
    assert time.monotonic() - began < 60
    assert (len(bad.asked), len(good.asked), summary.failed) == (1, 20, 20)
    assert re.search(rf"slow down: it asks to wait .*{asked}, and max_wait_s is 10 min; build again then", said(summary, "bad"))


def said(summary: Summary, lane: str = "a") -> str:
    """Why a lane ended."""
    return summary.fatal["ask", lane]


# --- money -------------------------------------------------------------------------------------------------------


def unreadable(n: int) -> Script:
    """Every ``n``-th try brings an answer that cannot be read."""

    def script(party: Party, prompts: list[str]) -> list[Answer | CallError]:
        if len(party.asked) % n == 0:
            raise CallError("malformed", retry=True, garbled=True, charged=True)
        return [Answer("ok", cost_usd=0.04) for _ in prompts]

    return script


def test_what_may_have_been_charged_stays_reserved_and_is_said(world: World) -> None:
    party = world.party(
        "a", unreadable(2), estimate=Estimate(1, 1, 0.10), max_retries=9, initial_sleep_s=0.001, max_concurrency=1
    )
    desk = world.desk()
    look_up(desk, world, prompts_of(100))
    budget = Budget(max_cost=1.0)
    summary = answer(desk, budget)
    tries = len(party.asked)
    good, bad = tries - tries // 2, tries // 2
    assert budget.cost == pytest.approx(0.04 * good + 0.10 * bad)
    assert budget.cost <= 1.0
    assert summary.doubtful == {("ask", "a"): (bad, pytest.approx(0.10 * bad))}
    assert summary.cost_usd == pytest.approx(0.04 * good), "what is known is told apart"


def test_an_answer_that_cannot_be_read_is_asked_for_once_more_and_not_oftener(world: World) -> None:
    party = world.party("a", unreadable(1), max_retries=9, initial_sleep_s=0.001, batch_size=4)
    desk = world.desk()
    look_up(desk, world, prompts_of(8))
    assert answer(desk).failed == 8
    assert Counter(party.asked) == Counter({f"question {i}": 2 for i in range(8)})


def test_what_no_one_was_there_to_answer_costs_nothing(world: World) -> None:
    world.party("a", outage(-1, 1e9), max_retries=1, initial_sleep_s=0.001)
    desk = world.desk()
    look_up(desk, world, prompts_of(1))
    budget = Budget(max_cost=1.0)
    assert answer(desk, budget).doubtful == {}
    assert (budget.cost, budget.reserved) == (0.0, 0.0)


def test_a_call_that_was_cut_off_counts_as_charged(world: World) -> None:
    world.party("a", latency=0.3, timeout_s=0.05, max_retries=1, initial_sleep_s=0.001)
    desk = world.desk()
    look_up(desk, world, prompts_of(1))
    budget = Budget(max_cost=1.0)
    assert answer(desk, budget).doubtful == {("ask", "a"): (2, 0.5)}
    assert budget.cost == 0.5


def test_a_price_that_is_not_known_is_none_in_what_is_shown(world: World) -> None:
    world.party("a", lambda _, prompts: [Answer("ok") for _ in prompts], estimate=Estimate(1, 1, None))
    desk = world.desk()
    look_up(desk, world, prompts_of(3))
    assert [p.cost_usd for p in answer(desk).lanes] == [None]


def test_max_calls_is_kept_exactly_over_all_lanes_and_the_rest_stays_missing(world: World) -> None:
    parties = [world.party("a", latency=0.005), world.party("b", latency=0.005, batch_size=4)]
    desk = world.desk()
    rows = [*prompts_of(30), *((f"question {i}", "b") for i in range(30))]
    look_up(desk, world, rows)
    budget = Budget(max_calls=17)
    summary = answer(desk, budget)
    assert sum(len(p.asked) for p in parties) == 17 == budget.calls
    assert (summary.answered, summary.remaining, summary.exhausted, summary.interrupted) == (17, 43, True, False)
    assert desk.misses.total() == 43
    assert answer(desk, budget).answered == 0


def test_every_try_counts_as_a_call(world: World) -> None:
    def down(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        raise CallError("HTTP 500", retry=True, after=0.001)

    party = world.party("a", down, max_retries=100)
    desk = world.desk()
    look_up(desk, world, prompts_of(3))
    summary = answer(desk, Budget(max_calls=5))
    assert (len(party.asked), summary.exhausted, summary.remaining) == (5, True, 3)


@pytest.mark.parametrize("concurrency", [1, 16])
def test_max_cost_is_never_passed_and_used_up_to_the_last_call_that_fits(world: World, concurrency: int) -> None:
    # a call is bounded by 0.10 and costs 0.04
    party = world.party(
        "a", lambda _, prompts: [Answer("ok", cost_usd=0.04) for _ in prompts], latency=0.005,
        estimate=Estimate(1, 1, 0.10), max_concurrency=concurrency,
    )  # fmt: skip
    desk = world.desk()
    look_up(desk, world, prompts_of(100))
    budget = Budget(max_cost=1.0)
    summary = answer(desk, budget)
    assert summary.exhausted
    assert 0.90 < budget.cost <= 1.0
    assert len(party.asked) == round(budget.cost / 0.04)


def test_a_maximal_cost_refuses_a_lane_of_unknown_price_before_any_call(world: World) -> None:
    parties = [world.party("a"), world.party("b", estimate=Estimate(1, 1, None))]
    desk = world.desk()
    look_up(desk, world, [("hi", "a"), ("hi", "b")])
    with pytest.raises(BudgetError, match=r"price of ask by b is unknown.*\n.*usd_per_mtok_in"):
        answer(desk, Budget(max_cost=5.0))
    assert not any(p.asked for p in parties)


def test_an_estimate_counts_new_and_stored_calls_tokens_and_cost_and_spends_nothing(world: World) -> None:
    party = world.party("a", estimate=Estimate(10, 50, 0.25))
    desk = world.desk()
    look_up(desk, world, prompts_of(4))
    answer(desk)
    party.asked.clear()
    world.party("unknown", estimate=Estimate(1, 1, None))
    desk = world.desk(read_only=True)
    look_up(desk, world, [*prompts_of(10), *prompts_of(10), ("hi", "unknown")])
    known, unknown = desk.estimate()
    assert tuple(known) == ("ask", "a", 6, 4, 60, 12, 1.5, 0, 1.5, "")  # 2 output tokens each, as the lane's answers had so far
    assert tuple(unknown) == ("ask", "unknown", 1, 0, 1, 1, None, 0, None, "")
    assert party.asked == []


# --- stopping, resuming, sharing -----------------------------------------------------------------------------------


def test_stopping_makes_no_new_call_and_keeps_every_answer_under_way(world: World) -> None:
    stop = threading.Event()

    def stopping(party: Party, prompts: list[str]) -> list[Answer | CallError]:
        if len(party.asked) >= 40:
            stop.set()
        return [Answer(p) for p in prompts]

    party = world.party("a", stopping, latency=0.02)
    desk = world.desk()
    look_up(desk, world, prompts_of(500))
    summary = answer(desk, stop=stop)
    assert summary.interrupted
    assert summary.answered == len(party.asked) < 60
    assert summary.answered + summary.remaining == 500
    asked = set(party.asked)
    party.asked.clear()
    party.script = upper
    desk = world.desk()
    look_up(desk, world, prompts_of(500))
    answer(desk)
    assert asked.isdisjoint(party.asked)
    assert desk.cached == len(asked)


def test_what_another_process_answered_meanwhile_is_not_asked(world: World) -> None:
    party = world.party("a")
    desk = world.desk()
    look_up(desk, world, prompts_of(10))
    with CallStore(world.folder / "calls.sqlite") as other_store:
        other = CallDesk(other_store, Context(world.folder))
        look_up(other, world, prompts_of(6))
        answer(other)
    party.asked.clear()
    assert answer(desk).answered == 4
    assert sorted(party.asked) == [f"question {i}" for i in range(6, 10)]


def test_offline_names_what_is_missing_and_how_to_get_it(world: World) -> None:
    party = world.party("a")
    desk = world.desk(offline=True)
    look_up(desk, world, prompts_of(3))
    with pytest.raises(FunctionError, match=r"3 answers are not stored: 3 of ask by a") as caught:
        answer(desk)
    assert "bclust calls import" in str(caught.value)
    assert party.asked == []


def test_offline_repeats_the_answers_and_the_failures_that_are_recorded(world: World) -> None:
    world.party("a", lambda _, prompts: [CallError("no") if "1" in p else Answer(p) for p in prompts])
    desk = world.desk()
    look_up(desk, world, prompts_of(3))
    answer(desk)
    online = look_up(desk, world, prompts_of(3))
    desk = world.desk(offline=True)
    assert look_up(desk, world, prompts_of(3)) == online
    assert desk.misses.total() == 0


def test_refreshing_asks_again_what_is_needed_once_and_keeps_the_old_answers_for_the_record(world: World) -> None:
    party = world.party("a")
    desk = world.desk()
    look_up(desk, world, prompts_of(10))
    answer(desk)
    party.asked.clear()
    party.script = lambda _, prompts: [Answer("new") for _ in prompts]
    desk = world.desk(refresh=["ask"])
    look_up(desk, world, prompts_of(4))
    assert desk.misses.total() == 4
    answer(desk)
    again = CallDesk(world.store, Context(world.folder), refresh=["ask"])  # the next table of the same build
    assert [row["text"] for row in look_up(again, world, prompts_of(4))] == ["new"] * 4
    assert again.misses.total() == 0
    assert sorted(party.asked) == [f"question {i}" for i in range(4)]
    con = sqlite3.connect(world.folder / "calls.sqlite")
    assert con.execute("select count(*) from answers").fetchone() == (10,)
    assert con.execute("select count(*) from superseded").fetchone() == (4,)


def test_refreshing_gives_up_no_answer_whose_question_was_not_asked_again(world: World) -> None:
    """All were given up first: a maximal number of calls, a missing key or Ctrl-C then lost what had been paid."""
    party = world.party("a")
    desk = world.desk()
    look_up(desk, world, prompts_of(10))
    answer(desk)
    party.script = lambda _, prompts: [Answer("new") for _ in prompts]
    desk = world.desk(refresh=["ask"])
    look_up(desk, world, prompts_of(10))
    assert answer(desk, Budget(max_calls=2)).answered == 2
    party.script = lambda _, prompts: [CallError("the key is wrong", fatal=True) for _ in prompts]
    desk = world.desk(refresh=["ask"])
    look_up(desk, world, prompts_of(10))
    assert answer(desk).failed == 10
    party._estimate = Estimate(3, 2, None)
    desk = world.desk(refresh=["ask"])
    look_up(desk, world, prompts_of(10))
    with pytest.raises(BudgetError):
        answer(desk, Budget(max_cost=1.0))
    texts = [row["text"] for row in look_up(world.desk(), world, prompts_of(10))]
    assert sorted(texts)[:8] == sorted(f"QUESTION {i}" for i in range(10) if texts[i] != "new")
    assert texts.count("new") == 2
    con = sqlite3.connect(world.folder / "calls.sqlite")
    assert con.execute("select count(*) from superseded").fetchone() == (2,)
    con.close()


def test_a_plan_with_refresh_changes_nothing(world: World) -> None:
    world.party("a")
    desk = world.desk()
    look_up(desk, world, prompts_of(5))
    answer(desk)
    before = world.store.stats()
    desk = world.desk(refresh=["ask"], read_only=True)
    look_up(desk, world, prompts_of(5))
    assert desk.estimate()[0].new == 5
    assert world.store.stats() == before


def test_no_secret_of_the_environment_reaches_the_store_or_an_error(world: World, tmp_path: Path) -> None:
    secret = "sk-planted-0123456789"
    world.env = {"SOME_API_KEY": secret, "TOKENIZERS_PARALLELISM": "false-not-a-secret"}

    def leaky(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        return [
            CallError(f"bad key {secret}") if p.endswith("1") else Answer(f"{secret} false-not-a-secret", detail=f'"{secret}"')
            for p in prompts
        ]

    world.party("a", leaky)
    desk = world.desk()
    look_up(desk, world, prompts_of(2))
    summary = answer(desk)
    rows = look_up(desk, world, prompts_of(2))
    world.store.export(tmp_path / "calls.jsonl")
    kept = b"".join(p.read_bytes() for p in tmp_path.glob("calls*"))
    assert secret.encode() not in kept
    assert secret not in repr(rows) + repr(summary)
    assert rows[0]["text"] == "[secret] false-not-a-secret"
    assert rows[1]["error"] == "bad key [secret]"


def test_progress_is_exact_and_not_told_more_often_than_ten_times_a_second(world: World) -> None:
    world.party("a", latency=0.01, max_concurrency=4)
    desk = world.desk()
    look_up(desk, world, prompts_of(200))
    events: list[Progress] = []
    began = time.monotonic()
    desk.answer(on_event=events.append, stop=threading.Event())
    assert len(events) <= (time.monotonic() - began) * 10 + 2
    assert [e.done for e in events] == sorted(e.done for e in events)
    last = events[-1]
    assert (last.function, last.lane, last.total, last.failed, last.cost_usd) == ("ask", "a", 200, 0, 50.0)
    middle = events[len(events) // 2]
    assert 0 < middle.done < 200
    assert middle.per_second > 0
    assert middle.eta_s is not None
    assert desk.misses.total() == 0


def test_a_fault_in_the_display_stops_the_calls_and_keeps_what_was_answered(world: World) -> None:
    party = world.party("a", latency=0.02)
    desk = world.desk()
    look_up(desk, world, prompts_of(500))

    def broken(_: Progress) -> None:
        if party.asked:
            raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        desk.answer(on_event=broken, stop=threading.Event())
    world.store.flush()
    assert world.store.stats()[0]["answers"] == len(party.asked) < 200


def test_an_answer_that_cannot_be_stored_ends_the_build(world: World) -> None:
    party = world.party("a", latency=0.005)
    desk = world.desk()
    look_up(desk, world, prompts_of(300))
    con = sqlite3.connect(world.folder / "calls.sqlite")
    con.execute(
        "create trigger full before insert on answers when (select count(*) from answers) > 20 begin select raise(abort, 'disk is full'); end"
    )
    con.commit()
    con.close()
    with pytest.raises(Exception, match="disk is full"):
        answer(desk)
    assert len(party.asked) < 100
    with pytest.raises(Exception, match="disk is full"):
        world.store.close()
    world.store = CallStore(world.folder / "calls.sqlite")


def test_half_an_emoji_is_stored_as_a_replacement_character_and_ends_nothing(world: World) -> None:
    """JSON may hold a lone surrogate, which SQLite cannot: the writer died of it, and all later answers were lost unseen."""

    def script(_: Party, prompts: list[str]) -> list[Answer | CallError]:
        if prompts == ["question 4"]:
            raise CallError("no \ud83d")
        return [Answer("cut \ud83d" if p == "question 0" else p) for p in prompts]

    world.party("a", script)
    desk = world.desk()
    look_up(desk, world, prompts_of(5))
    summary = answer(desk)
    assert (summary.answered, summary.failed, summary.remaining) == (4, 1, 0)
    rows = look_up(desk, world, prompts_of(5))
    assert [row["text"] for row in rows[:4]] == ["cut \ufffd", "question 1", "question 2", "question 3"]
    assert rows[4]["error"] == "no \ufffd"


ODD = [
    Answer("fine", {"type": "stop"}),  # type: ignore[arg-type]
    Answer(5),  # type: ignore[arg-type]
    Answer(["fine"]),  # type: ignore[arg-type]
    Answer("fine", detail={"a": 1}),  # type: ignore[arg-type]
    Answer("fine \ud83d", "st\udc00p", detail='"\ud83d"'),
    Answer("fine", None, 10**23, 2, 0.5),
    Answer("fine", None, 10**5000, 2, 0.5),
    Answer("fine", None, -5, 2, -0.5),
    Answer("fine", None, float("nan"), 2.0, float("nan")),  # type: ignore[arg-type]
    Answer("fine", None, "3", True, float("inf"), detail='{"a": 1}'),  # type: ignore[arg-type]
    Answer("fine", None, np.int64(3), 2, np.float32(0.5)),  # type: ignore[arg-type]
]


def test_an_odd_answer_costs_at_most_its_own_row_and_odd_numbers_are_unknown_before_they_are_summed(world: World) -> None:
    world.party("a", lambda _, prompts: [replace(ODD[int(p)]) if p.isdigit() else Answer(p) for p in prompts])
    rows = [(str(i), "a") for i in range(len(ODD))] + prompts_of(20)
    desk = world.desk()
    look_up(desk, world, rows)
    summary = answer(desk)
    assert (summary.answered, summary.failed, summary.remaining) == (len(rows) - 3, 3, 0)
    assert (summary.tokens, summary.cost_usd) == (2 + 2 + 2 + 2 + 3 + 2, 1.5)
    answers = look_up(desk, world, rows)
    errors = [a["error"] for a in answers]
    assert errors[0] is None
    assert json.loads(answers[0]["detail"]) == {"not_stored": ["finish_reason {'type': 'stop'}"]}
    assert errors[1] == "the answer is 5, which is neither text nor bytes"
    assert errors[4:] == [None] * (len(rows) - 4)
    assert answers[4]["text"] == "fine \ufffd"
    assert [(a["input_tokens"], a["cost_usd"]) for a in answers[5:10]] == [
        (None, 0.5), (None, 0.5), (None, None), (None, None), (None, None)
    ]  # fmt: skip
    assert json.loads(answers[7]["detail"]) == {"not_stored": ["input_tokens -5", "cost_usd -0.5"]}
    assert json.loads(answers[9]["detail"]) == {"a": 1, "not_stored": ["input_tokens '3'", "output_tokens True", "cost_usd inf"]}
    again = world.desk()
    look_up(again, world, rows)
    assert again.misses.total() == 3, "a rebuild asks only what failed"


def test_the_answers_that_arrive_after_the_store_failed_are_counted_too(world: World) -> None:
    """The count was that of the first transaction: with 64 connections, one "answer lost" were 65."""
    party = world.party("a", latency=0.3, max_concurrency=8, batch_size=5, first_alone=False)
    desk = world.desk()
    look_up(desk, world, prompts_of(200))
    world.store.do(lambda con: None).result()
    con = sqlite3.connect(world.folder / "calls.sqlite")
    con.execute("create trigger full before insert on answers begin select raise(abort, 'disk is full'); end")
    con.commit()
    with pytest.raises(StoreError) as caught:
        answer(desk)
    assert caught.value.message.startswith(f"{len(party.asked)} answers could not be written")
    assert 40 <= len(party.asked) <= 80, "those under way, and those begun before the first of them was found not to be written"
    con.execute("drop trigger full")
    con.commit()
    con.close()
    world.store.close()
    assert len(look_up(world.desk(), world, [(p, "a") for p in party.asked])) == len(party.asked)
    assert world.store.stats()[0]["answers"] == len(party.asked), "what could be written at the end is not lost"


def test_what_many_answers_suffer_from_is_said_once_while_the_lane_runs(world: World) -> None:
    party = world.party("a", latency=0.05, max_concurrency=2)
    party.remark = lambda payload, answer: "were cut" if "question 1" in payload else None  # type: ignore[attr-defined]
    desk = world.desk()
    look_up(desk, world, prompts_of(20))
    said: list[tuple[int, str]] = []
    desk.answer(on_event=lambda p: said.append((p.done, p.remark)), stop=threading.Event())
    remarks = {remark for _, remark in said if remark}
    assert len(remarks) == 1
    assert re.fullmatch(r"5 of the first \d+ answers were cut", remarks.pop())
    assert min(done for done, remark in said if remark) < 20
