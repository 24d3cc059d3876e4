"""Where a lane of calls stands, and how long the rest of it will take. Plain arithmetic, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

_WINDOW = 10.0  # seconds over which the speed shown is taken ...
_LEAST = 8  # ... and as much longer as it takes for so many marks
_MOST_MARKS = 64  # that are remembered; then every second one goes


@dataclass(frozen=True)
class Progress:
    """Where a lane stands. ``done`` counts stored answers, ``eta_s`` is None while the speed is unknown.

    ``cost_usd`` is None where the price of some answer is unknown. Of a lane that is asked in batches: the batches that are open,
    the questions in them, and how many of those the server has answered; ``note`` says what it waits for besides.
    ``asked_elsewhere`` says which answers another build is waited for, ``remark`` what many of the answers suffer from.
    """

    function: str
    lane: str
    done: int
    total: int
    failed: int
    retries: int
    per_second: float
    eta_s: float | None
    tokens: int
    cost_usd: float | None
    in_flight: int
    open_batches: int = 0
    questions_there: int = 0
    answered_there: int = 0
    note: str = ""
    asked_elsewhere: str = ""
    remark: str = ""
    tokens_per_second: float = 0.0


@dataclass
class Speed:
    """How fast calls are settled, and what that says of those that are left.

    ``spread``: calls of all kinds are spread over the whole run, and few are made at a time: then its average says most.
    """

    spread: bool = False
    _marks: list[tuple[float, int, int]] = field(default_factory=list)  # seconds; calls and tokens by then

    def begin(self, now: float) -> None:
        """The first call is about to be made."""
        self._marks = [(now, 0, 0)]

    def settled(self, now: float, calls: int, tokens: int = 0) -> None:
        """So many calls have been answered, or have failed."""
        _, n, read = self._marks[-1]
        self._marks.append((now, n + calls, read + tokens))
        if len(self._marks) > _MOST_MARKS:
            del self._marks[2:-_LEAST:2]

    def per_second(self, now: float) -> tuple[float, float]:
        """Calls and tokens a second, of late."""
        recent = [mark for mark in self._marks if now - mark[0] <= _WINDOW]
        since = recent if len(recent) > _LEAST else self._marks[-_LEAST - 1 :]
        (then, calls, tokens), (_, calls_now, tokens_now) = since[0], self._marks[-1]
        seconds = now - then
        return ((calls_now - calls) / seconds, (tokens_now - tokens) / seconds) if seconds > 0 else (0.0, 0.0)

    def left_s(self, now: float, calls: int) -> float | None:
        """Seconds until so many more calls are settled; None while that is unknown."""
        if not self.spread:
            rate, _ = self.per_second(now)
            return calls / rate if rate else None
        since = self._marks[1:] if len(self._marks) > 2 else self._marks  # before the first answer, a model was loaded
        (then, before, _), (last, done, _) = since[0], since[-1]
        return max(0.0, calls * (last - then) / (done - before) - (now - last)) if done > before else None


def spread_out(parts: list[T]) -> list[T]:
    """Parts in an order in which the first few stand for all: first, middle, quarters, eighths (van der Corput 1935).

    >>> spread_out(list(range(8)))
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    bits = max(1, (len(parts) - 1).bit_length())
    order = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(2**bits))
    return [parts[i] for i in order if i < len(parts)]
