"""How batches are dealt to workers that come late, die or belong to another lane, and what a worker is told.

The workers here are coroutines; tests/functional/test_ray.py has real ones on a real cluster.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bclust.calls import ray_executor, ray_pool
from bclust.calls.ray_executor import RayExecutor, _own_variables
from bclust.calls.ray_pool import Pool
from bclust.errors import FunctionError
from bclust.functions import Answer, CallError, Context
from bclust.project.config import CallsConfig
from tests.unit.test_calls import World, look_up, prompts_of, world  # noqa: F401 - a fixture

pytest.importorskip("ray")

A, B = ("llm", "a"), ("llm", "b")


class Method:
    """``actor.method.remote(...)``."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.remote = run


class Actor:
    """A worker of one lane: it opens after ``opens`` seconds, and dies over a payload that says so."""

    def __init__(self, lane: tuple[str, str], opens: float, log: list[tuple[str, list[str]]]) -> None:
        async def opened() -> CallError | None:
            await asyncio.sleep(opens)
            return CallError("no such model", fatal=True) if lane[1] == "wrong" else None

        async def answer(payloads: list[str]) -> list[Answer] | CallError:
            log.append((lane[1], payloads))
            await asyncio.sleep(0.01)
            if "die" in payloads:
                raise ConnectionError("the worker is gone")
            return CallError("a bad batch") if "bad" in payloads else [Answer(p.upper()) for p in payloads]

        self.open, self.answer = Method(opened), Method(answer)


def pool_of(*opens: float) -> tuple[Pool, list[tuple[str, list[str]]]]:
    """A pool of workers that open after so many seconds each, one after another, and what they were asked."""
    log: list[tuple[str, list[str]]] = []
    waits = iter([*opens, *[0.0] * 100])
    return Pool(len(opens), lambda lane: Actor(lane, next(waits), log), lambda actor: None), log


async def answers(pool: Pool, lane: tuple[str, str], batches: Sequence[list[str]]) -> list[Any]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*(pool.answer(lane, batch, None) for batch in batches), return_exceptions=True)


def texts(result: Any) -> Any:
    return [a.value for a in result] if isinstance(result, list) else str(result)


def test_a_worker_that_the_cluster_has_no_room_for_holds_nothing_up() -> None:
    async def run() -> None:
        pool, log = pool_of(0.0, 3600.0)
        got = await answers(pool, A, [[f"{i}"] for i in range(6)])
        await pool.close()
        assert [texts(r) for r in got] == [[f"{i}"] for i in range(6)]
        assert len(log) == 6

    asyncio.run(run())


def test_a_lost_batch_is_run_again_as_it_was_and_one_that_ends_three_workers_is_given_back() -> None:
    async def run() -> None:
        pool, log = pool_of(0.0)
        [got] = await answers(pool, A, [["x", "die"]])
        assert isinstance(got, CallError)
        assert "the worker is gone" in got.message
        assert log == [("a", ["x", "die"])] * 3
        halves = await answers(pool, A, [["x"], ["die"]])  # as the caller halves it
        await pool.close()
        assert texts(halves[0]) == ["X"]
        assert len(log) == 5  # what is under suspicion already ends one worker only

    with_short_pauses(0.01, run)


def test_one_worker_serves_two_lanes_one_after_another() -> None:
    async def run() -> None:
        pool, log = pool_of(0.0)
        both = await asyncio.gather(answers(pool, A, [["1"], ["2"], ["3"]]), answers(pool, B, [["4"], ["5"]]))
        await pool.close()
        assert [[texts(r) for r in some] for some in both] == [[["1"], ["2"], ["3"]], [["4"], ["5"]]]
        assert [lane for lane, _ in log] == ["a", "a", "a", "b", "b"]

    asyncio.run(run())


def test_a_lane_that_no_worker_can_open_ends_and_a_failed_batch_keeps_its_worker() -> None:
    async def run() -> None:
        pool, _ = pool_of(0.0)
        [wrong] = await answers(pool, ("llm", "wrong"), [["1"]])
        assert wrong.fatal and wrong.message == "no such model"
        bad, good = await answers(pool, A, [["bad"], ["good"]])
        await pool.close()
        assert (texts(bad), texts(good)) == ("a bad batch", ["GOOD"])

    with_short_pauses(0.01, run)


def test_what_waits_when_a_lane_is_halted_was_never_made() -> None:
    async def run() -> None:
        pool, log = pool_of(0.0)
        asked = asyncio.create_task(answers(pool, A, [["1"], ["2"], ["3"]]))
        while not log:
            await asyncio.sleep(0.001)
        pool.halt(A)
        got = await asked
        await pool.close()
        assert texts(got[0]) == ["1"]
        assert [r.unmade for r in got[1:]] == [True, True]

    asyncio.run(run())


def test_a_call_that_was_never_made_counts_as_no_try_and_no_failure(world: World) -> None:  # noqa: F811
    turns: list[list[str]] = []

    def script(_: Any, prompts: list[str]) -> list[Answer | CallError]:
        turns.append(prompts)
        if len(turns) < 4:
            raise CallError("stopped", unmade=True)
        return [Answer(p.upper()) for p in prompts]

    world.party("a", script, max_retries=0, batch_size=2)
    desk = world.desk()
    look_up(desk, world, prompts_of(2))
    summary = desk.answer(on_event=lambda _: None, stop=threading.Event())
    assert (summary.answered, summary.failed, summary.retries) == (2, 0, 0)
    assert [len(t) for t in turns] == [2, 2, 2, 2]


def test_a_worker_is_told_the_variables_that_its_own_row_names_and_no_others() -> None:
    rows = [
        {"llm_id": "a", "provider": "x", "token_env": "TOKEN_A"},
        {"llm_id": "b", "provider": "x", "token_env": "TOKEN_B", "api_key_env": None},
    ]
    context = Context(
        Path(), {"llms": rows, "other": [{"id": "a", "key_env": "OTHER"}]}, {"TOKEN_A": "1", "TOKEN_B": "2", "OTHER": "3"}
    )
    assert _own_variables(context, ["llms"], "b") == {"TOKEN_B": "2"}
    assert _own_variables(context, ["llms"], "nobody") == {}


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_executor, "find_spec", lambda name: None)
    with pytest.raises(FunctionError, match=r"pip install 'bclust\[ray\]'"):
        RayExecutor(CallsConfig(executor="ray"), Context(Path()))


def test_a_call_error_keeps_what_it_says_when_it_travels() -> None:
    error = pickle.loads(pickle.dumps(CallError("slow down", retry=True, after=2.5, throttled=True)))
    assert (error.message, error.retry, error.after, error.throttled, error.fatal) == ("slow down", True, 2.5, True, False)


def with_short_pauses(seconds: float, run: Callable[[], Any]) -> None:
    """Run with shorter pauses between two tries to hire."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_pool, "_LOOK", seconds)
        asyncio.run(run())
