"""What has been read from the network, written down before anybody looks at it.

Between the moment in which a process reads an answer from its socket and the one in which the store has it lie some milliseconds
of parsing and waiting for the disk. A process that is killed then has an answer that is paid and nowhere. So each piece that is
read goes at once, in one system call, into a file beside the store; it outlives the process (not the machine: that is what the
store is for). The next process that asks the same finds it there instead, and asks nobody.

A file is locked by its writer for as long as that lives. It is deleted when all that was read is in the store, at the end of a
build or, of a long one, in two halves that take turns. The file of a dead process goes when its questions are answered, or after
a week.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from bclust.errors import StoreError
from bclust.private_files import open_private

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from bclust.calls.store import CallStore

_HALF = 8 * 2**20  # bytes in a file before the next one is begun
_KEPT_S = 7 * 86_400  # seconds after which what nobody asked for again is deleted
_SUFFIX = "received"

Keys = tuple[bytes, ...]  # of the calls that were asked together


@dataclass
class _Read:
    """What was read of one response: when its question was sent (microseconds), and how long after that its last piece came."""

    asked_at: int
    ms: float = 0.0
    data: bytearray = field(default_factory=bytearray)


@dataclass
class _Left:
    """The file of a dead process, locked against others' deleting it: which calls it asked, and when (microseconds)."""

    file: int
    asked: dict[bytes, int] = field(default_factory=dict)


