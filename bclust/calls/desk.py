"""Paid functions: collect what a query asks, make the calls outside of it, and answer the query from the store.

SQL reaches a paid function in look-up mode: a stored answer is given at once, a question that has none is recorded and is
NULL for now. ``CallDesk.answer`` then makes all recorded calls at full concurrency; the query is run again and finds them.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from bclust.calls.arrivals import Arrivals
from bclust.calls.batch_records import BatchRecords
from bclust.calls.batches import BatchRun
from bclust.calls.claims import Claims, Supply
from bclust.calls.columns import Row, answer_kind, converter, null_rows, values, without_collection
from bclust.calls.lanes import LaneRun
from bclust.calls.limits import Budget
from bclust.calls.progress import Progress
from bclust.calls.store import Call, CallStore, Stored, key_prefix
from bclust.errors import FunctionError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pyarrow as pa

    from bclust.calls.ray_executor import RayExecutor
    from bclust.functions import Answer, BatchLane, Caller, Context, Lane, Request
    from bclust.project.registry import Function

__all__ = ["BatchRecords", "Budget", "CallDesk", "CallStore", "LaneEstimate", "Progress", "Summary", "answer_kind"]

_ANSWERED_AT = Stored._fields.index("answered_at")
_TICK = 0.1  # seconds between two looks at the stop flag, and between two events
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half of an emoji that was cut: JSON can carry it, no file and no table can
_SHORTEST_SECRET = 8  # shorter values are placeholders such as EMPTY, which may well be words of an answer

LaneName = tuple[str, str]  # function, lane


class LaneEstimate(NamedTuple):
    """What one lane of one function will be asked: what that is likely to cost, and at most, as ``--max-cost`` reserves it.

    Costs are in US dollars, and None where the price is unknown. ``waiting`` questions are in open batches: not answered yet, and
    not to be paid again. ``needs`` is what this machine must have for them, in words.
    """

    function: str
    lane: str
    new: int
    stored: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    waiting: int = 0
    most_usd: float | None = 0.0
    needs: str = ""


@dataclass
class Summary:
    """What ``CallDesk.answer`` did. ``remaining`` calls were not made: interrupted, or beyond the budget (``exhausted``).

    ``waiting`` questions of these lanes are in open batches, which a later build collects. ``errors`` counts the messages of
    failed calls per function and lane; ``fatal`` has the message that ended a lane; ``doubtful`` counts tries that brought no
    answer and may have been charged, with what they cost at most in US dollars (None: unknown).
    """

    answered: int = 0
    failed: int = 0
    retries: int = 0
    remaining: int = 0
    waiting: int = 0
    cost_usd: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    exhausted: bool = False
    errors: dict[LaneName, dict[str, int]] = field(default_factory=dict)
    fatal: dict[LaneName, str] = field(default_factory=dict)
    lanes: list[Progress] = field(default_factory=list)
    doubtful: dict[LaneName, tuple[int, float | None]] = field(default_factory=dict)


class CallDesk:
    """The paid calls of one build or one plan.

    ``refresh`` names functions whose answers are not used if they are from before a time (microseconds since 1970; the opening of
    the store where none is given): what is needed is asked again, and each old answer stays in use until its successor is stored.
    With ``offline`` a call that failed when it was last made fails again with the same message, and any other missing call
    is an error. ``executor`` takes over the lanes that compute here (None: they compute here).
    """

    def __init__(
        self,
        store: CallStore,
        context: Context,
        *,
        offline: bool = False,
        refresh: Collection[str] | Mapping[str, int] = (),
        executor: RayExecutor | None = None,
    ) -> None:
        self.store = store
        self.context = context
        self.executor = executor
        self.offline = offline
        self._since = dict(refresh) if isinstance(refresh, Mapping) else dict.fromkeys(refresh, store.opened_at)
        self.new = 0
        self.failed = 0
        self.cost = 0.0
        self.looked_up = 0
        self.hits = 0
        self.unanswered: Counter[str] = Counter()
        self._own: set[bytes] = set()  # the keys of the answers that this desk got
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._functions: dict[str, Function] = {}
        self._callers: dict[str, Caller] = {}
        self._lanes: dict[LaneName, Lane] = {}
        self._misses: dict[LaneName, dict[bytes, str]] = {}
        self._failures: dict[bytes, str] = {}
        self._found: dict[LaneName, bytearray] = {}  # the first 8 bytes of each key found, for counting distinct ones
        self._secrets = _secrets(context)

    # --- look-up mode ------------------------------------------------------------------------------------------

    def arrow_function(self, function: Function) -> Callable[..., pa.Array]:
        """What DuckDB calls: Arrow columns in, one Arrow column of stored answers out. May run in several threads.

        NULL means: nothing to ask (a required argument is NULL, or the function says so), or not asked yet.
        """
        assert function.signature is not None
        self._functions[function.name] = function
        caller = self._caller(function.name)
        to_arrow = converter(function, getattr(caller, "read", None))
        required = [i for i, p in enumerate(function.signature.parameters) if p.default is None]
        prefix = key_prefix(function.name, function.version)
        sha256, request = hashlib.sha256, caller.request

        def look_up(*columns: Any) -> Any:
            # one thread at a time: SQLite gives up the interpreter's lock at every row, and threads that fight for it are slower
            with self._turn, without_collection():
                return look_up_chunk([c.combine_chunks() if hasattr(c, "combine_chunks") else c for c in columns])

        def look_up_chunk(arrays: list[Any]) -> pa.Array:
            nulls = null_rows(arrays, required)
            keys: list[bytes] = []
            asked: dict[bytes, Request] = {}
            for row in zip(*map(values, arrays), strict=True):
                question = None if nulls and any(row[i] is None for i in required) else request(*row)
                if question is None:
                    keys.append(b"")
                    continue
                key = sha256(f"{prefix}{question.payload}]".encode()).digest()
                asked[key] = question
                keys.append(key)
            found, errors = self._settle(function.name, asked)
            stored = [found.get(key) for key in keys]
            with self._lock:
                self.looked_up += len(keys)
                self.hits += len(keys) - stored.count(None)
                self.unanswered[function.name] += nulls
            return to_arrow(stored, [errors.get(key) for key in keys] if errors else None)

        return look_up

    def _settle(self, function: str, asked: Mapping[bytes, Request]) -> tuple[dict[bytes, Row], dict[bytes, str]]:
        """Stored answers and failures of this build; all other questions are recorded as missing."""
        found = self._usable(function, self.store.rows(list(asked)))
        missing = [key for key in asked if key not in found] if len(found) < len(asked) else []
        errors = self.store.errors(missing) if self.offline and missing else {}
        earlier: dict[str, list[bytes]] = {}
        for key in found:
            if key not in self._own:
                earlier.setdefault(asked[key].lane, []).append(key[:8])
        with self._lock:
            for key in missing:
                if key in self._failures:
                    errors[key] = self._failures[key]
                elif key not in errors and not any(key in calls for calls in self._misses.values()):
                    # a second name of the same party asks nothing of its own: the keys are the same
                    self._misses.setdefault((function, asked[key].lane), {})[key] = asked[key].payload
            for lane, keys in earlier.items():
                self._found.setdefault((function, lane), bytearray()).extend(b"".join(keys))
        return found, errors

    def _usable(self, function: str, rows: dict[bytes, Row]) -> dict[bytes, Row]:
        """Stored answers, but for those that are to be asked again."""
        since = self._since.get(function)
        return rows if since is None else {key: row for key, row in rows.items() if row[_ANSWERED_AT] >= since}

    def start_pass(self) -> None:
        """Forget the counters of the last pass over a query: rows looked up, hits, unanswered. Misses stay until answered."""
        with self._lock:
            self.looked_up = self.hits = 0
            self.unanswered.clear()

    def drop_misses(self) -> None:
        """Forget the recorded misses, as when the query that asked them failed."""
        with self._lock:
            self._misses.clear()

    @property
    def misses(self) -> Counter[LaneName]:
        """How many calls are missing, per function and lane; ``misses.total()`` for all."""
        with self._lock:
            return Counter({lane: len(calls) for lane, calls in self._misses.items() if calls})

    @property
    def cached_by_lane(self) -> Counter[LaneName]:
        """How many different answers came from earlier builds, per function and lane."""
        import numpy as np

        with self._lock:
            return Counter({lane: len(np.unique(np.frombuffer(bytes(keys), np.uint64))) for lane, keys in self._found.items()})

    @property
    def cached(self) -> int:
        """How many different answers came from earlier builds."""
        return self.cached_by_lane.total()

    # --- plan --------------------------------------------------------------------------------------------------

    def estimate(self) -> list[LaneEstimate]:
        """What the recorded misses will need. Spends nothing, and needs no key."""
        means = self.store.mean_output_tokens()
        stored = self.cached_by_lane
        with self._lock:
            missing = {lane: dict(calls) for lane, calls in self._misses.items()}
        records = BatchRecords(self.store)
        rows = []
        for name in sorted({*missing, *stored}):
            waiting = records.holding(list(missing.get(name, ())))
            payloads = [payload for key, payload in missing.get(name, {}).items() if key not in waiting]
            lane = self._lane(name)
            estimates = [lane.estimate(payload) for payload in payloads]
            tokens_in = sum(e.input_tokens for e in estimates)
            tokens_out = sum(e.output_tokens for e in estimates)
            costs = [e.cost_usd for e in estimates if e.cost_usd is not None]
            cost = most = sum(costs) if len(costs) == len(estimates) else None
            if name in means and tokens_out:
                tokens_out = min(tokens_out, round(means[name] * len(payloads)))
            price = getattr(lane, "price", None)
            if price is not None:
                cost = price(tokens_in, tokens_out)
            needs = lane.needs() if payloads and hasattr(lane, "needs") else ""
            rows.append(LaneEstimate(*name, len(payloads), stored[name], tokens_in, tokens_out, cost, len(waiting), most, needs))
        return rows

    # --- build -------------------------------------------------------------------------------------------------

    def answer(self, *, on_event: Callable[[Progress], None], stop: threading.Event, budget: Budget | None = None) -> Summary:
        """Make all recorded calls; each answer is durable the moment it is counted.

        ``stop`` ends it early: no new calls, those under way are kept. What failed is answered with its error by the next
        pass of this build, and asked again by the next build.

        Raises:
            FunctionError: offline, and something is missing; or a lane's settings cannot work.
            BudgetError: a maximal cost is set, and the price of a lane is unknown.
            StoreError: an answer could not be stored.
        """
        self._drop_answered()
        if self.offline and self._misses:
            raise self._offline_error()
        calls = {name: self._calls(name, misses) for name, misses in self._misses.items()}
        lanes = {name: self._lane(name) for name in calls}
        if self.executor:
            lanes = self.executor.spread(lanes, {function: self._functions[function].reads for function, _ in calls})
        with Arrivals(self.store, self._secrets) as arrivals, Claims(self.store) as claims:
            runs = self._runs(calls, lanes, stop, budget or Budget(), claims, arrivals)
            for run in runs:
                run.check_price()
            try:
                asyncio.run(_make(runs, on_event, stop))
            except StoreError:
                self.store.flush()  # tries once more, and says how much is lost after what was under way has arrived
                raise
            self.store.checkpoint()
        return self._summary(runs, stop)

    def _runs(
        self,
        calls: Mapping[LaneName, list[Call]],
        lanes: Mapping[LaneName, Lane],
        stop: threading.Event,
        budget: Budget,
        claims: Claims,
        arrivals: Arrivals,
    ) -> list[LaneRun | BatchRun]:
        runs: list[LaneRun | BatchRun] = []
        records = BatchRecords(self.store)

        def on_room() -> None:
            for run in runs:
                run.pump()

        def fail(call: Call, message: str, tries: int) -> None:
            message = self._scrubbed(message)
            self._failures[call.key] = message
            if tries:
                self.store.record_error(call, message, tries)
            claims.release([call.key])

        for name, some in sorted(calls.items()):
            lane, since = lanes[name], self._since.get(name[0])
            batched, alone = _batched(lane, some, records)
            if batched:
                known, batches = functools.partial(self._known, name[0]), batching(lane)
                assert batches is not None
                run = BatchRun(
                    *name, lane, batches, batched, self._put, fail, stop, budget, on_room, records, known, claims, since
                )
                runs.append(run)
            if alone:
                put = functools.partial(self._put, since=since)
                if getattr(lane, "heavy", False):  # what is computed here costs nothing: two that do so at once are no harm
                    runs.append(LaneRun(*name, lane, alone, put, fail, stop, budget, on_room))
                else:
                    supply = functools.partial(Supply, claims, since=since)
                    runs.append(LaneRun(*name, lane, alone, put, fail, stop, budget, on_room, supply, arrivals, since))
        return runs

    def _known(self, function: str, keys: Sequence[bytes]) -> Collection[bytes]:
        """Which of these calls are answered by now."""
        return self._usable(function, self.store.rows(keys)).keys()

    def _put(
        self,
        call: Call,
        answer: Answer,
        on_commit: Callable[[], None],
        on_refused: Callable[[str], None],
        since: int | None = None,
    ) -> None:
        if isinstance(answer.value, str):
            answer.value = self._scrubbed(answer.value)
        if answer.finish_reason:
            answer.finish_reason = self._scrubbed(answer.finish_reason)
        if answer.detail:
            answer.detail = self._scrubbed(answer.detail)
        self._own.add(call.key)
        self.store.put(call, answer, on_commit, on_refused, since=since)

    def _scrubbed(self, text: str) -> str:
        text = _LONE_SURROGATE.sub("\ufffd", text)
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, "[secret]")
        return text

    def _summary(self, runs: Sequence[LaneRun | BatchRun], stop: threading.Event) -> Summary:
        summary = Summary()
        for run in runs:
            name = (run.function, run.name)
            summary.lanes.append(run.progress())
            summary.answered += run.done
            summary.failed += run.failed
            summary.retries += run.retries
            summary.cost_usd += run.cost
            summary.tokens += run.tokens
            summary.seconds = max(summary.seconds, run.seconds)
            summary.exhausted |= run.exhausted
            summary.waiting += summary.lanes[-1].questions_there
            if run.messages:
                summary.errors.setdefault(name, {}).update({self._scrubbed(m): n for m, n in run.messages.items()})
            if run.doubtful:
                summary.doubtful[name] = (run.doubtful, run.doubtful_usd)
            if run.fatal:
                summary.fatal[name] = self._scrubbed(run.fatal)
        self._drop_answered()
        summary.remaining = self.misses.total()
        summary.interrupted = stop.is_set() and summary.remaining > 0
        self.new += summary.answered
        self.failed += summary.failed
        self.cost += summary.cost_usd
        return summary

    def _drop_answered(self) -> None:
        """Strike off what is answered by now (by this process or another) or has failed."""
        with self._lock:
            for (function, lane), calls in self._misses.items():
                known = self._usable(function, self.store.rows(list(calls)))
                self._misses[function, lane] = {k: p for k, p in calls.items() if k not in known and k not in self._failures}
            self._misses = {name: calls for name, calls in self._misses.items() if calls}

    def _calls(self, name: LaneName, misses: Mapping[bytes, str]) -> list[Call]:
        function, lane = name
        version = self._functions[function].version
        return [Call(key, function, version, lane, payload) for key, payload in misses.items()]

    def _offline_error(self) -> FunctionError:
        missing = self.misses
        parts = ", ".join(f"{n:,} of {function} by {lane}" for (function, lane), n in sorted(missing.items()))
        return FunctionError(
            f"{missing.total():,} answers are not stored: {parts}",
            hint="bclust build (without --offline) asks for them; bclust calls import FILE brings answers that others have",
        )

    def _caller(self, function: str) -> Caller:
        if function not in self._callers:
            self._callers[function] = self._functions[function].target(self.context)
        return self._callers[function]

    def _lane(self, name: LaneName) -> Lane:
        if name not in self._lanes:
            self._lanes[name] = self._caller(name[0]).lane(name[1])
        return self._lanes[name]


def batching(lane: Lane) -> BatchLane | None:
    """How a lane is asked in batches; None for one that is not."""
    return getattr(lane, "batching", None)


def _batched(lane: Lane, calls: list[Call], records: BatchRecords) -> tuple[list[Call], list[Call]]:
    """The calls that are to be made, or are being made, in batches; and the others."""
    batches = batching(lane)
    if batches is None:
        return [], calls
    if not batches.limits.collect_only:
        return calls, []
    held = records.holding([call.key for call in calls])
    return [call for call in calls if call.key in held], [call for call in calls if call.key not in held]


async def _make(runs: Sequence[LaneRun | BatchRun], on_event: Callable[[Progress], None], stop: threading.Event) -> None:
    """Run all lanes side by side; the first that breaks stops the others, whose calls under way still arrive."""
    tasks = [asyncio.create_task(run.run()) for run in runs]
    shown = itertools.cycle(runs)
    try:
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=_TICK)
            if stop.is_set() or any(task.done() and task.exception() for task in tasks):
                for run in runs:
                    run.halt()
            on_event(next(shown).progress())
        for run in runs:
            on_event(run.progress())
    finally:
        for run in runs:
            run.halt()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(run.lane.close() for run in runs), return_exceptions=True)
    for task in tasks:
        task.result()


def _secrets(context: Context) -> list[str]:
    """Values that must never be stored: of variables named like secrets, and of those that a seed's ``..._env`` names."""
    named = {
        str(value)
        for rows in context.seeds.values()
        for row in rows
        for key, value in row.items()
        if value and key.endswith("_env")
    }
    values = {value for name, value in context.env.items() if name in named or _SECRET_NAME.search(name)}
    return sorted((v for v in values if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)
