"""How the calls of one lane are made: as many at once as the server takes, as fast as allowed, each until it has an answer.

A *lane* is one answering party behind a paid function. Its calls run on the asyncio loop of ``CallDesk.answer``; nothing
here knows what is asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import functools
import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bclust.calls.answers import Remarks, fault_of
from bclust.calls.limits import Budget, Concurrency, Pace, bounded_cost
from bclust.calls.progress import Progress, Speed, spread_out
from bclust.errors import StoreError
from bclust.functions import Answer, CallError, wire

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from bclust.calls.arrivals import Arrivals
    from bclust.calls.claims import Supply
    from bclust.calls.store import Call
    from bclust.functions import Lane

_LONGEST_WAIT = 60.0  # seconds between two tries, where the server names no time
_LONGEST_PAUSE = 15.0  # and between two looks whether a server is there again
_TOO_SHORT_TO_SAY = 1.0  # seconds of waiting
_THROTTLE_PATIENCE = 10  # a server that asks to slow down gets this many times the tries of one that fails


@dataclass(slots=True)
class _Batch:
    """Calls that are made together, and what they have been through. ``tokens`` are those that the last try was paced by."""

    calls: list[Call]
    tries: int = 0
    throttles: int = 0
    tokens: int = 0
    garbled: int = 0
    began_after: int = 0  # answers of the lane when the last try began
    late: bool = False  # found nobody at the server, once, while others were answered


@dataclass
class LaneRun:
    """The calls of one lane, made once.

    ``store`` is handed every answer (with what to run once it is durable, and what if it cannot be stored), ``fail`` every call
    that will get none now. ``supply`` hands out the calls as they become this process's to make; None: all are. What is
    read stands in ``arrivals`` until it is stored; of what is found there, only what was asked after ``since`` (microseconds) is
    used.
    """

    function: str
    name: str
    lane: Lane
    calls: Sequence[Call]
    store: Callable[[Call, Answer, Callable[[], None], Callable[[str], None]], None]
    fail: Callable[[Call, str, int], None]
    stop: threading.Event
    budget: Budget
    on_room: Callable[[], None]  # money was released: other lanes may go on
    supply: Callable[[Sequence[Call], int], Supply] | None = None
    arrivals: Arrivals | None = None
    since: int | None = None

    done: int = 0
    failed: int = 0
    retries: int = 0
    tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0  # answers whose price nobody knows
    doubtful: int = 0  # tries that may have been charged for nothing
    doubtful_usd: float | None = 0.0  # and what they cost at most; None: unknown
    in_flight: int = 0
    seconds: float = 0.0
    fatal: str | None = None
    exhausted: bool = False
    broken: BaseException | None = None
    messages: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = self._limits = self.lane.limits
        self._concurrency = Concurrency(max(1, limits.max_concurrency), first_alone=limits.first_alone)
        self._requests, self._tokens = Pace(limits.requests_per_minute), Pace(limits.tokens_per_minute)
        self._paused_until = 0.0
        ordered = _in_like_batches(self.calls, limits.batch_size) if limits.sort_by_length else list(self.calls)
        self._supply = self.supply(ordered, limits.batch_size * limits.max_concurrency) if self.supply else None
        self._queue: deque[_Batch] = deque()
        if self._supply is None:
            self._arrive(ordered)
        self._later: list[tuple[float, int, _Batch]] = []
        self._count = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._speed = Speed(limits.sort_by_length)
        self._needs_bound = self.budget.max_cost is not None
        self._halted = self._began = False
        self._remarks = Remarks(self.lane)
        self._answers = 0
        self._silent_since: float | None = None  # since when a server that is away, or asks to wait, has answered nothing
        self._outages = 0  # times in a row that nobody was there
        self._reason = ""  # why the lane waits
        self._finished = asyncio.Event()

    async def run(self) -> None:
        """Make the calls; returns when all have an answer, have failed, or may not be made."""
        self._loop = asyncio.get_running_loop()
        began = self._loop.time()
        self._speed.begin(began)
        self._began = True
        self.pump()
        await self._finished.wait()
        self.seconds = self._loop.time() - began
        if self._supply:
            self._supply.close()
        if self.broken:
            raise self.broken

    def halt(self) -> None:
        """Start no more calls; those under way may still arrive."""
        self._halted = True
        if hasattr(self.lane, "halt"):
            self.lane.halt()
        if self._began and not self._finished.is_set():
            self.pump()

    # --- when to start a call ----------------------------------------------------------------------------------

    def pump(self) -> None:
        """Start every call that may start now; see when the next may; notice the end."""
        if self._finished.is_set():
            return  # no one waits for this lane any more: a call begun now would be cut off, and paid
        if self._timer:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time()
        if self._supply:
            self._look_at(self._supply)
        while self._later and self._later[0][0] <= now:
            self._queue.appendleft(heapq.heappop(self._later)[2])
        halted = self._halted or self.stop.is_set() or self.broken is not None or self.fatal is not None
        blocked = False
        while self._queue and not halted and not blocked and self.in_flight < int(self._concurrency.limit):
            if now < self._opens():
                break
            blocked = not self._start(now)
        self.exhausted = blocked and self.budget.reserved < 1e-9
        over = halted or self.exhausted
        if self._supply and not (over or blocked):
            self._supply.refill(len(self._queue) * self._limits.batch_size, self.pump)
        expected = self._supply is not None and self._supply.pending
        if not self.in_flight and (over or not (self._queue or self._later or expected)):
            self._finished.set()
        elif not over and not blocked:
            self._wake(now)

    def _look_at(self, supply: Supply) -> None:
        """Take in the calls that have become ours; give back those that may no longer be."""
        self.broken = self.broken or supply.broken
        if supply.lapsed():
            supply.take_back(call for batch in [*self._queue, *(b for _, _, b in self._later)] for call in batch.calls)
            self._queue.clear()
            self._later.clear()
        else:
            self._arrive(supply.ready())

    def _arrive(self, calls: Sequence[Call]) -> None:
        """Calls that may be made now join the queue, in batches."""
        size = max(1, self._limits.batch_size)
        if self.arrivals and calls:
            by_key = {call.key: call for call in calls}
            for keys in self.arrivals.together(by_key):
                if all(key in by_key for key in keys):
                    self._queue.append(_Batch([by_key.pop(key) for key in keys]))
            calls = list(by_key.values())
        self._queue.extend(_Batch(list(calls[i : i + size])) for i in range(0, len(calls), size))

    def _wake(self, now: float) -> None:
        """Come back when the next call may start, if nothing else will wake this lane before."""
        times = [self._later[0][0]] if self._later else []
        if self._queue and now < self._opens():
            times = [self._opens()]
        if times:
            self._timer = self._loop.call_at(min(times), self.pump)

    def _opens(self) -> float:
        return max(self._requests.opens, self._tokens.opens, self._paused_until)

    def _start(self, now: float) -> bool:
        """Start the next batch, cut to what the budget allows; False if that is nothing."""
        batch = self._queue.popleft()
        costs = [self._bound(call) for call in batch.calls] if self._needs_bound else [0.0] * len(batch.calls)
        room = self.budget.room(costs)
        if room < len(batch.calls):
            if room < 1:
                self._queue.appendleft(batch)
                return False
            self._queue.appendleft(dataclasses.replace(batch, calls=batch.calls[room:]))
            batch = dataclasses.replace(batch, calls=batch.calls[:room])
        reserved = sum(costs[:room])
        self.budget.begin(room, reserved)
        self._pace(now, batch)
        self.in_flight += 1
        task = self._loop.create_task(self._one(batch, self.in_flight, self._concurrency.epoch, reserved))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return True

    def check_price(self) -> None:
        """Raises BudgetError when a maximal cost is set and this lane's price is unknown."""
        if self.budget.max_cost is not None:
            self._bound(self.calls[0])

    def _bound(self, call: Call) -> float:
        return bounded_cost(self.lane, call.payload, self.function, self.name)

    def _pace(self, now: float, batch: _Batch) -> None:
        """Keep to requests and tokens per minute."""
        self._requests.take(now, 1)
        if self._limits.tokens_per_minute:
            batch.tokens = sum(
                e.input_tokens + e.output_tokens for e in (self.lane.estimate(call.payload) for call in batch.calls)
            )
            self._tokens.take(now, batch.tokens)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.in_flight -= 1
        if not task.cancelled() and task.exception() is not None:
            self.broken = task.exception()
        self.pump()
        if self._needs_bound:
            self.on_room()

    # --- what became of it -------------------------------------------------------------------------------------

    async def _one(self, batch: _Batch, depth: int, epoch: int, reserved: float) -> None:
        started = self._loop.time()
        batch.tries += 1
        batch.began_after = self._answers
        exchange = self.arrivals.of(tuple(call.key for call in batch.calls), self.since) if self.arrivals else None
        wire.set(exchange)  # this task's own
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                results = await self.lane.answer([call.payload for call in batch.calls])
            if len(results) != len(batch.calls):
                raise CallError(f"{len(results)} answers to {len(batch.calls)} questions")
        except TimeoutError:
            self._concurrency.throttled(depth, epoch)
            missed = CallError(f"no answer within {self._limits.timeout_s:g} s", retry=True, charged=True)
        except CallError as error:
            missed = error
        except Exception as error:  # noqa: BLE001 - a fault in a provider costs its rows, not the build
            missed = CallError(f"{type(error).__name__}: {error}", charged=True)
        else:
            self._concurrency.succeeded(epoch)
            self._answers += 1
            self._silent_since, self._outages, self._reason = None, 0, ""
            earlier = exchange.ms if exchange else None
            latency_ms = (self._loop.time() - started) * 1000 if earlier is None else earlier
            self.budget.end(reserved, self._received(batch, results, latency_ms))
            return
        if missed.charged:
            self._doubt(batch.calls)
        self.budget.end(reserved, reserved if missed.charged else 0.0)
        self._missed(batch, missed, depth, epoch)

    def _doubt(self, calls: Sequence[Call]) -> None:
        """These may have been charged, and nobody knows: what they cost at most is said, and stays reserved."""
        self.doubtful += len(calls)
        for call in calls:
            most = self.lane.estimate(call.payload).cost_usd
            self.doubtful_usd = None if most is None or self.doubtful_usd is None else self.doubtful_usd + most

    def _received(self, batch: _Batch, results: Sequence[Answer | CallError], latency_ms: float) -> float:
        """Keep the answers, try again what may pass; returns their cost, with what the others may have cost."""
        again: list[Call] = []
        spent, held, before = 0.0, 0.0, self.tokens
        read: list[Call] = []
        unwritten: StoreError | None = None
        for call, result in zip(batch.calls, results, strict=True):
            if isinstance(result, Answer):
                fault = fault_of(result)
                if result.latency_ms is None:
                    result.latency_ms = latency_ms
                cost = result.cost_usd
                spent += self._bound(call) if cost is None and self._needs_bound else cost or 0.0
                self.unpriced += cost is None and not self._needs_bound
                self.tokens += (result.input_tokens or 0) + (result.output_tokens or 0)
                if fault is not None:
                    self._give_up(call, fault, batch.tries)
                    continue
                read.append(call)
                self._remarks.see(call.payload, result)
                try:
                    self.store(call, result, self._stored, functools.partial(self._unstorable, call))
                except StoreError as error:  # the others of this batch are handed over, too: they may yet be written
                    unwritten = error
                continue
            if result.charged:
                self._doubt([call])
                held += self._bound(call) if self._needs_bound else 0.0
            if result.retry and batch.tries <= (1 if result.garbled else self._limits.max_retries):
                again.append(call)
            else:
                self._give_up(call, result.message, batch.tries)
        self.cost += spent
        self._settled(read, self.tokens - before)
        self._tokens.give_back(batch.tokens - (self.tokens - before))
        if again:
            self._try_later(_Batch(again, batch.tries, batch.throttles), None)
        if unwritten is not None:
            raise unwritten
        return spent + held

    def _stored(self) -> None:
        """Run by the store's writer thread, once per durable answer."""
        self.done += 1

    def _unstorable(self, call: Call, message: str) -> None:
        """Run by the store's writer thread for an answer that it cannot hold: that is a failure of its call alone."""
        self.failed += 1
        self.messages[message] = self.messages.get(message, 0) + 1
        self.fail(call, message, 0)

    def _missed(self, batch: _Batch, error: CallError, depth: int, epoch: int) -> None:
        """The whole batch has no answer: wait and try again, find the culprit, or give up."""
        if error.unmade:
            batch.tries -= 1
            self._queue.appendleft(batch)
            return
        batch.garbled += error.garbled
        if self._is_waited_for(batch, error):
            return
        if error.throttled:
            batch.throttles += 1
            if not self._concurrency.throttled(depth, epoch) and error.after:
                self._paused_until = max(self._paused_until, self._loop.time() + error.after)
        tries, patience = batch.tries, self._limits.max_retries
        if error.throttled:
            patience *= _THROTTLE_PATIENCE
        else:
            tries -= batch.throttles
        if error.fatal:
            self._end_lane(batch, error.message)
        elif error.retry and tries <= patience and batch.garbled <= 1:
            self._try_later(batch, error.after)
        elif len(batch.calls) > 1 and not error.garbled:
            half = len(batch.calls) // 2
            self._queue.appendleft(_Batch(batch.calls[half:], batch.tries - 1))
            self._queue.appendleft(_Batch(batch.calls[:half], batch.tries - 1))
        else:
            for call in batch.calls:
                self._give_up(call, error.message, batch.tries)

    def _is_waited_for(self, batch: _Batch, error: CallError) -> bool:
        """Whether all wait for a server that is gone, or no longer do, so that nothing is left to be done for this call."""
        if not (error.away or error.throttled or error.after):
            return False
        self._reason = error.message
        if self._is_too_long(batch, error):
            return True
        was_there = error.away and self._answers > 0
        gone = was_there and self._answers == batch.began_after
        # an answer that was under way when the server went says nothing; a call that fails so again beside others is at fault
        late = was_there and not gone and not batch.late
        if gone:
            self._wait_for_server(batch)
        elif late:
            batch.late = True
            batch.tries -= 1
            self._try_later(batch, error.after)
        return gone or late

    def _is_too_long(self, batch: _Batch, error: CallError) -> bool:
        """Whether the server is waited for no longer; if so, the lane has ended."""
        most, now = self._limits.max_wait_s, self._loop.time()
        if error.after is not None and error.after > most:
            asked = f"{error.message}: it asks to wait {_span(error.after)}, and max_wait_s is {_span(most)}"
            self._end_lane(batch, f"{asked}; build again then, or raise max_wait_s")
            return True
        if self._silent_since is None:
            self._silent_since = now
        waited = now - self._silent_since
        if waited > most:
            self._end_lane(
                batch, f"{error.message}: no answer for {_span(waited)}, and max_wait_s is {_span(most)}; build again later"
            )
        return waited > most

    def _wait_for_server(self, batch: _Batch) -> None:
        """Nobody is there who was there before: all wait, and this call has lost no try."""
        now = self._loop.time()
        batch.tries -= 1
        self.retries += len(batch.calls)
        self._queue.appendleft(batch)
        if now >= self._paused_until:
            self._paused_until = now + min(_LONGEST_PAUSE, self._limits.initial_sleep_s * 2**self._outages)
            self._outages += 1
        self._concurrency.alone()

    def _try_later(self, batch: _Batch, after: float | None) -> None:
        self.retries += len(batch.calls)
        jitter = random.random()  # noqa: S311 - spreads retries, keeps no secret
        backoff = min(_LONGEST_WAIT, self._limits.initial_sleep_s * 2**batch.tries) * (0.5 + jitter)
        wait = after * (1 + 0.1 * jitter) if after else backoff
        heapq.heappush(self._later, (self._loop.time() + wait, next(self._count), batch))

    def _end_lane(self, batch: _Batch, message: str) -> None:
        """No call of this lane can succeed: what waits fails with the same message, what is under way may still arrive."""
        if self.fatal is None:
            self.fatal = message
        self._give_up(batch.calls[0], message, batch.tries)
        waiting = [*batch.calls[1:], *(c for b in self._queue for c in b.calls), *(c for _, _, b in self._later for c in b.calls)]
        waiting += self._supply.close() if self._supply else []
        for call in waiting:
            self._give_up(call, message, 0)
        self._queue.clear()
        self._later.clear()

    def _settled(self, calls: Sequence[Call], tokens: int = 0) -> None:
        self._speed.settled(self._loop.time(), len(calls), tokens)

    def _give_up(self, call: Call, message: str, tries: int) -> None:
        if tries:
            self._settled([call])
        self.failed += 1
        self._concurrency.failed()
        self.messages[message] = self.messages.get(message, 0) + 1
        self.fail(call, message, tries)

    # --- what is seen of it ------------------------------------------------------------------------------------

    def progress(self) -> Progress:
        """Where this lane stands now."""
        now = self._loop.time()
        total = len(self.calls) - (self._supply.answered if self._supply else 0)
        left = total - self.done - self.failed
        calls_per_second, tokens_per_second = self._speed.per_second(now)
        return Progress(
            self.function, self.name, self.done, total, self.failed, self.retries, calls_per_second,
            self._speed.left_s(now, left), self.tokens, None if self.unpriced else self.cost, self.in_flight,
            note=self._waits(now), asked_elsewhere=self._supply.note if self._supply else "", remark=self._remarks.text,
            tokens_per_second=tokens_per_second,
        )  # fmt: skip

    def _waits(self, now: float) -> str:
        """Why nothing is asked at present, and until when; nothing where something is."""
        begins = max(self._opens(), self._later[0][0] if self._later and not self._queue else 0.0)
        if self.in_flight or not self._reason or not (self._queue or self._later) or begins <= now + _TOO_SHORT_TO_SAY:
            return ""
        until = dt.datetime.now() + dt.timedelta(seconds=begins - now)  # noqa: DTZ005 - the clock on the wall
        return f"{self._reason}; waits until {until:%H:%M:%S}"


def _in_like_batches(calls: Sequence[Call], batch_size: int) -> list[Call]:
    """Calls whose batches have questions of like length, which need no padding, and come in an order that is like the whole."""
    ordered = sorted(calls, key=lambda call: (len(call.payload), call.payload))
    full = len(ordered) - len(ordered) % batch_size  # a batch that is not full comes last, so that no other begins within it
    batches = [ordered[i : i + batch_size] for i in range(0, full, batch_size)]
    return [call for batch in [*spread_out(batches), ordered[full:]] for call in batch]


def _span(seconds: float) -> str:
    """
    >>> _span(90), _span(600), _span(86400), _span(float("inf"))
    ('90 s', '10 min', '24 h', 'for ever')
    """
    if seconds == float("inf"):
        return "for ever"
    if seconds > 365 * 86400:
        return f"{seconds / (365.25 * 86400):,.0f} years"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
