"""Processes of their own for what is measured, and for the servers that must not disturb it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent


@contextlib.contextmanager
def server(module: str = "tests.functional.loopback", **behavior: Any) -> Iterator[str]:
    """A loopback server in a process of its own; yields its base_url."""
    command = [sys.executable, "-m", module, json.dumps(behavior)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


def requests(url: str) -> int:
    """How many requests the server behind a base_url has had."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats", timeout=60) as answer:
        return int(json.loads(answer.read())["requests"])


def children_cpu() -> float:
    """Processor seconds of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def last_json(
    command: list[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None, limit_s: float | None = None
) -> dict[str, Any]:
    """Run a command; the last line that is a JSON object.

    Raises RuntimeError, with the end of what it said, if it fails or takes longer than ``limit_s``.
    """
    merged = os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {})
    try:
        outcome = subprocess.run(command, env=merged, cwd=cwd, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done after {limit_s:.0f} s") from None
    if outcome.returncode:
        raise RuntimeError(outcome.stderr[-2000:])
    lines = [line for line in outcome.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"no JSON was printed: {outcome.stdout[-2000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
