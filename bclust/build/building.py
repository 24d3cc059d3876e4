"""Building: the wanted nodes in order, each with its tests; calls are collected, made and replayed.

A node that fails leaves its old table and skips what is below it. What was answered is stored before anything else.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bclust.build.growth import Decision, How, Ledger, earlier
from bclust.build.increments import absorb
from bclust.build.plan import Wanted, estimated, load_seed, load_source, make_plan, refreshed_nodes, wanted_nodes
from bclust.build.results import CallCount, Calling, Event, Finished, NodePlan, Note, Plan, Planned, Result, Run, Started, Status
from bclust.build.state import (
    Record,
    begin_run,
    data_test_fingerprint,
    end_run,
    ensure_schema,
    read_records,
    read_tests,
    unit_test_fingerprint,
    write_record,
    write_test,
)
from bclust.build.unit_tests import run_unit_test
from bclust.calls.desk import Budget, CallDesk, LaneName, Progress
from bclust.errors import BclustError, BudgetError, Interrupted, Location, ProjectError, WarehouseError
from bclust.project.data_tests import compile_test
from bclust.project.literals import quote
from bclust.project.materializations import MATERIALIZATIONS, comments, discard, new_name, swap
from bclust.project.nodes import SEED, SOURCE, DataTest, Node
from bclust.warehouse.database import open_published
from bclust.warehouse.shared import check_shared, publish_into

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bclust.build.session import Session
    from bclust.project.manifest import Manifest
    from bclust.project.selector import Selection
    from bclust.warehouse.database import Warehouse

MAX_ROUNDS = 10


@dataclass(frozen=True)
class Options:
    """How a build was asked for."""

    full_refresh: bool = False
    no_upstream: bool = False
    fail_fast: bool = False
    max_calls: int | None = None
    max_cost: float | None = None


class Build:
    """One build. ``emit`` is told everything that happens; ``confirm`` is asked before money is spent."""

    def __init__(
        self,
        session: Session,
        selection: Selection,
        options: Options,
        run: Run,
        emit: Callable[[Event], None],
        confirm: Callable[[Plan], bool],
    ) -> None:
        self.session, self.selection, self.options, self.run, self.emit, self.confirm = (
            session,
            selection,
            options,
            run,
            emit,
            confirm,
        )
        self.manifest: Manifest = session.manifest
        self.warehouse = session.warehouse
        self.budget = Budget(options.max_calls, options.max_cost)
        self.blocked: dict[str, str] = {}  # node -> the ancestor because of which it is skipped
        self.publish_again = 0.0  # when, by the clock of ``perf_counter``, what is paid for is worth showing again
        self.failures: list[str] = []  # of the node at hand: which lane failed how, and how often
        self.spent: tuple[CallCount, ...] = ()  # its calls so far
        self.announced: dict[str, Counter[LaneName]] = {}  # node -> the calls by function and lane that were announced for it
        self.unasked: list[NodePlan] = []  # calls that cost too little to be asked about, so far

    def execute(self) -> Run:
        """Plan, ask, build, test, publish.

        Raises:
            BudgetError: the plan was not confirmed, or a limit was reached (what was answered is stored).
            Interrupted: Ctrl-C.
        """
        started = time.perf_counter()
        if self.manifest.config.shared:
            check_shared(self.manifest.config.shared, self.session.context.env)
        ensure_schema(self.warehouse)
        wanted = wanted_nodes(self.manifest, self.selection, no_upstream=self.options.no_upstream)
        self._check_parents(wanted)
        plan = make_plan(
            self.session, self.selection, full_refresh=self.options.full_refresh, no_upstream=self.options.no_upstream
        )
        self.emit(Planned(plan))
        self.refreshed = refreshed_nodes(self.session, self.selection, full_refresh=self.options.full_refresh)
        self.total = len(wanted.names) + len(self.selection.tests)
        begin_run(self.warehouse, self.run, self.manifest.config.target)
        error: BclustError | None = None
        try:
            self._unit_tests({n.name for n in plan.to_build})
            self.announced = {n.name: Counter({(c.function, c.lane): c.new + c.waiting for c in n.calls}) for n in plan.nodes}
            self._ask(plan.nodes, "nothing was spent")
            self._nodes(wanted)
        except (BudgetError, Interrupted) as stopped:
            error = stopped
        self.run.elapsed = time.perf_counter() - started
        self._finish(error)
        if error is not None:
            raise error
        return self.run

    # --- money -------------------------------------------------------------------------------------------------

    def _ask(self, nodes: Sequence[NodePlan], otherwise: str) -> None:
        """Have calls confirmed, together with those that were too cheap to be asked about. Raises BudgetError."""
        self.unasked += [node for node in nodes if node.calls]
        plan = Plan(tuple(self.unasked))
        if plan.new and not self.confirm(plan):
            raise BudgetError(f"not confirmed; {otherwise}", hint=_how_to_confirm(plan))
        if plan.exceeds(self.manifest.config.calls.confirm_over_usd):
            self.unasked.clear()

    def _ask_about_more(self, node: Node, desk: CallDesk) -> None:
        """Have calls confirmed that were not announced, since what they ask was not known."""
        announced, missing = self.announced.get(node.name, Counter()), desk.misses
        if any(n > announced[lane] for lane, n in missing.items()):
            more = NodePlan(node.name, "build", calls=estimated(desk))
            self._ask([more], f"{missing.total():,} calls of {node.name} were not made; what was answered is stored")
        announced.subtract(missing)

    # --- nodes -------------------------------------------------------------------------------------------------

    def _check_parents(self, wanted: Wanted) -> None:
        if not self.options.no_upstream:
            return
        present = self.warehouse.tables() | set(wanted.names)
        for name in wanted.names:
            for parent in self.manifest.nodes[name].depends_on:
                if parent not in present:
                    raise WarehouseError(
                        f"{name} needs {parent}, which is not built",
                        hint=f"leave out --no-upstream, or: bclust build -s {parent}",
                    )

    def _nodes(self, wanted: Wanted) -> None:
        self.main = f"{quote(self.warehouse.execute('select current_database()')[0][0])}.main"
        self.ledger = Ledger(self.manifest, self.warehouse, read_records(self.warehouse), self.refreshed, self.main)
        versions = self.ledger.versions
        outcomes = read_tests(self.warehouse)
        tests = self._tests_by_last_node(wanted)
        for name in wanted.names:
            if self.session.stop.is_set():
                raise Interrupted("stopped")
            node = self.manifest.nodes[name]
            result = self._node(node)
            if result.failed:
                self._block(name, name)
            self._done(result)
            if not result.failed and result.status is not Status.SKIPPED:
                self._data_tests(tests.get(name, []), versions, outcomes)
            if self.options.fail_fast and not self.run.ok:
                self._block_all(wanted, name)
        elsewhere = self._tests_elsewhere(wanted)
        for test in elsewhere:
            missing = next((name for name in test.depends_on if name not in versions), None)
            if missing:
                self._done(unbuilt(test, missing))
        self._data_tests(elsewhere, versions, outcomes)

    def _node(self, node: Node) -> Result:
        if node.name in self.blocked:
            return self._result(node, Status.SKIPPED, message=f"{self.blocked[node.name]} failed")
        try:
            decision = self.ledger.decide(node)
            if decision.how is How.REUSE:
                return self._result(node, Status.REUSED, rows=decision.record.rows if decision.record else None)
            self.emit(Started(len(self.run.results) + 1, self.total, node.name, node.kind))
            return self._materialize(node, decision)
        except (BudgetError, Interrupted) as stopped:
            self._done(self._result(node, Status.ERROR, message=stopped.message, hint=stopped.hint, calls=self.spent))
            raise
        except BclustError as error:
            self.warehouse.forget_new_fitted()
            self.warehouse.execute(discard(node))
            return self._result(node, Status.ERROR, message=error.message, where=error.where or node.where, hint=error.hint)

    def _materialize(self, node: Node, decision: Decision) -> Result:
        started = time.perf_counter()
        calls: tuple[CallCount, ...] = ()
        message = "; ".join(decision.why)
        if node.kind == SOURCE:
            message = self._load_source(node)
        elif node.kind == SEED:
            load_seed(self.warehouse, node, new_name(node))
        else:
            with self.ledger.inputs(node, decision, self.main):
                calls = self._run(node)
        failed = sum(c.failed for c in calls)
        with self.warehouse.transaction():
            new = self._add(node, decision, failed) if decision.how is How.ADD else self._put_in_place(node, decision, failed)
            self.warehouse.store_fitted(node.name)
            write_record(self.warehouse, node, new, time.perf_counter() - started, self.run.invocation_id)
        self.ledger.enter(node, new.data_version, new.contains)
        seconds = time.perf_counter() - started
        is_worth_showing = node.paid and any(c.new for c in calls) and not self.manifest.config.shared
        if is_worth_showing and time.perf_counter() >= self.publish_again:
            self.publish()
        status = Status.PARTIAL if failed else Status.SUCCESS
        if failed:
            message = f"{failed:,} calls failed; the next build asks them again" + "".join(f"\n  {f}" for f in self.failures[:5])
        return self._result(node, status, seconds=seconds, rows=new.rows, message=message, calls=calls)

    def _run(self, node: Node) -> tuple[CallCount, ...]:
        """The model's SQL into its new table, with the calls that it took."""
        if node.paid:
            return self._collect_call_replay(node)
        alone = any(self.manifest.functions[f].kind == "column" for f in node.functions)
        self.warehouse.run(MATERIALIZATIONS[node.materialized](node), node.sql, node.where, alone=alone)
        return ()

    def _add(self, node: Node, decision: Decision, failed: int) -> Record:
        """Take the added rows into the table. Returns its record."""
        assert decision.record is not None
        reaches = self.ledger.reaches_below(node, new_name(node))
        absorb(self.warehouse, node)
        data_version, rows = self.warehouse.data_version(quote(node.name))
        return Record(decision.now, data_version, rows, failed, earlier(decision.record, data_version) if reaches else ())

    def _put_in_place(self, node: Node, decision: Decision, failed: int) -> Record:
        """Let the new table take the old one's place. Returns its record."""
        data_version, rows = self.warehouse.data_version(new_name(node))
        existing = self.warehouse.kind_of(node.name)
        contained = self.ledger.contained_anew(node, new_name(node), data_version)
        if self.ledger.is_unchanged(node, data_version) and existing == node.relation:
            self.warehouse.execute(discard(node))
        else:
            for statement in swap(node, existing):
                self.warehouse.execute(statement)
        columns = set(self.warehouse.columns(quote(node.name)))
        for statement in comments(node, columns):
            self.warehouse.execute(statement)
        return Record(decision.now, data_version, rows, failed, contained)

    def _load_source(self, node: Node) -> str:
        rows = self.session.read_source(node)
        load_source(self.warehouse, node, new_name(node), rows)
        self.warehouse.execute("delete from _bclust.rejected_rows where node = ?", [node.name])
        for r in rows.rejected:
            self.warehouse.execute(
                "insert into _bclust.rejected_rows values (?, ?, ?, ?, ?)", [node.name, r.file, r.line, r.reason, r.text]
            )
        if not rows.rejected:
            return ""
        shown = "".join(f"\n  {r}" for r in rows.rejected[:3])
        text = f"{node.name}: {len(rows.rejected)} rows rejected ({rows.share_rejected:.2%}):{shown}"
        limit = self.manifest.config.max_rejected
        if rows.share_rejected > limit:
            raise ProjectError(
                text,
                where=node.where,
                hint=f'at most {limit:.1%} may be (max_rejected); all of them: bclust sql --working "from _bclust.rejected_rows"',
            )
        self.emit(Note(text + '\n  all of them: bclust sql "from _bclust.rejected_rows"', "warn"))
        return f"{len(rows.rejected)} rows rejected"

    def _collect_call_replay(self, node: Node) -> tuple[CallCount, ...]:
        """Run the model looking up, make what is missing, run it again, until a run misses nothing."""
        desk = self.session.new_desk()
        prefix = MATERIALIZATIONS[node.materialized](node)
        made: list[Progress] = []
        self.failures, self.spent = [], ()
        for _ in range(MAX_ROUNDS):
            desk.start_pass()
            self.warehouse.run(prefix, node.sql, node.where)
            if not desk.misses:
                return _call_counts(made, desk.cached_by_lane)
            self._ask_about_more(node, desk)
            summary = desk.answer(on_event=lambda p: self.emit(Calling(node.name, p)), stop=self.session.stop, budget=self.budget)
            made += summary.lanes
            self.spent = _call_counts(made, desk.cached_by_lane)
            for (_, lane), (tries, usd) in summary.doubtful.items():
                self.emit(Note(_may_have_been_charged(lane, tries, usd), "warn"))
            for (_, lane), messages in summary.errors.items():
                self.failures += [f"{lane}: {text} ({n}x)" for text, n in messages.items()]
            if summary.interrupted:
                raise Interrupted("stopped; every answer is stored" + _left_waiting(summary.waiting))
            if summary.exhausted:
                raise BudgetError(
                    f"the budget is used up: {summary.remaining:,} calls of {node.name} were not made",
                    hint="what was answered is stored; raise --max-calls or --max-cost, and only the rest is asked",
                )
        raise ProjectError(f"{node.name}: still asking after {MAX_ROUNDS} rounds", where=node.where, hint="split this model")

    # --- tests -------------------------------------------------------------------------------------------------

    def _unit_tests(self, to_build: set[str]) -> None:
        outcomes = read_tests(self.warehouse)
        for test in (t for t in self.manifest.unit_tests if t.unique_id in self.selection.tests):
            now = unit_test_fingerprint(test, self.manifest)
            before = outcomes.get(test.unique_id)
            if before and before[0] == now and before[1] is Status.PASS:
                self._done(Result(test.unique_id, test.name, "unit_test", Status.REUSED, node=test.model))
                continue
            result = run_unit_test(test, self.manifest)
            write_test(self.warehouse, test.unique_id, now, result)
            if result.failed and test.model in to_build:
                self._block(test.model, f"unit test {test.name}", include=True)
            self._done(result)

    def _tests_by_last_node(self, wanted: Wanted) -> dict[str, list[DataTest]]:
        """A data test runs after the last of the nodes that it reads."""
        rank = {name: i for i, name in enumerate(wanted.names)}
        found: dict[str, list[DataTest]] = {}
        for test in self.manifest.data_tests:
            read = [name for name in test.depends_on if name in rank]
            if test.unique_id in self.selection.tests and read:
                found.setdefault(max(read, key=rank.__getitem__), []).append(test)
        return found

    def _tests_elsewhere(self, wanted: Wanted) -> list[DataTest]:
        """Data tests that are selected by themselves: they look at tables that this build leaves as they are."""
        selected = [t for t in self.manifest.data_tests if t.unique_id in self.selection.tests]
        return [t for t in selected if not set(t.depends_on) & set(wanted.names)]

    def _data_tests(
        self, tests: Sequence[DataTest], versions: Mapping[str, str], outcomes: Mapping[str, tuple[str, Status, int]]
    ) -> None:
        for test in tests:
            if any(name not in versions for name in test.depends_on):
                continue  # it reads a table that was never built
            now = data_test_fingerprint(test, self.manifest, versions)
            before = outcomes.get(test.unique_id)
            if before and before[0] == now and before[1] is Status.PASS:
                self._done(Result(test.unique_id, test.name, "test", Status.REUSED, node=test.node))
                continue
            result = run_data_test(self.session, test)
            write_test(self.warehouse, test.unique_id, now, result)
            if result.failed:
                self._block(test.node, f"test {test.name}")
            self._done(result)

    # --- the end -----------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Let readers see what is built so far."""
        config, started = self.manifest.config, time.perf_counter()
        built = self.warehouse.publish(config.warehouse_path)
        took = time.perf_counter() - started
        if took > 1:  # a large file is copied in mid-build only so often that this takes a twentieth of the time
            self.publish_again = time.perf_counter() + 20 * took
        if config.shared:
            try:
                publish_into(config.shared, built)
            except BclustError:
                config.warehouse_path.unlink()  # so that the next build publishes again
                raise

    def _finish(self, error: BclustError | None) -> None:
        status = "interrupted" if isinstance(error, Interrupted) else "success" if self.run.ok and error is None else "error"
        end_run(self.warehouse, self.run, status)
        if self.run.ok and error is None and not self._is_published():
            self.publish()

    def _is_published(self) -> bool:
        """Whether readers see what is built: a build that was killed had not come to that, and a file may be damaged."""
        built = "select name, data_version, invocation_id from _bclust.nodes order by name"
        try:
            with open_published(self.manifest.config.warehouse_path) as published:
                return published.rows(built) == self.warehouse.rows(built)
        except BclustError:
            return False

    def _block(self, name: str, why: str, *, include: bool = False) -> None:
        for below in self.manifest.graph.descendants(name) | ({name} if include else set()):
            self.blocked.setdefault(below, why)

    def _block_all(self, wanted: Wanted, name: str) -> None:
        for other in wanted.names:
            self.blocked.setdefault(other, f"--fail-fast: {name}")

    def _done(self, result: Result) -> None:
        self.run.results.append(result)
        self.emit(Finished(len(self.run.results), self.total, result))

    def _result(
        self, node: Node, status: Status, *, seconds: float = 0.0, rows: int | None = None, message: str = "",
        where: Location | None = None, hint: str | None = None, calls: tuple[CallCount, ...] = (),
    ) -> Result:  # fmt: skip
        return Result(
            node.unique_id, node.name, node.kind, status, seconds, rows, message, where, hint, calls=calls, node=node.name
        )


