"""The workers of one stretch of calls: batches of several lanes are dealt to them, and what is lost is run again.

It runs on the loop of ``CallDesk.answer``. What a worker is, only ``hire`` knows: it gives an actor with the methods ``open``
and ``answer``.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bclust.functions import Answer, CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LaneName = tuple[str, str]  # function, lane

_MOST_LOSSES = 3  # workers that one batch may lose before it is taken for the cause
_PATIENCE = 300.0  # seconds without any worker, while batches wait
_LOOK = 1.0  # seconds between two looks at that


@dataclass(eq=False)
class _Job:
    """One batch until it is answered, and how many workers were lost while they had it."""

    lane: LaneName
    payloads: list[str]
    timeout_s: float | None
    done: asyncio.Future[Sequence[Answer | CallError]]
    losses: int = 0

    def settle(self, result: Sequence[Answer | CallError] | CallError) -> None:
        if self.done.done():
            return
        if isinstance(result, CallError):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


@dataclass
class _Hired:
    lane: LaneName
    actor: Any


class Pool:
    """So many workers, each with one lane open at a time, that take the batches of several lanes.

    A worker stays with its lane while that has batches waiting, and only takes a batch once it is ready for it: a worker that
    the cluster has no room for holds nothing up.
    """

    def __init__(self, size: int, hire: Callable[[LaneName], Any], dismiss: Callable[[Any], None]) -> None:
        self.size = size
        self._hire, self._end = hire, dismiss
        self._waiting: dict[LaneName, deque[_Job]] = {}
        self._serving: Counter[LaneName] = Counter()  # workers per lane, those that are being started included
        self._halted: set[LaneName] = set()
        self._suspects: set[str] = set()  # payloads of batches that were taken for the cause of a loss
        self._ready = 0
        self._stillborn = 0  # workers lost in a row before they were ready
        self._slots: list[asyncio.Task[None]] = []

    async def answer(self, lane: LaneName, payloads: list[str], timeout_s: float | None) -> Sequence[Answer | CallError]:
        """Answer one batch. Raises CallError."""
        loop = asyncio.get_running_loop()
        if not self._slots:
            self._changed = asyncio.Event()
            self._idle_since = loop.time()
            self._slots = [loop.create_task(self._slot()) for _ in range(self.size)]
        job = _Job(lane, payloads, timeout_s, loop.create_future())
        self._put(job)
        while not job.done.done():
            await asyncio.wait([job.done], timeout=_LOOK)
            if not self._ready and loop.time() - self._idle_since > _PATIENCE:
                self._refuse(lane, CallError(f"no Ray worker could be had in {_PATIENCE:.0f} s: see ray status", fatal=True))
        return job.done.result()

    def halt(self, lane: LaneName) -> None:
        """Give back the batches of this lane that wait for a worker."""
        self._halted.add(lane)
        self._refuse(lane, CallError("stopped", unmade=True))

    async def close(self) -> None:
        """End all workers."""
        slots, self._slots = self._slots, []
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)

    # --- one worker after another in one slot -------------------------------------------------------------------

    async def _slot(self) -> None:
        worker: _Hired | None = None
        try:
            while True:
                lane = await self._lane_to_serve(worker)
                if worker is None:
                    worker = await self._hired(lane)
                elif worker.lane != lane or not await self._serve(worker):
                    self._dismiss(worker)
                    worker = None
        finally:
            if worker is not None:
                self._dismiss(worker)

    async def _lane_to_serve(self, worker: _Hired | None) -> LaneName:
        """The worker's own lane if it has batches waiting, else the one with the fewest workers of those that have."""
        while True:
            waiting = [lane for lane, jobs in self._waiting.items() if jobs]
            if worker is not None and worker.lane in waiting:
                return worker.lane
            if waiting:
                return min(waiting, key=self._serving.__getitem__)
            self._changed.clear()
            await self._changed.wait()

    async def _hired(self, lane: LaneName) -> _Hired | None:
        """A worker with this lane open; None where it was lost before, or cannot open it."""
        self._serving[lane] += 1
        actor = None
        try:
            actor = self._hire(lane)
            refusal = await actor.open.remote()
        except Exception as error:  # noqa: BLE001 - Ray's many words for: there is no worker
            self._stillborn += 1
            refusal = None
            if self._stillborn >= self.size + _MOST_LOSSES:
                refusal = CallError(f"Ray workers cannot be started: {first_line(error)}", fatal=True)
        except BaseException:
            self._end(actor)
            raise
        else:
            if refusal is None:
                self._stillborn = 0
                self._ready += 1
                return _Hired(lane, actor)
        self._serving[lane] -= 1
        self._end(actor)
        if refusal is not None:
            self._refuse(lane, refusal)
        await asyncio.sleep(_LOOK)
        return None

    def _dismiss(self, worker: _Hired) -> None:
        self._end(worker.actor)
        self._serving[worker.lane] -= 1
        self._ready -= 1
        self._idle_since = asyncio.get_running_loop().time()

    async def _serve(self, worker: _Hired) -> bool:
        """Let the worker answer the next batch of its lane; False when it is no longer of use."""
        jobs = self._waiting[worker.lane]
        if not jobs:
            return True
        job = jobs.popleft()
        try:
            async with asyncio.timeout(job.timeout_s):
                job.settle(await worker.actor.answer.remote(job.payloads))
        except TimeoutError:
            job.settle(CallError(f"no answer within {job.timeout_s:g} s", retry=True))
        except Exception as error:  # noqa: BLE001 - the worker catches what its lane raises: this is a loss, in Ray's many words
            self._lost(job, error)
        else:
            return True
        return False

    # --- what becomes of a batch --------------------------------------------------------------------------------

    def _put(self, job: _Job, *, first: bool = False) -> None:
        if job.lane in self._halted:
            job.settle(CallError("stopped", unmade=True))
            return
        jobs = self._waiting.setdefault(job.lane, deque())
        jobs.insert(0 if first else len(jobs), job)
        self._changed.set()

    def _lost(self, job: _Job, error: Exception) -> None:
        """Run the batch again elsewhere, unless it seems to be what ends the workers: then it is halved by whoever asked."""
        job.losses += 1
        known = all(payload in self._suspects for payload in job.payloads)
        if job.losses < (1 if known else _MOST_LOSSES):
            self._put(job, first=True)
            return
        self._suspects.update(job.payloads)
        job.settle(CallError(f"Ray workers were lost while they computed this: {first_line(error)}"))

    def _refuse(self, lane: LaneName, error: CallError) -> None:
        for job in self._waiting.pop(lane, ()):
            job.settle(error)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