class Arrivals:
    """What this process reads, and what dead ones had read, beside the store. Where no file can be written, nothing is kept."""

    def __init__(self, store: CallStore, secrets: Sequence[str] = ()) -> None:
        self._store = store
        self._secrets = [secret.encode() for secret in secrets]
        self._files: list[tuple[Path, int]] = []  # of this process, the oldest first, open and locked
        self._size = 0
        self._numbers = itertools.count()
        self._broken = False
        self._left: dict[Path, _Left] = {}  # files of dead processes
        self._read: dict[Keys, dict[str, list[_Read]]] = {}  # what is in them: by calls and request, the oldest first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for path, file in self._files:
            if kind is None:  # all that was read has been stored, or has failed
                path.unlink(missing_ok=True)
            os.close(file)
        self._files.clear()
        for path, left in self._left.items():
            self._done_with(path, left)
        self._left.clear()

    def of(self, keys: Keys, since: int | None = None) -> Exchange:
        """For a try to answer these calls; what was asked before ``since`` (microseconds) is not wanted."""
        return Exchange(self, keys, since)

    def together(self, keys: Collection[bytes]) -> list[Keys]:
        """Which of these calls, that are about to be made, a process asked together that is dead by now.

        They have to be asked together again for what was read to be an answer.
        """
        with contextlib.suppress(OSError):
            for path in sorted(self._store.path.parent.glob(f"{self._store.path.name}.{_SUFFIX}-*")):
                if path not in self._left:
                    self._look_into(path)
        return [some for some, read in self._read.items() if len(some) > 1 and read and all(key in keys for key in some)]

    # --- what is read now --------------------------------------------------------------------------------------

    def write(self, head: dict[str, Any], data: bytes) -> None:
        """One piece, in one system call."""
        if self._broken:
            return
        for secret in self._secrets:  # a server may repeat what it was sent
            data = data.replace(secret, b"*" * len(secret))
        record = json.dumps(head | {"bytes": len(data)}).encode() + b"\n" + data
        try:
            if not self._files or self._size >= _HALF:
                self._begin()
            os.write(self._files[-1][1], record)
            self._size += len(record)
        except OSError:  # a full disk: the store will say so
            self._broken = True

    def number(self) -> int:
        """A number for a response."""
        return next(self._numbers)

    def _begin(self) -> None:
        """The next file. The last but one goes as soon as all that has been handed to the store by now is durable."""
        name = f"{self._store.path.name}.{_SUFFIX}-{time.time_ns():x}-{self._store.owner:x}"
        path, new = self._store.path.with_name(name), self._store.path.with_name(f"{name}.new")
        with open_private(new, "xb") as opened:
            file = os.dup(opened.fileno())
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before anyone can find it
        new.rename(path)
        self._files.append((path, file))
        self._size = 0
        if len(self._files) > 2:
            old, number = self._files.pop(0)

            def delete(stored: Future[None]) -> None:
                if stored.exception() is None:
                    old.unlink(missing_ok=True)
                os.close(number)

            with contextlib.suppress(StoreError):  # then the file stays
                self._store.do(lambda _: None).add_done_callback(delete)

    # --- what was read by the dead -----------------------------------------------------------------------------

    def find(self, keys: Keys, request: str, since: int | None) -> list[_Read]:
        """What dead processes had read in answer to this, the newest first; each is found once."""
        return [read for read in reversed(self._read.get(keys, {}).pop(request, [])) if read.asked_at >= (since or 0)]

    def _look_into(self, path: Path) -> None:
        """Read the file of a process that is no more; that of a living one is locked."""
        file = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            content = path.read_bytes()
        except OSError:
            os.close(file)
            return
        left = self._left[path] = _Left(file)
        responses: dict[int, _Read] = {}
        for head, data in _records(content):
            read = responses.get(head["response"])
            if read is None:
                read = responses[head["response"]] = _Read(head["asked_at"])
                keys = tuple(bytes.fromhex(key) for key in head["keys"])
                self._read.setdefault(keys, {}).setdefault(head["request"], []).append(read)
                left.asked.update(dict.fromkeys(keys, read.asked_at))
            read.ms = head["ms"]
            read.data += data

    def _done_with(self, path: Path, left: _Left) -> None:
        """Delete such a file when its questions have been answered, or nobody has asked them again for long."""
        with contextlib.suppress(OSError, StoreError):
            stored = self._store.lookup(list(left.asked))
            answered = all(key in stored and stored[key].answered_at >= asked_at for key, asked_at in left.asked.items())
            if answered or time.time() - path.stat().st_mtime > _KEPT_S:
                fcntl.flock(left.file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no one else reads it
                path.unlink(missing_ok=True)
        os.close(left.file)


class Exchange:
    """One try to answer some calls, as ``bclust.functions.Wire``. ``ms``: how long what was found and used had taken."""

    def __init__(self, arrivals: Arrivals, keys: Keys, since: int | None) -> None:
        self._arrivals = arrivals
        self._keys = keys
        self._since = since
        self._began = time.time_ns()
        self._found: dict[bytes, float] = {}
        self.ms: float | None = None

    def found(self, request: str) -> list[bytes]:
        """What earlier processes had read in answer to this request, the newest first."""
        reads = self._arrivals.find(self._keys, request, self._since)
        self._found = {bytes(read.data): read.ms for read in reads}
        return list(self._found)

    def use(self, data: bytes) -> None:
        """That is taken as the answer."""
        self.ms = self._found[data]

    def reader(self, request: str) -> _Writer:
        """What to call with each piece of the response to this request, before anything else is done with it."""
        head = {
            "keys": [key.hex() for key in self._keys], "request": request, "response": self._arrivals.number(),
            "asked_at": self._began // 1000,
        }  # fmt: skip
        return _Writer(self._arrivals, head, self._began)


@dataclass(frozen=True)
class _Writer:
    arrivals: Arrivals
    head: dict[str, Any]
    began: int

    def __call__(self, data: bytes) -> None:
        self.arrivals.write(self.head | {"ms": (time.time_ns() - self.began) / 1e6}, data)


def _records(content: bytes) -> Iterable[tuple[dict[str, Any], bytes]]:
    """What is whole of a file."""
    at = 0
    while (end := content.find(b"\n", at)) >= 0:
        try:
            head = json.loads(content[at:end])
            size = head["bytes"]
        except (ValueError, KeyError, TypeError):
            return
        data = content[end + 1 : end + 1 + size]
        if len(data) < size:
            return
        yield head, data
        at = end + 1 + size
