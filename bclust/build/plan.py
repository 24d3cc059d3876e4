"""What a build would do, why, and how many calls it would pay for. Nothing is spent and nothing is written."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bclust.build.growth import Decision, How, Ledger, earlier
from bclust.build.increments import absorbed
from bclust.build.results import CallCount, NodePlan, Plan
from bclust.build.state import Record, fingerprint, read_records, reasons
from bclust.errors import BclustError, ProjectError
from bclust.project.literals import quote
from bclust.project.materializations import new_name, typed_seed
from bclust.project.nodes import MODEL, SEED, SOURCE, Node
from bclust.project.sql_types import FITTED
from bclust.warehouse.sources import SOURCE_COLUMNS, seed_to_arrow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bclust.build.session import Session
    from bclust.calls.desk import CallDesk
    from bclust.project.manifest import Manifest
    from bclust.project.selector import Selection
    from bclust.warehouse.database import Warehouse
    from bclust.warehouse.sources import SourceRows


@dataclass(frozen=True)
class Wanted:
    """What to look at, in building order, and who needs what was not selected."""

    names: tuple[str, ...]
    required_by: Mapping[str, str] = field(default_factory=dict)


def wanted_nodes(manifest: Manifest, selection: Selection, *, no_upstream: bool = False) -> Wanted:
    """The selected nodes, and unless ``no_upstream`` all that they need."""
    graph = manifest.graph
    required: dict[str, str] = {}
    if not no_upstream:
        for name in graph.sorted(selection.nodes):
            for ancestor in graph.ancestors(name) - selection.nodes:
                required.setdefault(ancestor, name)
    return Wanted(tuple(graph.sorted({*selection.nodes, *required})), required)


def make_plan(session: Session, selection: Selection, *, full_refresh: bool = False, no_upstream: bool = False) -> Plan:
    """The plan for a selection.

    The numbers of calls are exact for a model whose inputs are fresh or can be computed without a call; for the others
    the plan names the model that must be built first.
    """
    manifest, records = session.manifest, read_records(session.warehouse)
    wanted = wanted_nodes(manifest, selection, no_upstream=no_upstream)
    refreshed = refreshed_nodes(session, selection, full_refresh=full_refresh)
    stale = stale_nodes(manifest, wanted, records, refreshed)
    if any(stale.values()):
        check_binding(session, wanted.names)
    rehearsal = Rehearsal(session, wanted, {name for name, why in stale.items() if why}, records, refreshed)
    nodes, notes = rehearsal.run()
    return Plan(tuple(replace(node, required_by=wanted.required_by.get(node.name)) for node in nodes), notes)


def refreshed_nodes(session: Session, selection: Selection, *, full_refresh: bool) -> dict[str, str]:
    """Selected nodes that are built even if fresh, and why: --full-refresh, or --refresh-calls of a function they call."""
    found = dict.fromkeys(selection.nodes, "full refresh") if full_refresh else {}
    for name in selection.nodes:
        again = session.refresh & set(session.manifest.nodes[name].paid)
        if again:
            found[name] = f"asking {', '.join(sorted(again))} again"
    return found


def stale_nodes(
    manifest: Manifest, wanted: Wanted, records: Mapping[str, Record], refreshed: Mapping[str, str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Why each wanted node must be built; () for a fresh one. A node below a stale one counts as stale."""
    versions = {name: record.data_version for name, record in records.items()}
    contains = {name: record.versions for name, record in records.items()}
    found: dict[str, tuple[str, ...]] = {}
    for name in wanted.names:
        node = manifest.nodes[name]
        why = reasons(node, fingerprint(node, manifest, versions), records.get(name), contains)
        if not why and refreshed and name in refreshed:
            why = (refreshed[name],)
        parents = [p for p in node.depends_on if found.get(p)]
        if not why and parents:
            why = ("inputs are rebuilt: " + ", ".join(parents),)
        found[name] = why
    return found


# --- a scratch database beside the working one -----------------------------------------------------------------


_SCRATCH = "__scratch.main"


@contextlib.contextmanager
def scratch(warehouse: Warehouse) -> Iterator[str]:
    """Work in an empty database in memory; yields the name of the working one."""
    working = warehouse.execute("select current_database()")[0][0]
    warehouse.execute("attach ':memory:' as __scratch (read_write); use __scratch")
    try:
        yield quote(working)
    finally:
        warehouse.execute(f"use {quote(working)}; detach __scratch")