def _how_to_confirm(plan: Plan) -> str:
    """What to do where nobody can be asked. A limit in US dollars needs prices."""
    unpriced = sorted({c.lane for c in plan.calls if c.new and c.most_usd is None})
    if not unpriced:
        return "say yes with -y, or limit it: --max-cost USD"
    keys = "usd_per_mtok_in and usd_per_mtok_out"
    return f"say yes with -y, or write the prices of {', '.join(unpriced)} into bclust.yml: {keys} (0 on a server of your own)"


def _left_waiting(questions: int) -> str:
    return f", and {questions:,} questions wait in open batches: nothing is asked twice" if questions else ""


def _may_have_been_charged(lane: str, tries: int, usd: float | None) -> str:
    most = "; its price is not known" if usd is None else f", at most {usd:,.2g} USD more than is said below"
    how = "try" if tries == 1 else "tries"
    return f"{lane}: {tries:,} {how} brought no answer that can be read, and may have been charged{most}"


def _call_counts(made: Sequence[Progress], cached: Mapping[tuple[str, str], int]) -> tuple[CallCount, ...]:
    """What the calls of one node came to, per function and lane."""
    counts = {name: CallCount(*name, cached=n) for name, n in cached.items()}
    for p in made:
        before = counts.get((p.function, p.lane), CallCount(p.function, p.lane))
        counts[p.function, p.lane] = replace(
            before,
            new=before.new + p.done,
            failed=before.failed + p.failed,
            tokens=before.tokens + p.tokens,
            cost_usd=None if before.cost_usd is None or p.cost_usd is None else before.cost_usd + p.cost_usd,
        )
    return tuple(counts[name] for name in sorted(counts))


