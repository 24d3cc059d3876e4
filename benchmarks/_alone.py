"""Measuring in a process of its own: its peak of memory is its own, and waiting threads burn no core, as in `bclust` itself."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """A function's result from a process of its own."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as bclust/__main__.py does
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "8")
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(send, function, *arguments))
    process.start()
    send.close()
    result = receive.recv()
    process.join()
    return result


def peak_mib() -> float:
    """The most memory that this process held. (``ru_maxrss`` would count that of the process that started it.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _child(send: Any, function: Callable[..., Any], *arguments: Any) -> None:
    send.send(function(*arguments))
