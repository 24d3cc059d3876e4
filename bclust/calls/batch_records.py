"""Which questions are in which batch: written into the call store before anything is sent, so that any process can collect.

A batch is *prepared* (written down), *sent* (the sending has begun), *submitted* (the server's name for it is known) and at
last closed. A question is in at most one open batch. Only one process at a time works on the batches of a store.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from bclust.calls.store import Call, microseconds
from bclust.errors import StoreError
from bclust.functions import Batch
from bclust.private_files import open_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bclust.calls.store import CallStore

_SCHEMA = (
    """create table if not exists batches (id integer primary key, token text not null unique, function text not null,
       version integer not null, lane text not null, questions integer not null, memo text not null,
       prepared_at integer not null, ready text, sent_at integer, remote_id text, closed_at integer, outcome text)""",
    """create table if not exists batch_calls (batch integer not null, item integer not null, key blob not null unique,
       payload text not null, primary key (batch, item))""",
)
_COLUMNS = "id, function, version, lane, token, questions, memo, ready, sent_at, remote_id"
_AT_ONCE = 500

COLLECTED, UNSENT, REFUSED, FORGOTTEN = "collected", "unsent", "refused", "forgotten"


@dataclass(frozen=True)
class OpenBatch:
    """A batch that is not closed, and whose questions it holds."""

    id: int
    function: str
    version: int
    lane: str
    batch: Batch


def custom_id(token: str, item: int) -> str:
    """The name of one question within its batch."""
    return f"{token}-{item}"


class BatchRecords:
    """The batches of one call store."""

    def __init__(self, store: CallStore) -> None:
        self.store = store
        self._lock: IO[str] | None = None
        self._holders = 0
        self.claimed: set[int] = set()  # batches that a run of this process looks after
        self._exist = store.has_table("batches")

    # --- one process at a time ---------------------------------------------------------------------------------

    def enter(self) -> bool:
        """Become the process that works on these batches; False while another one does. A kill gives it up."""
        if self._lock is None:
            file = open_private(self._lock_path, "a+", "utf-8")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                return False
            file.truncate(0)
            file.write(f"PID {os.getpid()}")
            file.flush()
            self._lock = file
            self._exist = self._exist or self.store.has_table("batches")  # the process that was waited for may have made them
        self._holders += 1
        return True

    def claim(self, number: int) -> bool:
        """Look after a batch; False if another run of this process does."""
        free = number not in self.claimed
        self.claimed.add(number)
        return free

    def leave(self, numbers: Iterable[int] = ()) -> None:
        """The counterpart of ``enter``; ``numbers`` are batches that are no longer looked after."""
        self.claimed.difference_update(numbers)
        self._holders -= 1
        if not self._holders and self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    @property
    def holder(self) -> str:
        """Who works on them, as far as is known."""
        with contextlib.suppress(OSError):
            return self._lock_path.read_text(encoding="utf-8").strip() or "another process"
        return "another process"

    @property
    def _lock_path(self) -> Any:
        path = self.store.path.resolve()  # one lock for one store, by whatever link it is reached
        return path.with_name(path.name + ".batches.lock")

    # --- reading -----------------------------------------------------------------------------------------------

    def open(self, function: str | None = None, lane: str | None = None) -> list[OpenBatch]:
        """The open batches (of one lane), oldest first."""
        if not self._exist:
            return []
        where = "and function = ? and lane = ?" if lane is not None else ""
        rows = self.store.query(
            f"select {_COLUMNS} from batches where closed_at is null {where} order by id",
            (function, lane) if lane is not None else (),
        )
        return [_open_batch(row) for row in rows]

    def holding(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        """Which of these calls are in an open batch: the batch's id by key."""
        found: dict[bytes, int] = {}
        if self._exist:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                found.update(
                    self.store.query(f"select key, batch from batch_calls where key in ({','.join('?' * len(some))})", some)
                )
        return found

    def calls(self, batch: OpenBatch) -> dict[str, Call]:
        """The questions of an open batch, by custom id."""
        rows = self.store.query("select item, key, payload from batch_calls where batch = ? order by item", (batch.id,))
        return {
            custom_id(batch.batch.token, item): Call(key, batch.function, batch.version, batch.lane, payload)
            for item, key, payload in rows
        }

    def remote_ids(self) -> set[str]:
        """The server's names for all batches ever made from this store."""
        return {row[0] for row in self.store.query("select remote_id from batches where remote_id is not null")}

    def listed(self) -> list[dict[str, Any]]:
        """One row per open batch: batch, function, lane, questions, state, server_id, prepared_at (ISO, UTC)."""
        if not self._exist:
            return []
        rows = self.store.query(
            """select token, function, lane, questions,
                      case when remote_id is not null then 'submitted' when sent_at is not null then 'sent, not confirmed'
                           else 'prepared' end,
                      remote_id, strftime('%Y-%m-%dT%H:%M:%SZ', prepared_at / 1000000, 'unixepoch')
               from batches where closed_at is null order by id"""
        )
        names = ("batch", "function", "lane", "questions", "state", "server_id", "prepared_at")
        return [dict(zip(names, row, strict=True)) for row in rows]

    # --- writing -----------------------------------------------------------------------------------------------

    def prepare(self, calls: Sequence[Call], memo: str) -> OpenBatch:
        """Write down a new batch of calls to one lane. It is durable when this returns; nothing may be sent before.

        Raises:
            StoreError: one of the calls is in an open batch already, or the store cannot be written.
        """
        token, first = f"bclust-{secrets.token_hex(12)}", calls[0]
        with self.store.transaction() as con:
            for statement in _SCHEMA:
                con.execute(statement)
            row = (token, first.function, first.version, first.lane, len(calls), memo, microseconds())
            columns = "token, function, version, lane, questions, memo, prepared_at"
            number = con.execute(f"insert into batches ({columns}) values (?, ?, ?, ?, ?, ?, ?)", row).lastrowid
            con.executemany(
                "insert into batch_calls values (?, ?, ?, ?)",
                ((number, item, call.key, call.payload) for item, call in enumerate(calls)),
            )
        self._exist = True
        assert number is not None
        return OpenBatch(number, first.function, first.version, first.lane, Batch(token, len(calls), memo))

    def sending(self, batch: OpenBatch, ready: str) -> OpenBatch:
        """From now on the server may have it."""
        self._update(batch.id, "ready = ?, sent_at = ?", (ready, microseconds()))
        return self._again(batch.id)

    def submitted(self, batch: OpenBatch, remote_id: str) -> OpenBatch:
        """The server has it, under this name."""
        self._update(batch.id, "remote_id = ?", (remote_id,))
        return self._again(batch.id)

    def close(self, batch: OpenBatch, outcome: str) -> None:
        """Release its questions. What was answered must have been handed to the store before."""
        self.store.flush()
        with self.store.transaction() as con:
            con.execute("update batches set closed_at = ?, outcome = ? where id = ?", (microseconds(), outcome, batch.id))
            con.execute("delete from batch_calls where batch = ?", (batch.id,))

    def forget(self, token: str) -> int:
        """Give up an open batch, whatever its server makes of it: its questions are new ones again. Returns how many.

        Raises:
            StoreError: there is no such open batch, or another process works on the batches.
        """
        found = next((b for b in self.open() if token in (b.batch.token, b.batch.remote_id)), None)
        if found is None:
            raise StoreError(f"there is no open batch {token}", hint="bclust calls batches lists them")
        if not self.enter():
            raise StoreError(f"{self.holder} works on the batches of this call store", hint="stop it first")
        self.close(found, FORGOTTEN)
        self.leave()
        return found.batch.questions

    def _update(self, number: int, assignment: str, values: tuple[Any, ...]) -> None:
        with self.store.transaction() as con:
            con.execute(f"update batches set {assignment} where id = ?", (*values, number))

    def _again(self, number: int) -> OpenBatch:
        [row] = self.store.query(f"select {_COLUMNS} from batches where id = ?", (number,))
        return _open_batch(row)


def _open_batch(row: Sequence[Any]) -> OpenBatch:
    number, function, version, lane, token, questions, memo, ready, sent_at, remote_id = row
    sent = None if sent_at is None else sent_at / 1e6
    return OpenBatch(number, function, version, lane, Batch(token, questions, memo, ready, sent, remote_id))


def age(batch: Batch) -> float:
    """Seconds since its sending began; 0 where it did not, or where the clock was set back."""
    return max(0.0, time.time() - batch.sent_at) if batch.sent_at is not None else 0.0


def payloads(calls: Mapping[str, Call]) -> dict[str, str]:
    """The questions by custom id."""
    return {name: call.payload for name, call in calls.items()}
