"""Which processes work on a call store, and whether one of them is certainly gone.

A process that writes has a row in the store while it does, and takes it away when it closes the store. A row whose process is
gone tells that the store was not closed cleanly, and frees what that process had claimed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

SCHEMA = """create table if not exists owners (id integer primary key, host text not null, boot text not null,
    space text not null, pid integer not null, started text not null, opened_at integer not null, beat integer not null)"""


class Process(NamedTuple):
    """A process, so that no other is taken for it: its machine, the start of that, the space of its PID, and its own start."""

    host: str
    boot: str
    space: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"PID {self.pid}" if self.host == this_machine()[0] else f"PID {self.pid} on {self.host.partition('/')[0]}"


@functools.cache
def this_machine() -> tuple[str, str, str]:
    """Name, start and PID space; parts that the system does not tell are empty."""
    space = ""
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    machine, boot = _text("/etc/machine-id"), _text("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{machine}", boot, space


def this_process() -> Process:
    """The process that calls this (which may be a fork of the one that asked before)."""
    return Process(*this_machine(), os.getpid(), _started(os.getpid()))


def is_gone(process: Process) -> bool:
    """Whether a process has certainly ended. Of one on another machine, or in another container, nothing is certain."""
    host, boot, space = this_machine()
    if process.host != host:
        return False
    if process.boot != boot:
        return True  # the machine was started anew since
    if process.space != space:
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is there, and is another user's
    return _started(process.pid) != process.started


def read_owners(con: sqlite3.Connection, ids: Iterable[int] | None = None) -> dict[int, tuple[Process, int]]:
    """The processes that have a row, and how often each has said that it is alive, by id."""
    columns = f"id, {', '.join(Process._fields)}, beat"
    if ids is None:
        rows = con.execute(f"select {columns} from owners").fetchall()
    else:
        rows = [row for number in ids for row in con.execute(f"select {columns} from owners where id = ?", (number,))]
    return {row[0]: (Process._make(row[1:6]), row[6]) for row in rows}


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty where that is not told, "gone" for one that only waits to be reaped."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20:
        return ""
    return "gone" if fields[0] in "ZX" else fields[19]


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8").strip()
    return ""