def check_binding(session: Session, names: Sequence[str]) -> None:
    """Let DuckDB bind every model over empty tables: a wrong column or type is found before anything is built.

    Raises:
        ProjectError: with file:line:column.
    """
    warehouse, manifest = session.warehouse, session.manifest
    session.new_desk()
    built = warehouse.tables()
    inputs = {p for name in names for p in manifest.nodes[name].depends_on} - set(names)
    with scratch(warehouse) as working:
        for name in inputs & built:  # with --no-upstream, inputs are what they are
            warehouse.execute(f"create table {quote(name)} as from {working}.main.{quote(name)} with no data")
        for name in names:
            node = manifest.nodes[name]
            if node.kind == SOURCE:
                columns = ", ".join(f"{c} {t}" for c, t in SOURCE_COLUMNS.items())
                warehouse.execute(f"create table {quote(name)} ({columns})")
            elif node.kind == SEED:
                load_seed(warehouse, node, quote(name))
            else:
                _bind(warehouse, node)
    session.new_desk()


def _bind(warehouse: Warehouse, node: Node) -> None:
    try:
        warehouse.run(f"create table {quote(node.name)} as\n", node.sql + "\nwith no data", node.where)
    except ProjectError:
        raise
    except BclustError as error:
        if error.exit_code == 130:
            raise
        raise ProjectError(error.message, where=error.where or node.where, hint=error.hint) from error


def load_source(warehouse: Warehouse, node: Node, name: str, rows: SourceRows) -> None:
    """Load the records of a source."""
    # typed while it is made: DuckDB cannot replay a change of type to JSON after a kill
    loaded = quote(f"__raw__{node.name}")
    warehouse.load(loaded, rows.to_arrow())
    warehouse.execute(
        f"create or replace table {name} as select * replace (record::json as record) from {loaded}; drop table {loaded}"
    )


def load_seed(warehouse: Warehouse, node: Node, name: str) -> None:
    """Load a seed with its declared types. Raises ProjectError where a value is not of its type."""
    loaded = quote(f"__raw__{node.name}")
    warehouse.load(loaded, seed_to_arrow(node))
    try:
        warehouse.execute(f"create or replace table {name} as {typed_seed(node, loaded, warehouse.columns(loaded))}")
    except BclustError as error:
        raise ProjectError(f"seed {node.name}: {error.message}", where=node.where) from error
    finally:
        warehouse.execute(f"drop table {loaded}")


# --- counting calls --------------------------------------------------------------------------------------------


