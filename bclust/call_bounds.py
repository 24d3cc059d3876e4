"""What the calls that a query misses cost at most: the price that is announced, and asked about, before they are made."""

from __future__ import annotations

from bclust.calls import BatchRecords, CallDesk, LaneName


class BoundedDesk(CallDesk):
    """A desk that also says what the recorded misses cost at most, as ``--max-cost`` reserves it."""

    def most_usd(self) -> dict[LaneName, float | None]:
        """US dollars per function and lane; None where a price is unknown. Questions in open batches are paid already."""
        with self._lock:
            missing = {name: dict(calls) for name, calls in self._misses.items()}
        records = BatchRecords(self.store)
        return {name: self._bound(name, calls, records) for name, calls in missing.items()}

    def _bound(self, name: LaneName, calls: dict[bytes, str], records: BatchRecords) -> float | None:
        waiting = records.holding(list(calls))
        lane = self._lane(name)
        costs = [lane.estimate(payload).cost_usd for key, payload in calls.items() if key not in waiting]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None
