"""What keeps the calls of a lane within bounds: money, how many at once, how many per minute. Plain arithmetic, no clock."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bclust.errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bclust.functions import Lane

_LATENESS = 0.1  # seconds that a timer may be late without slowing a lane that is paced


@dataclass
class Budget:
    """What may still be spent; one object for a whole build. Every try counts as a call, as it does for a server.

    A call is made only if it cannot pass ``max_cost`` (US dollars), whatever it answers: until it has answered, its
    estimate (an upper bound) is reserved.
    """

    max_calls: int | None = None
    max_cost: float | None = None
    calls: int = 0
    cost: float = 0.0
    reserved: float = 0.0

    def room(self, costs: Sequence[float]) -> int:
        """How many of these calls may be made now, in their order."""
        n = len(costs) if self.max_calls is None else min(len(costs), self.max_calls - self.calls)
        if self.max_cost is None:
            return n
        sums = itertools.accumulate(costs[:n], initial=self.cost + self.reserved)
        return sum(total <= self.max_cost + 1e-9 for total in sums) - 1 if n else 0

    def begin(self, n: int, cost: float) -> None:
        """Count calls that are about to be made."""
        self.calls += n
        self.reserved += cost

    def end(self, reserved: float, cost: float) -> None:
        """Put what calls did cost in the place of what was reserved for them."""
        self.reserved = max(0.0, self.reserved - reserved)
        self.cost += cost


def bounded_cost(lane: Lane, payload: str, function: str, name: str) -> float:
    """What a call costs at most. Raises BudgetError when its price is unknown."""
    cost = lane.estimate(payload).cost_usd
    if cost is None:
        raise BudgetError(
            f"the price of {function} by {name} is unknown, so the cost cannot be limited",
            hint=f"give {name} its prices in bclust.yml (usd_per_mtok_in, usd_per_mtok_out; 0 if it is free)",
        )
    return cost


class Concurrency:
    """How many calls a lane may have under way: grows with every answer, halves when the server asks for fewer.

    The first call goes alone, so that a wrong key costs one call. After a "too many" the number halves, returns quickly to just
    below what was too many, and from there tries for more, slowly at first, as TCP does (slow start and multiplicative
    decrease: Jacobson 1988; the plateau: CUBIC, Ha, Rhee & Xu 2008).
    """

    def __init__(self, most: int, *, first_alone: bool = True) -> None:
        self.most = most
        self.limit = 1.0
        self.epoch = 0  # grows with every halving; a call begun before the last one says nothing about the present limit
        self._ceiling = float("inf")
        self._passed = 0  # calls of this epoch that were answered
        self._calm = 0.0  # rounds of answers since the last halving
        self._failures = 0
        if not first_alone:
            self._open()

    def succeeded(self, epoch: int) -> None:
        """A call begun in ``epoch`` was answered."""
        if self.limit == 1.0 and not self.epoch:
            self._open()
        self._passed += epoch == self.epoch
        self._calm += 1 / self.limit
        below = self.limit + 1 < 0.95 * self._ceiling
        step = 1.0 if below else min(1.0, 0.25 * 2 ** (self._calm / 16) / self.limit)
        self.limit = min(self.most, self.limit + step)

    def throttled(self, depth: int, epoch: int) -> bool:
        """A call begun in ``epoch`` as the ``depth``-th under way was one too many. Returns whether fewer will pass.

        They will if many of this epoch passed; if hardly any did, the server counts calls per time, and all have to wait.
        """
        if epoch < self.epoch:
            return True
        fewer_will_pass = self._passed >= self.limit / 4
        self._ceiling = depth
        self.limit = max(1.0, self.limit / 2)
        self.epoch += 1
        self._passed, self._calm = 0, 0.0
        return fewer_will_pass

    def alone(self) -> None:
        """Nobody was there: one call at a time sees whether somebody is again, and the number grows from there."""
        self.limit = 1.0
        self.epoch += 1
        self._passed, self._calm = 0, 0.0

    def failed(self) -> None:
        """A call failed for good. Some questions cannot be answered; after three such the others no longer wait."""
        self._failures += 1
        if self._failures == 3 and self.limit == 1.0 and not self.epoch:
            self._open()

    def _open(self) -> None:
        self.limit = max(1.0, self.most / 2, min(self.most, 8))


class Pace:
    """So many requests or tokens per minute, spread evenly. Times are seconds of one clock."""

    def __init__(self, per_minute: float | None) -> None:
        self.opens = 0.0
        self._seconds_each = 60.0 / per_minute if per_minute else 0.0

    def take(self, now: float, amount: float) -> None:
        """Use ``amount`` now; ``opens`` says when the next may be used."""
        self.opens = max(self.opens, now - _LATENESS) + amount * self._seconds_each

    def give_back(self, amount: float) -> None:
        """Less was used than was taken."""
        self.opens -= amount * self._seconds_each