class Rehearsal:
    """A build without its calls: the paid models and all above them are made in a scratch database, functions looking up only.

    What becomes of a table is decided as a build decides it (``growth.Ledger``). A table is ``unsettled`` where what it will
    hold is not known: it waits for calls, would be fitted anew, or no paid model is below it.
    """

    def __init__(
        self,
        session: Session,
        wanted: Wanted,
        stale: Collection[str],
        records: Mapping[str, Record],
        refreshed: Mapping[str, str],
    ) -> None:
        self.session, self.manifest, self.warehouse, self.wanted = session, session.manifest, session.warehouse, wanted
        working = quote(self.warehouse.execute("select current_database()")[0][0])
        self.ledger = Ledger(self.manifest, self.warehouse, records, refreshed, f"{working}.main")
        models = self.manifest.nodes.values()
        self.noted = [n for n in models if n.config.get("plan_note") and {*n.depends_on} <= {*wanted.names}]
        below = {n.name for n in self.noted} | {n for n in wanted.names if n in stale and self.manifest.nodes[n].paid}
        self.needed = below | {a for n in below for a in self.manifest.graph.ancestors(n)}
        self.unsettled: dict[str, str | None] = {}  # name -> the node that must be built first, if calls wait for it

    def run(self) -> tuple[list[NodePlan], tuple[str, ...]]:
        """The plans of the wanted nodes, and the notes: the column ``note`` of models with ``plan_note: true``."""
        plans = {}
        with scratch(self.warehouse):
            for name in self.manifest.graph.sorted({*self.wanted.names, *self.needed}):
                if name in self.wanted.names:
                    plans[name] = self._plan(self.manifest.nodes[name])
                elif not any(name == n.name for n in self.noted):
                    self._show(name)
            notes = [note for node in self.noted for note in self._notes(node)]
        self.session.new_desk()
        return [plans[name] for name in self.wanted.names], tuple(notes)

    def _plan(self, node: Node) -> NodePlan:
        """What a build would do with the node; its table is made where it is needed and can be."""
        waits, decision = [p for p in node.depends_on if p in self.unsettled], self.ledger.decide(node)
        if not waits and decision.how is How.REUSE:
            self._show(node.name)
            return NodePlan(node.name, "reuse")
        if waits:
            why = decision.why or ("inputs are rebuilt: " + ", ".join(waits),)
            blocker = next((b for b in map(self.unsettled.get, waits) if b), None)
            self.unsettled[node.name] = blocker
            return self._waiting(node, why, blocker)
        plan = NodePlan(node.name, "build", decision.why)
        if node.name not in self.needed:
            self.unsettled[node.name] = None
        elif not node.paid and _is_heavy(node, self.manifest):
            self.unsettled[node.name] = node.name
        else:
            plan = replace(plan, calls=self._make(node, decision))
            if any(c.new or c.waiting for c in plan.calls):
                self.unsettled[node.name] = node.name
        return plan

    def _waiting(self, node: Node, why: tuple[str, ...], blocker: str | None) -> NodePlan:
        """The plan of a node whose calls are not known before another one is built; one that can have none waits for nothing."""
        most = _bound(self.warehouse, node) if node.paid else 0
        if most == 0:
            return NodePlan(node.name, "build", why)
        return NodePlan(node.name, "build", why, at_most=most, waits_for=blocker)

    def _show(self, name: str) -> None:
        """Let a table be seen as it was built."""
        if name in self.needed and name in self.ledger.kinds:
            self.warehouse.execute(f"create view {quote(name)} as from {self.ledger.built}.{quote(name)}")

    def _make(self, node: Node, decision: Decision) -> tuple[CallCount, ...]:
        """Make the table as a build would, and enter what it holds, unless calls are missing. Returns the calls."""
        name, adds = quote(node.name), decision.how is How.ADD
        made = f"{_SCRATCH}.{new_name(node)}" if adds else f"{_SCRATCH}.{name}"
        with self.ledger.inputs(node, decision, _SCRATCH):
            calls = self._fill(node, made)
        if any(c.new or c.waiting for c in calls):
            return calls
        if adds:
            whole = absorbed(self.warehouse, node, own=self.ledger.own(node), new=made)
            self.warehouse.execute(f"create view {name} as {whole}")
            reaches = self.ledger.reaches_below(node, made)
        version, _ = self.warehouse.data_version(f"{_SCRATCH}.{name}")
        if adds:
            assert decision.record is not None
            contained = earlier(decision.record, version) if reaches else ()
        else:
            contained = self.ledger.contained_anew(node, made, version)
        self.ledger.enter(node, version, contained)
        return calls

    def _fill(self, node: Node, made: str) -> tuple[CallCount, ...]:
        if node.kind == SOURCE:
            load_source(self.warehouse, node, made, self.session.read_source(node, again=True))
        elif node.kind == SEED:
            load_seed(self.warehouse, node, made)
        else:
            desk = self.session.new_desk()
            self.warehouse.run(f"create or replace table {made} as\n", node.sql, node.where)
            return estimated(desk) if node.paid else ()
        return ()

    def _notes(self, node: Node) -> list[str]:
        """The notes of a model; none while one of its inputs is not known."""
        if any(p in self.unsettled for p in node.depends_on):
            return []
        self.warehouse.run(f"create or replace table {new_name(node)} as\n", node.sql, node.where)
        return [row[0] for row in self.warehouse.execute(f"select note from {new_name(node)} where note is not null")]


def estimated(desk: CallDesk) -> tuple[CallCount, ...]:
    """What the calls that are missing at a desk will need, and those that are stored."""
    return tuple(
        CallCount(
            e.function,
            e.lane,
            new=e.new,
            cached=e.stored,
            tokens=e.input_tokens + e.output_tokens,
            cost_usd=e.cost_usd,
            waiting=e.waiting,
            most_usd=e.most_usd,
            needs=e.needs,
        )
        for e in desk.estimate()
    )


def _bound(warehouse: Warehouse, node: Node) -> int | None:
    """The upper bound that the model's config gives as SQL over its inputs; None where it gives none or cannot be known."""
    expression = node.config.get("calls_at_most")
    if not expression:
        return None
    try:
        return int(warehouse.execute(f"select ({expression})")[0][0])
    except (BclustError, TypeError):
        return None


def _is_heavy(node: Node, manifest: Manifest) -> bool:
    """Fits, what is computed from them, and functions of a column of vectors are not worth computing twice."""
    if node.kind != MODEL:
        return False
    signatures = [manifest.functions[f].signature for f in node.functions]
    return any(FITTED in str(s) or any(p.type == "FLOAT[][]" for p in s.parameters) for s in signatures if s is not None)
