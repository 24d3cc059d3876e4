"""Who asks what now: a question that one process is about to ask is asked by no other.

A claim is a row of the store: a key, and the process that took it. It is taken in the transaction that sees that there is no
answer yet, and goes away in the one that stores the answer. A process whose claim is alive is waited for; the claim of a dead one
is taken over. Dead is a process that has certainly ended on this machine, or one that has given no sign of life for a minute.
docs/design/claims.md tells why no clock of another machine is trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from bclust.calls.owners import Process, is_gone, read_owners
from bclust.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from concurrent.futures import Future

    from bclust.calls.store import Call, CallStore

_BEAT_S = 10.0  # seconds between two signs of life
_DEAD_AFTER = 6  # signs of life that we gave while another gave none
_LAPSED_S = 40.0  # without a sign of life for so long (of those 60), what we claimed may be another's by now
_LOOK_S = 0.3  # between two looks at what another process has under way, at least
_AT_ONCE = 500  # keys in one statement
_AHEAD = 64  # calls that are claimed before they start, at least


class Taken(NamedTuple):
    """What became of some keys that were to be claimed: ours to ask; answered; in an open batch; or another process's."""

    mine: set[bytes]
    answered: set[bytes]
    batched: set[bytes]
    held: dict[bytes, int]


class Claims:
    """The claims of this process, for as long as it makes calls. All are given up at the end."""

    def __init__(self, store: CallStore) -> None:
        self.store = store
        self._beats = 0
        self._seen: dict[int, tuple[int, int]] = {}  # another process: its signs of life, and ours when that number was new
        self._processes: dict[int, Process] = {}
        self.era = 0  # grows when this process gives a sign of life after too long a silence
        self._last_beat = _clocks()
        self._ended = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._heart is not None:
            self._heart.join()
            with contextlib.suppress(StoreError):  # that is said elsewhere; the claims then end with this process
                self.store.do(lambda con: con.execute("delete from claims where owner = ?", (self.store.owner,)).rowcount)
                self.store.flush()  # who looks next finds them gone

    async def take(self, keys: Sequence[bytes], since: int | None = None) -> Taken:
        """Claim what is to be asked now. An answer from before ``since`` (microseconds) counts as none.

        Raises:
            StoreError: the store cannot be written.
        """
        if self._heart is None:
            self._heart = threading.Thread(target=self._live, name="call claims", daemon=True)
            self._heart.start()
        begun = _clocks()
        taken = await asyncio.wrap_future(self.store.do(lambda con: self._take(con, keys, since)))
        self._renew(begun)
        return taken

    def free(self, keys: Sequence[bytes], since: int | None = None) -> list[bytes]:
        """Which of some keys that others had claimed no longer are: answered, given up, or of a dead process."""
        with self.store.reading() as con:
            held = _holders(con, keys)
            dead = self._dead(con, set(held.values()))
            answered = _answered(con, keys, since)
        return [key for key in keys if key in answered or held.get(key) in dead or key not in held]

    def release(self, keys: Iterable[bytes]) -> None:
        """Give up some claims of this process: the calls brought no answer, or are written down elsewhere."""
        rows = [(key, self.store.owner) for key in keys]
        if rows:
            self.store.do(lambda con: con.executemany("delete from claims where key = ? and owner = ?", rows).rowcount)

    def lapsed(self) -> bool:
        """Whether this process was stopped for so long that others may have taken over what it had claimed."""
        return any(abs(now - then) > _LAPSED_S for now, then in zip(_clocks(), self._last_beat, strict=True))

    def names(self, owners: Iterable[int]) -> str:
        """The processes behind some claims, for people."""
        known = sorted({str(self._processes[owner]) for owner in owners if owner in self._processes})
        return ", ".join(known)

    # --- inside ------------------------------------------------------------------------------------------------

    def _take(self, con: sqlite3.Connection, keys: Sequence[bytes], since: int | None) -> Taken:
        answered = _answered(con, keys, since)
        batched = _in_batches(con, keys) - answered
        held = {key: owner for key, owner in _holders(con, keys).items() if owner != self.store.owner and key not in answered}
        for owner in self._dead(con, set(held.values())):
            con.execute("delete from claims where owner = ?", (owner,))
            held = {key: other for key, other in held.items() if other != owner}
        mine = set(keys) - answered - batched - held.keys()
        con.executemany("insert or ignore into claims values (?, ?)", [(key, self.store.owner) for key in mine])
        _beat(con, self.store.owner)
        return Taken(mine, answered, batched, held)

    def _dead(self, con: sqlite3.Connection, owners: set[int]) -> set[int]:
        """Which of these processes will store no answer any more.

        The time of another machine says nothing here, and ours may have stood still, or the store been locked for all: what
        counts is how often we could say that we are alive while the other did not.
        """
        found = read_owners(con, owners)
        dead = owners - found.keys()
        for owner, (process, beat) in found.items():
            self._processes[owner] = process
            before, ours = self._seen.get(owner, (-1, 0))
            if before != beat:
                self._seen[owner] = (beat, self._beats)
            elif self._beats - ours >= _DEAD_AFTER:
                dead.add(owner)
            if is_gone(process):
                dead.add(owner)
        return dead - {self.store.owner}

    def _live(self) -> None:
        """Say that this process is alive, from time to time."""
        said: Future[None] | None = None
        while not self._ended.wait(_BEAT_S):
            if said is None or said.done():  # what could not be said in time must not count twice later
                with contextlib.suppress(StoreError):
                    said = self.store.do(lambda con: _beat(con, self.store.owner))
                    said.add_done_callback(functools.partial(self._beaten, _clocks()))

    def _beaten(self, begun: tuple[float, float], said: Future[None]) -> None:
        if said.exception() is None:
            self._beats += 1
            self._renew(begun)

    def _renew(self, begun: tuple[float, float]) -> None:
        self.era += self.lapsed()
        self._last_beat = max(begun, self._last_beat)


