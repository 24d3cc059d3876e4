"""What a build, a test or a plan reports: small frozen data, and the same as dbt's run_results.json."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bclust.errors import Location


class Status(StrEnum):
    """How a node or a test ended, in dbt's words."""

    SUCCESS = "success"
    PARTIAL = "partial_success"
    REUSED = "reused"
    ERROR = "error"
    SKIPPED = "skipped"
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class CallCount:
    """Paid calls of one function to one lane; ``waiting`` ones are in open batches, to be collected and not paid again.

    Of calls that are planned, ``cost_usd`` is what they are likely to cost, ``most_usd`` what they cost at most (None: unknown),
    and ``needs`` what this machine must have for them, in words.
    """

    function: str
    lane: str
    new: int = 0
    cached: int = 0
    failed: int = 0
    tokens: int = 0
    cost_usd: float | None = 0.0
    waiting: int = 0
    most_usd: float | None = 0.0
    needs: str = ""


@dataclass(frozen=True)
class Result:
    """One node or test, done."""

    unique_id: str
    name: str
    resource_type: str
    status: Status
    seconds: float = 0.0
    rows: int | None = None
    message: str = ""
    where: Location | None = None
    hint: str | None = None
    failures: int | None = None
    severity: str = "error"
    calls: tuple[CallCount, ...] = ()
    node: str = ""
    ended: float = field(default_factory=time.time)

    @property
    def failed(self) -> bool:
        return self.status in (Status.ERROR, Status.FAIL)

    @property
    def timing(self) -> list[dict[str, str]]:
        """When it ran, as in dbt's run_results.json; [] for what was not run."""
        if not self.seconds:
            return []
        began, ended = (dt.datetime.fromtimestamp(t, dt.UTC).isoformat() for t in (self.ended - self.seconds, self.ended))
        return [{"name": "execute", "started_at": began, "completed_at": ended}]


@dataclass(frozen=True)
class Totals:
    """The last line of every build."""

    passed: int
    warned: int
    errors: int
    skipped: int
    reused: int
    calls_new: int
    calls_cached: int
    calls_failed: int
    cost_usd: float | None

    @property
    def total(self) -> int:
        return self.passed + self.warned + self.errors + self.skipped + self.reused


def totals(results: Sequence[Result]) -> Totals:
    """Add up results."""
    count = {status: sum(r.status is status for r in results) for status in Status}
    calls = [c for r in results for c in r.calls]
    costs = [c.cost_usd for c in calls if c.new]
    return Totals(
        passed=count[Status.SUCCESS] + count[Status.PASS],
        warned=count[Status.WARN] + count[Status.PARTIAL],
        errors=count[Status.ERROR] + count[Status.FAIL],
        skipped=count[Status.SKIPPED],
        reused=count[Status.REUSED],
        calls_new=sum(c.new for c in calls),
        calls_cached=sum(c.cached for c in calls),
        calls_failed=sum(c.failed for c in calls),
        cost_usd=_sum(costs),
    )


@dataclass(frozen=True)
class NodePlan:
    """What a build would do with one node, and why."""

    name: str
    action: str  # build | reuse
    reasons: tuple[str, ...] = ()
    required_by: str | None = None
    calls: tuple[CallCount, ...] = ()
    at_most: int | None = None  # an upper bound for calls that are known only when `waits_for` is built
    waits_for: str | None = None


@dataclass(frozen=True)
class Plan:
    """The whole plan, in building order."""

    nodes: tuple[NodePlan, ...]
    notes: tuple[str, ...] = ()

    @property
    def to_build(self) -> list[NodePlan]:
        return [n for n in self.nodes if n.action == "build"]

    @property
    def calls(self) -> list[CallCount]:
        return [c for n in self.nodes for c in n.calls]

    @property
    def new(self) -> int:
        return sum(c.new for c in self.calls)

    @property
    def stored(self) -> int:
        return sum(c.cached for c in self.calls)

    @property
    def waiting(self) -> int:
        return sum(c.waiting for c in self.calls)

    @property
    def cost_usd(self) -> float | None:
        """What the new calls are likely to cost; None as soon as one has no known price."""
        return _sum(c.cost_usd for c in self.calls if c.new)

    @property
    def most_usd(self) -> float | None:
        """What the new calls cost at most; None as soon as one has no known price."""
        return _sum(c.most_usd for c in self.calls if c.new)

    @property
    def known_later(self) -> int | None:
        """How many calls more there may be, which are known when others are made; None where some have no bound."""
        bounds = [n.at_most for n in self.nodes if n.waits_for]
        return None if None in bounds else sum(b for b in bounds if b is not None)

    def exceeds(self, usd: float) -> bool:
        """Whether the new calls may cost more than so many US dollars, or nobody knows."""
        return self.new > 0 and (self.most_usd is None or self.most_usd > usd)


def _sum(costs: Iterable[float | None]) -> float | None:
    found = list(costs)
    return None if None in found else sum(c for c in found if c is not None)


# --- events: what a build yields while it runs -----------------------------------------------------------------


@dataclass(frozen=True)
class Planned:
    """The plan is known; nothing was built or paid yet."""

    plan: Plan


@dataclass(frozen=True)
class Started:
    """A node is being built."""

    index: int
    total: int
    name: str
    resource_type: str


@dataclass(frozen=True)
class Finished:
    """A node or test is done."""

    index: int
    total: int
    result: Result


@dataclass(frozen=True)
class Calling:
    """Calls are under way; ``progress`` is the call loop's own record."""

    name: str
    progress: Any


@dataclass(frozen=True)
class Note:
    """Something the user should know; ``level`` is info or warn."""

    text: str
    level: str = "info"


Event = Planned | Started | Finished | Calling | Note


@dataclass
class Run:
    """One invocation: what it was asked, and how everything ended."""

    invocation_id: str
    args: Mapping[str, Any]
    results: list[Result] = field(default_factory=list)
    elapsed: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed. (A call that failed is a row with its error, and fails nothing.)"""
        return not any(r.failed for r in self.results)

    @property
    def totals(self) -> Totals:
        """The last line of a build, in numbers."""
        return totals(self.results)

    def to_json(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """dbt's field names; calls and costs are in adapter_response."""
        return {
            "metadata": dict(metadata),
            "args": dict(self.args),
            "elapsed_time": round(self.elapsed, 3),
            "results": [
                {
                    "unique_id": r.unique_id,
                    "status": str(r.status),
                    "execution_time": round(r.seconds, 4),
                    "message": r.message or None,
                    "failures": r.failures,
                    "thread_id": "main",
                    "timing": r.timing,
                    "adapter_response": {
                        "rows": r.rows,
                        "calls_new": sum(c.new for c in r.calls),
                        "calls_cached": sum(c.cached for c in r.calls),
                        "calls_failed": sum(c.failed for c in r.calls),
                        "cost_usd": totals([r]).cost_usd,
                    },
                }
                for r in self.results
            ],
        }
