"""How the calls of one lane are made in batches: cheaper, slower, and outliving the process that sent them.

A batch is written down before it is sent (``batch_records``), so any later process collects it, and a question that is
in an open batch is in no other. What happened to a batch whose process died while it was being sent is found out by asking the
server; until that is known, its questions wait. docs/design/batches.md tells why nothing is submitted twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from bclust.calls.answers import Remarks, fault_of
from bclust.calls.batch_records import COLLECTED, REFUSED, UNSENT, BatchRecords, OpenBatch, age, custom_id, payloads
from bclust.calls.limits import Budget, bounded_cost
from bclust.calls.progress import Progress
from bclust.functions import Answer, CallError, Unsure

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence

    from bclust.calls.claims import Claims
    from bclust.calls.store import Call
    from bclust.functions import BatchLane, Lane

T = TypeVar("T")

_SLOWER, _SLOWEST = 1.5, 12.0  # the wait between two looks grows by this factor, to so many times the first
_PATIENCE = 10  # a server that does not answer is asked so many times the tries of a single call
_TRANSFER_S = 600.0  # for a file to be sent, fetched or looked into
_LOOKS_FOR_MISSING = 3  # results that lack a question may be incomplete: so often they are fetched
_OVERHEAD = 512  # bytes that a question takes beyond its payload
_SENDING = 2 / 3  # the share of the grace after which a sending is given up, so that nothing is on its way when it ends


class _HaltedError(Exception):
    """The build was stopped while the server was asked something that can be asked again."""


@dataclass
class BatchRun:
    """The calls of one lane, made in batches; the counterpart of ``LaneRun``.

    ``records`` is shared by all runs of a process. ``answered`` says which of some keys have an answer by now. ``store`` is told
    since when an answer is no longer in the way of the one that it is handed (microseconds). ``claims`` keep a question out of a
    batch while another process asks it directly; answers from before ``since`` count as none.
    """

    function: str
    name: str
    lane: Lane
    batches: BatchLane
    calls: Sequence[Call]
    store: Callable[[Call, Answer, Callable[[], None], Callable[[str], None], int | None], None]
    fail: Callable[[Call, str, int], None]
    stop: threading.Event
    budget: Budget
    on_room: Callable[[], None]
    records: BatchRecords
    answered: Callable[[Sequence[bytes]], Collection[bytes]]
    claims: Claims
    since: int | None = None

    done: int = 0
    failed: int = 0
    retries: int = 0
    tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    doubtful: int = 0
    doubtful_usd: float | None = 0.0
    seconds: float = 0.0
    fatal: str | None = None
    exhausted: bool = False
    messages: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._limits = self.batches.limits
        self._most = max(1, self._limits.max_requests)
        self._total = len(self.calls)
        self._unsettled = {call.key: call for call in self.calls}
        self._queue: deque[Call] = deque()
        self._elsewhere: dict[bytes, Call] = {}  # in a batch that another run looks after, or asked by another process
        self._open: dict[int, OpenBatch] = {}
        self._unneeded: set[int] = set()  # of those: batches of this lane that hold no call of this run
        self._reserved: dict[int, float] = {}  # for batches that this build sent
        self._first_look: dict[int, float] = {}
        self._there: dict[int, int] = {}  # answers that the server has for an open batch
        self._incomplete: dict[int, int] = {}
        self._tries: dict[bytes, int] = {}
        self._needs_bound = self.budget.max_cost is not None
        self._interval = self._limits.poll_s
        self._not_before = 0.0
        self._setbacks = self._troubles = 0
        self._blocked = False
        self._note = ""
        self._remarks = Remarks(self.lane)
        self._halted, self._wake = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Make the calls; returns when all have an answer, have failed, or may not be made."""
        began = asyncio.get_running_loop().time()
        try:
            if await self._entered():
                try:
                    await self._work()
                finally:
                    self.records.leave(self._open)
                    for number in list(self._open):
                        self._paid(number, None)
        finally:
            self.seconds = asyncio.get_running_loop().time() - began

    def halt(self) -> None:
        """Send no more batches and wait for none; what is being sent is still written down."""
        self._halted.set()
        self._wake.set()

    def pump(self) -> None:
        """Money was released: look whether a batch may be sent."""
        if self._blocked:
            self._blocked = False
            self._wake.set()

    def check_price(self) -> None:
        """Raises BudgetError when a maximal cost is set and this lane's price is unknown."""
        if self._needs_bound:
            self._bound(self.calls[0])

    def _bound(self, call: Call) -> float:
        return bounded_cost(self.lane, call.payload, self.function, self.name)

    # --- the loop ----------------------------------------------------------------------------------------------

    async def _entered(self) -> bool:
        """Wait until no other process works on the batches of this store; False if the build was stopped before."""
        while not self._stopped:
            if self.records.enter():
                self._note = ""
                for key in self.answered([call.key for call in self.calls]):  # by a process that was waited for
                    del self._unsettled[key]
                self._total = len(self._unsettled)
                self._queue.extend(self._unsettled.values())
                return True
            self._note = f"{self.records.holder} works on the batches of this call store; waiting for it"
            await self._pause(min(5.0, self._limits.poll_s))
        return False

    async def _work(self) -> None:
        self._unneeded = self._take_over()
        self._set_aside()
        while not self._stopped:
            settled = len(self._unsettled)
            with contextlib.suppress(_HaltedError):
                for opened in list(self._open.values()):
                    if self.fatal is None:
                        await (self._confirm if opened.batch.remote_id is None else self._collect)(opened)
                await self._submit_all()
            for number in self._unneeded & self._open.keys():  # looked at once, but not waited for
                self._let_go(number)
            self._look_elsewhere()
            if self._is_over():
                return
            self._interval = min(self._interval * _SLOWER, self._limits.poll_s * _SLOWEST)
            if len(self._unsettled) < settled:
                self._interval = self._limits.poll_s
            await self._pause(self._interval)

    @property
    def _stopped(self) -> bool:
        return self._halted.is_set() or self.stop.is_set()

    def _is_over(self) -> bool:
        if self._stopped or self.fatal is not None:
            return True
        if self._open or self._elsewhere:
            return False
        self.exhausted = bool(self._queue) and self._blocked and self.budget.reserved < 1e-9
        return not self._queue or self.exhausted or self._limits.collect_only

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        if not self._stopped:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)

    async def _asked(self, question: Coroutine[Any, Any, T], seconds: float | None) -> T:
        """What the server says to something that may be asked again: given up when the build is stopped."""
        task, halted = asyncio.ensure_future(question), asyncio.ensure_future(self._halted.wait())
        done, _ = await asyncio.wait({task, halted}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        halted.cancel()
        if task not in done:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self._halted.is_set():
                raise _HaltedError
            raise CallError(f"no answer within {seconds:g} s", retry=True)
        try:
            return task.result()
        except (CallError, Unsure):
            raise
        except Exception as error:
            raise CallError(f"{type(error).__name__}: {error}", retry=True) from error

    # --- batches that exist already ----------------------------------------------------------------------------

    def _take_over(self) -> set[int]:
        """Look after the open batches that hold calls of this run, and after those of its lane; returns the latter."""
        needed = set(self.records.holding(list(self._unsettled)).values())
        unneeded = set()
        for opened in self.records.open():
            own = (opened.function, opened.lane) == (self.function, self.name)
            if not (own or opened.id in needed) or not self.records.claim(opened.id):
                continue
            self._open[opened.id] = opened
            if opened.batch.sent_at is None:
                self.records.close(opened, UNSENT)
                self._let_go(opened.id)
            elif opened.id not in needed:
                unneeded.add(opened.id)
        return unneeded

    def _set_aside(self) -> None:
        """Calls that are in an open batch leave the queue."""
        held = self.records.holding([call.key for call in self._queue])
        if held:
            self._elsewhere.update({c.key: c for c in self._queue if c.key in held and held[c.key] not in self._open})
            self._queue = deque(call for call in self._queue if call.key not in held)

    def _look_elsewhere(self) -> None:
        """Calls that another run of this process looked after: answered, or to be asked here."""
        if not self._elsewhere:
            return
        self._unneeded |= self._take_over()  # what that run left behind
        held = self.records.holding(list(self._elsewhere))
        self._elsewhere = {key: call for key, call in self._elsewhere.items() if held.get(key) not in self._open}
        released = [call for key, call in self._elsewhere.items() if key not in held]
        for key in self.answered([call.key for call in released]):
            self._unsettled.pop(key, None)
            self._total -= 1
        for call in released:
            del self._elsewhere[call.key]
        self._queue.extend(call for call in released if call.key in self._unsettled)

    async def _confirm(self, opened: OpenBatch) -> None:
        """Find out whether a batch whose sending was cut off is at the server."""
        now = asyncio.get_running_loop().time()
        waited = max(age(opened.batch), now - self._first_look.setdefault(opened.id, now))
        try:
            remote_id = await self._asked(self.batches.find(opened.batch, self.records.remote_ids()), _TRANSFER_S)
        except Unsure as unsure:
            self._note = str(unsure)
        except CallError as error:
            self._trouble(opened, error)
        else:
            self._troubles, self._note = 0, ""
            if remote_id is not None:
                self._open[opened.id] = self.records.submitted(opened, remote_id)
            elif opened.id in self._unneeded:
                pass  # the lane may have had another server then: that this one does not have it proves nothing
            elif waited > self._limits.grace_s:
                self._release(opened, self.records.calls(opened).values(), UNSENT)
            else:
                within = f"within {self._limits.grace_s:g} s of its sending"
                self._note = f"a batch may still be on its way; if it does not turn up {within}, it is sent anew"

    async def _collect(self, opened: OpenBatch) -> None:
        """See how far a batch is, and keep its answers when it has ended."""
        try:
            state = await self._asked(self.batches.look(opened.batch), self.lane.limits.timeout_s)
            self._there[opened.id] = state.answered
            self._troubles, self._note = 0, ""
            if not state.ended:
                return
            calls = self.records.calls(opened)
            if state.refused is not None:
                self._most = max(1, opened.batch.questions // 2) if state.refused.throttled else self._most
                self._refused(opened, calls, state.refused)
                return
            results = await self._asked(self.batches.results(opened.batch, payloads(calls)), _TRANSFER_S)
        except CallError as error:
            self._trouble(opened, error)
            return
        seen = self._incomplete[opened.id] = self._incomplete.get(opened.id, 0) + 1
        if calls.keys() <= results.keys() or seen >= _LOOKS_FOR_MISSING:
            await self._settle(opened, calls, results)

    def _trouble(self, opened: OpenBatch, error: CallError) -> None:
        """The server did not say: ask again later, or give up on this batch or the lane. The batch stays open."""
        self._note = error.message
        self._troubles += 1
        if error.fatal or self._troubles > _PATIENCE * (self.lane.limits.max_retries + 1):
            self._end_lane(error.message)
        elif not error.retry:
            for call in self.records.calls(opened).values():
                self._give_up(call, error.message, 0)
            self._let_go(opened.id)

    # --- new batches -------------------------------------------------------------------------------------------

    async def _submit_all(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._stopped or self.fatal or self._limits.collect_only) and loop.time() >= self._not_before:
            chosen, reserved = self._choose()
            if not chosen:
                return
            calls = await self._claimed(chosen)
            if not calls:
                continue
            if len(calls) < len(chosen):
                reserved = sum(self._bound(call) for call in calls) if self._needs_bound else 0.0
            opened = self.records.prepare(calls, self.batches.memo())
            self.claims.release(call.key for call in calls)  # being in an open batch, they are asked by no one else
            self.records.claim(opened.id)
            self.budget.begin(len(calls), reserved)
            self._open[opened.id], self._reserved[opened.id] = opened, reserved
            await self._submit(opened, {custom_id(opened.batch.token, i): call for i, call in enumerate(calls)})

    async def _claimed(self, calls: Sequence[Call]) -> list[Call]:
        """Those that no other process asks or has answered meanwhile; the others wait, or need no call."""
        taken = await self.claims.take([call.key for call in calls], self.since)
        for key in taken.answered:
            del self._unsettled[key]
        self._total -= len(taken.answered)
        self._elsewhere.update({call.key: call for call in calls if call.key in taken.held or call.key in taken.batched})
        if taken.held:
            self._note = f"{len(taken.held):,} wait for another build ({self.claims.names(taken.held.values())})"
        return [call for call in calls if call.key in taken.mine]

    def _choose(self) -> tuple[list[Call], float]:
        """The calls of the next batch, and what they cost at most: as many as limits and budget allow."""
        self._set_aside()
        chosen: list[Call] = []
        size = 0
        while self._queue and len(chosen) < self._most:
            size += len(self._queue[0].payload.encode()) + _OVERHEAD
            if chosen and size > self._limits.max_bytes:
                break
            chosen.append(self._queue.popleft())
        costs = [self._bound(call) for call in chosen] if self._needs_bound else [0.0] * len(chosen)
        room = self.budget.room(costs)
        self._blocked = room < len(chosen)
        if room < len(chosen) / 2 and self.budget.reserved > 1e-9:
            room = 0  # a batch takes long: better one of good size when money is released than a small one now
        self._queue.extendleft(reversed(chosen[room:]))
        return chosen[:room], sum(costs[:room])

    async def _submit(self, opened: OpenBatch, calls: Mapping[str, Call]) -> None:
        questions = payloads(calls)
        try:
            ready = await self._asked(self.batches.ready(opened.batch, questions), _TRANSFER_S)
        except _HaltedError:
            self._release(opened, calls.values(), UNSENT)
            raise
        except CallError as error:
            self._refused(opened, calls, error)
            return
        if self._stopped:
            self._release(opened, calls.values(), UNSENT)
            return
        opened = self._open[opened.id] = self.records.sending(opened, ready)
        try:
            async with asyncio.timeout(self._limits.grace_s * _SENDING):
                remote_id = await self.batches.send(opened.batch, questions)
        except CallError as error:
            self._refused(opened, calls, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server may have the batch
            self._note = f"the sending of a batch was cut off ({type(error).__name__}); looking whether it arrived"
        else:
            self._open[opened.id] = self.records.submitted(opened, remote_id)
            self._setbacks, self._interval, self._note = 0, self._limits.poll_s, ""

    def _refused(self, opened: OpenBatch, calls: Mapping[str, Call], error: CallError) -> None:
        """The server took none of a batch: send it again later, or have its calls fail."""
        self._release(opened, calls.values(), REFUSED)
        self._blocked = False
        self._setbacks += 1
        if error.fatal:
            self._end_lane(error.message)
        elif error.retry and self._setbacks <= _PATIENCE * (self.lane.limits.max_retries + 1):
            self.retries += 1
            self._note = error.message
            wait = error.after if error.after is not None else self._limits.poll_s * min(2**self._setbacks, _SLOWEST)
            self._not_before = asyncio.get_running_loop().time() + wait
        else:
            for call in calls.values():
                self._give_up(call, error.message, 1)
            self._queue = deque(call for call in self._queue if call.key in self._unsettled)

    def _release(self, opened: OpenBatch, calls: Collection[Call], outcome: str) -> None:
        """Close a batch of which nothing was asked: its calls are new again."""
        self.records.close(opened, outcome)
        self._interval = self._limits.poll_s / _SLOWER
        if opened.id in self._reserved:
            self.budget.begin(-len(calls), 0.0)
        self._queue.extendleft(call for call in reversed(list(calls)) if call.key in self._unsettled)
        self._paid(opened.id, 0.0)
        self._let_go(opened.id)

    def _let_go(self, number: int) -> None:
        """No longer look after a batch, whether it is closed or stays open."""
        self._paid(number, None)
        del self._open[number]
        self.records.claimed.discard(number)

    def _paid(self, number: int, cost: float | None) -> None:
        """What a batch of this build did cost; None for one that stays open: as much as it may cost."""
        reserved = self._reserved.pop(number, None)
        if reserved is not None:
            self.budget.end(reserved, reserved if cost is None else cost)
            self.on_room()

    # --- what became of it -------------------------------------------------------------------------------------

    async def _settle(self, opened: OpenBatch, calls: Mapping[str, Call], results: Mapping[str, Answer | CallError]) -> None:
        """Keep what came back; only when all of it is durable, the batch is closed."""
        spent, held, fatal = 0.0, 0.0, None
        for name, call in calls.items():
            result = results.get(name) or CallError("the batch ended without a readable answer to this question")
            if isinstance(result, Answer):
                fault = fault_of(result)
                cost = result.cost_usd
                spent += self._bound(call) if cost is None and self._needs_bound else cost or 0.0
                self.unpriced += cost is None and not self._needs_bound
                self.tokens += (result.input_tokens or 0) + (result.output_tokens or 0)
                if fault is not None:
                    self._give_up(call, fault, 1)
                    continue
                self._remarks.see(call.payload, result)
                since = None if opened.batch.sent_at is None else int(opened.batch.sent_at * 1e6)
                if self._unsettled.pop(call.key, None):
                    self.store(call, result, self._stored, functools.partial(self._unstorable, call), since)
                else:
                    self.store(call, result, _nothing, lambda _: None, since)
                continue
            if result.charged:
                most = self.lane.estimate(call.payload).cost_usd
                self.doubtful += 1
                self.doubtful_usd = None if most is None or self.doubtful_usd is None else self.doubtful_usd + most
                held += self._bound(call) if self._needs_bound else 0.0
            if result.retry and call.key in self._unsettled and self._try_again(call):
                continue
            fatal = fatal or (result.message if result.fatal else None)
            self._give_up(call, result.message, 1)
        await asyncio.to_thread(self.records.close, opened, COLLECTED)
        self.cost += spent
        self._paid(opened.id, spent + held)
        self._let_go(opened.id)
        if fatal is not None:
            self._end_lane(fatal)

    def _try_again(self, call: Call) -> bool:
        tries = self._tries[call.key] = self._tries.get(call.key, 0) + 1
        if tries > self.lane.limits.max_retries:
            return False
        self.retries += 1
        self._queue.append(call)
        return True

    def _stored(self) -> None:
        """Run by the store's writer thread, once per durable answer."""
        self.done += 1

    def _unstorable(self, call: Call, message: str) -> None:
        """Run by the store's writer thread for an answer that it cannot hold: that is a failure of its call alone."""
        self.failed += 1
        self.messages[message] = self.messages.get(message, 0) + 1
        self.fail(call, message, 0)

    def _end_lane(self, message: str) -> None:
        """No call of this lane can be made now: all that have no answer fail with the same message. Open batches stay so."""
        if self.fatal is None:
            self.fatal = message
        for i, call in enumerate(list(self._unsettled.values())):
            self._give_up(call, message, 1 if i == 0 else 0)
        self._queue.clear()

    def _give_up(self, call: Call, message: str, tries: int) -> None:
        if self._unsettled.pop(call.key, None) is not None:
            self.failed += 1
            self.messages[message] = self.messages.get(message, 0) + 1
        self.fail(call, message, tries)

    # --- what is seen of it ------------------------------------------------------------------------------------

    @property
    def waiting(self) -> tuple[int, int]:
        """Open batches of this run, and questions in them."""
        return len(self._open), sum(opened.batch.questions for opened in self._open.values())

    def progress(self) -> Progress:
        """Where this lane stands now."""
        batches, questions = self.waiting
        there = sum(self._there.get(number, 0) for number in list(self._open))
        return Progress(
            self.function, self.name, self.done, self._total, self.failed, self.retries, 0.0, None, self.tokens,
            None if self.unpriced else self.cost,
            batches, batches, questions, there, self._note, remark=self._remarks.text,
        )  # fmt: skip


def _nothing() -> None:
    """An answer that this build did not need is stored, but not counted."""