class Supply:
    """The calls of one lane, handed out as they become ours to make: claimed shortly before they start, in one go for many.

    What others ask is waited for; what they have answered by then needs no call.
    """

    def __init__(self, claims: Claims, calls: Iterable[Call], at_once: int, *, since: int | None) -> None:
        self.answered = 0  # by another process
        self.broken: StoreError | None = None
        self._claims, self._since = claims, since
        self._ahead = at_once * max(2, -(-_AHEAD // at_once))  # whole batches
        self._unclaimed = deque(calls)
        self._taking: list[Call] = []
        self._ready: list[Call] = []
        self._elsewhere: dict[bytes, Call] = {}
        self._holders: set[int] = set()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching = False
        self._era = claims.era

    @property
    def pending(self) -> bool:
        """Whether more may come."""
        return bool(self._unclaimed or self._taking or self._ready or self._elsewhere)

    @property
    def note(self) -> str:
        """What is waited for, in words."""
        if not self._elsewhere:
            return ""
        names = self._claims.names(self._holders)
        return f"{len(self._elsewhere):,} wait for another build" + (f" ({names})" if names else "")

    def ready(self) -> list[Call]:
        """The calls that have become ours since the last time."""
        ready, self._ready = self._ready, []
        return ready

    def refill(self, queued: int, wake: Callable[[], None]) -> None:
        """Claim more calls if only ``queued`` are left to start; ``wake`` is called when there are some, or none will come."""
        if self._taking or not self._unclaimed or 2 * queued > self._ahead:
            return
        self._taking = [self._unclaimed.popleft() for _ in range(min(self._ahead, len(self._unclaimed)))]
        self._begin(self._take(wake))

    def take_back(self, calls: Iterable[Call]) -> None:
        """Calls that were handed out, and are no longer certain to be ours."""
        self._unclaimed.extendleft(reversed([*self._ready, *calls]))
        self._ready = []

    def lapsed(self) -> bool:
        """Whether what was handed out before, and has not started, may be another process's by now."""
        era, self._era = self._era, self._claims.era
        return self._claims.lapsed() or era != self._era

    def close(self) -> list[Call]:
        """Hand out nothing more. Returns the calls that were not."""
        left = [*self._ready, *self._taking, *self._unclaimed, *self._elsewhere.values()]
        self._closed = True
        self._unclaimed.clear()
        self._elsewhere.clear()
        self._ready, self._taking = [], []
        for task in self._tasks:
            task.cancel()
        return left

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, wake: Callable[[], None]) -> None:
        calls = self._taking
        try:
            taken = await self._claims.take([call.key for call in calls], self._since)
        except StoreError as error:
            self.broken = error
        else:
            if self._closed:
                return
            self._ready += [call for call in calls if call.key in taken.mine]
            self._elsewhere.update({call.key: call for call in calls if call.key in taken.held})
            self._holders |= set(taken.held.values())
            self.answered += len(taken.answered) + len(taken.batched)  # a batch is collected when this lane is asked again
        self._taking = []
        if self._elsewhere and not self._watching:
            self._watching = True
            self._begin(self._watch(wake))
        wake()

    async def _watch(self, wake: Callable[[], None]) -> None:
        """Notice when what others had under way is answered, or is free to be asked here."""
        took = 0.0
        while self._elsewhere and not self._closed and not self.broken:
            await asyncio.sleep(max(_LOOK_S, 20 * took))
            began = time.monotonic()
            try:
                free = await asyncio.to_thread(self._claims.free, list(self._elsewhere), self._since)
            except StoreError as error:
                self.broken = error
                break
            took = time.monotonic() - began
            if free and not self._closed:
                self._unclaimed.extendleft(self._elsewhere.pop(key) for key in free)
                wake()
        self._watching = False
        wake()


def _clocks() -> tuple[float, float]:
    """Seconds, by the clock that stands still while the machine sleeps, and by the one that does not."""
    return time.monotonic(), time.time()


def _beat(con: sqlite3.Connection, owner: int) -> None:
    con.execute("update owners set beat = beat + 1 where id = ?", (owner,))


def _answered(con: sqlite3.Connection, keys: Sequence[bytes], since: int | None) -> set[bytes]:
    return {row[0] for row in _where(con, "select key, answered_at from answers", keys) if since is None or row[1] >= since}


def _holders(con: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, int]:
    return dict(_where(con, "select key, owner from claims", keys))


def _in_batches(con: sqlite3.Connection, keys: Sequence[bytes]) -> set[bytes]:
    """The keys that are in an open batch (a store that never had a batch has no table of them)."""
    if not con.execute("select 1 from sqlite_master where type = 'table' and name = 'batch_calls'").fetchone():
        return set()
    return {row[0] for row in _where(con, "select key from batch_calls", keys)}


def _where(con: sqlite3.Connection, select: str, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        rows += con.execute(f"{select} where key in ({','.join('?' * len(some))})", some).fetchall()
    return rows