def unbuilt(test: DataTest, missing: str) -> Result:
    """What becomes of a test that reads a table which was never built. One of the project may be a gate: that must not pass."""
    status = Status.ERROR if test.is_defined_by_project else Status.SKIPPED
    hint = f"bclust build -s {missing}" if test.is_defined_by_project else None
    message = f"{missing} is not built"
    return Result(
        test.unique_id,
        test.name,
        "test",
        status,
        message=message,
        severity=test.severity,
        where=test.where,
        hint=hint,
        node=test.node,
    )


def run_data_test(session: Session, test: DataTest) -> Result:
    """Run one data test over the tables as they are."""
    started = time.perf_counter()
    base = Result(test.unique_id, test.name, "test", Status.PASS, severity=test.severity, where=test.where, node=test.node)
    try:
        session.warehouse.run("create or replace temp table __failures as\n", compile_test(test), test.file)
        failures, errors, sample = _failures(session.warehouse, graded=test.is_defined_by_project)
    except (BudgetError, Interrupted):
        raise
    except BclustError as error:
        hint = error.hint or (f"in {error.where}" if error.where else None)
        return replace(base, status=Status.ERROR, seconds=time.perf_counter() - started, message=error.message, hint=hint)
    seconds = time.perf_counter() - started
    if not failures:
        return replace(base, seconds=seconds, failures=0)
    status = Status.WARN if test.severity == "warn" or not errors else Status.FAIL
    counted = f"{failures} rows" if errors in (0, failures) else f"{failures} rows, {errors} of them errors"
    shown = "".join(f"\n  {row}" for row in sample)
    return replace(base, status=status, seconds=seconds, failures=failures, message=counted + shown)


def _failures(warehouse: Warehouse, *, graded: bool) -> tuple[int, int, list[str]]:
    """How many rows are wrong, how many of them are errors, and the first few in words, errors before warnings.

    Raises:
        ProjectError: ``graded``, and a row's severity is neither 'error' nor 'warn'.
    """
    columns = warehouse.columns("__failures") if graded else {}
    severity = "severity" if "severity" in columns else "'error'::varchar"
    counts = dict(warehouse.execute(f"select {severity}, count(*) from __failures group by all"))
    for found in counts:
        if found not in ("error", "warn"):
            raise ProjectError(f"the severity of a row is error or warn, not {found!r}")
    rows = warehouse.rows(f"from __failures order by {severity}, rowid limit 3") if counts else []
    if "message" in columns:
        return sum(counts.values()), counts.get("error", 0), [str(row["message"]) for row in rows]
    in_words = [", ".join(f"{k}={_short(v)}" for k, v in row.items()) for row in rows]
    return sum(counts.values()), counts.get("error", 0), in_words


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
