"""Whether an answer is one that can be kept and counted (what a server says need not be a number, or text), and is of use."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bclust.functions import Answer, Lane

_COUNTS = ("input_tokens", "output_tokens")
_AMOUNTS = ("cost_usd", "latency_ms")
_LARGEST = 2**63 - 1  # what SQLite and DuckDB hold
_MANY, _SHARE = 5, 0.2  # answers with the same fault, and their share, from which on it is said


class Remarks:
    """What is to be said of the answers of a lane while it runs: once, as soon as many have the same fault."""

    def __init__(self, lane: Lane) -> None:
        self._remark = getattr(lane, "remark", None)
        self._answers = 0
        self._seen: Counter[str] = Counter()
        self.text = ""

    def see(self, payload: str, answer: Answer) -> None:
        """Take note of one more answer."""
        self._answers += 1
        remark = self._remark(payload, answer) if self._remark and not self.text else None
        if remark:
            self._seen[remark] += 1
            if self._seen[remark] >= max(_MANY, _SHARE * self._answers):
                self.text = f"{self._seen[remark]:,} of the first {self._answers:,} answers {remark}"


def fault_of(answer: Answer) -> str | None:
    """Why an answer cannot be kept, in a sentence; None for one that can.

    Numbers that cannot be (negative, infinite, no numbers at all), and a reason to finish that is no text, are no reason to lose
    what was paid for: they become unknown, before anything is summed, and ``detail`` says so under ``not_stored``.
    """
    if not isinstance(answer.value, str | bytes | None):
        return f"the answer is {shown(answer.value)}, which is neither text nor bytes"
    if not isinstance(answer.detail, str | None):
        return f"the answer cannot be stored: its detail is {shown(answer.detail)}, which is no text"
    said = {name: getattr(answer, name) for name in (*_COUNTS, *_AMOUNTS)}
    kept: dict[str, Any] = {name: count(said[name]) for name in _COUNTS} | {name: amount(said[name]) for name in _AMOUNTS}
    for name, number in kept.items():
        setattr(answer, name, number)
    said["finish_reason"] = answer.finish_reason
    kept["finish_reason"] = answer.finish_reason = answer.finish_reason if isinstance(answer.finish_reason, str) else None
    odd = [f"{name} {shown(said[name])}" for name, value in kept.items() if value is None and said[name] is not None]
    if odd:
        answer.detail = _with_note(answer.detail, odd)
    return None


def count(value: Any) -> int | None:
    """A whole number from 0 on that a store can hold; None for anything else."""
    if isinstance(value, bool) or not (isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())):
        return None
    return int(value) if 0 <= int(value) <= _LARGEST else None


def amount(value: Any) -> float | None:
    """A finite number from 0 on; None for anything else."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    with contextlib.suppress(OverflowError):
        number = float(value)
        return number if math.isfinite(number) and number >= 0 else None
    return None


def _with_note(detail: str | None, odd: list[str]) -> str | None:
    """``detail`` with what was left out; as it is where it is no JSON object."""
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(detail) if detail else {}
        if isinstance(said, dict):
            return json.dumps({**said, "not_stored": odd}, ensure_ascii=False)
    return detail


def shown(value: Any) -> str:
    """A value in at most 60 characters, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - Python refuses to write out whole numbers of very many digits, or nested very deeply
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
