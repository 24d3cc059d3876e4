"""One decision about growth, for a build and for the plan of it: is a table reused, added to, or made anew?

Both go through the nodes in the same order with a ``Ledger``, which knows what each table holds by then. A build makes the
tables, a plan makes them in a scratch database. What is decided about a table follows from nothing else, so that the plan counts
what the build will ask.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bclust.build.increments import added_rows, adds_to_keys, holds_all
from bclust.build.state import REMEMBERED, Fingerprint, Record, fingerprint, only_grown, reasons
from bclust.project.literals import quote
from bclust.project.nodes import INCREMENTAL, TABLE, VIEW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bclust.project.manifest import Manifest
    from bclust.project.nodes import Node
    from bclust.warehouse.database import Warehouse


class How(StrEnum):
    """What becomes of a table."""

    REUSE = "reuse"
    ADD = "add"  # the rows that its input gained are computed, what it holds stays
    ANEW = "anew"


@dataclass(frozen=True)
class Decision:
    """What becomes of a table, why (() where it is reused), what it is made of now, and how it was built before."""

    how: How
    why: tuple[str, ...]
    now: Fingerprint
    record: Record | None


def decide(
    node: Node,
    now: Fingerprint,
    record: Record | None,
    contains: Mapping[str, Sequence[str]],
    *,
    refreshed: str | None = None,
    shows_failures: bool = True,
) -> Decision:
    """What becomes of a table.

    ``now`` is made of the versions that all its inputs have by then, ``contains`` has the earlier versions of which they hold all
    rows. ``refreshed`` is why it is made anew even if it is fresh. ``shows_failures``: the table tells which of its rows failed.
    """
    why = reasons(node, now, record, contains) or ((refreshed,) if refreshed else ())
    if not why:
        return Decision(How.REUSE, (), now, record)
    if record is None or refreshed or node.materialized != INCREMENTAL or (record.failed_calls and not shows_failures):
        return Decision(How.ANEW, why, now, record)
    grown = only_grown(node, now, record.fingerprint, contains)
    return Decision(How.ADD if grown else How.ANEW, why, now, record)


class Ledger:
    """What each table holds while the nodes are gone through in order.

    ``built`` is the schema that holds the tables, and holds each as the last build left it until it is made; ``refreshed`` names
    the nodes that are made anew even if fresh, and why.
    """

    def __init__(
        self, manifest: Manifest, warehouse: Warehouse, records: Mapping[str, Record], refreshed: Mapping[str, str], built: str
    ) -> None:
        self.manifest, self.warehouse, self.records, self.refreshed, self.built = manifest, warehouse, records, refreshed, built
        self.versions: dict[str, str] = {name: record.data_version for name, record in records.items()}
        self.contains: dict[str, Sequence[str]] = {name: record.versions for name, record in records.items()}
        self.kinds = {name: warehouse.kind_of(name) for name in warehouse.tables()}

    def own(self, node: Node) -> str:
        """The full name of the node's table."""
        return f"{self.built}.{quote(node.name)}"

    def decide(self, node: Node) -> Decision:
        """What becomes of the node's table, now that its inputs are what they will be."""
        record = self.records.get(node.name)
        shows = record is None or not record.failed_calls or "error" in self.warehouse.columns(self.own(node))
        now = fingerprint(node, self.manifest, self.versions)
        refreshed = self.refreshed.get(node.name)
        return decide(node, now, record, self.contains, refreshed=refreshed, shows_failures=shows)

    def inputs(self, node: Node, decision: Decision, made: str) -> contextlib.AbstractContextManager[None]:
        """Meanwhile the node's SQL, where rows are added to its table, sees these alone of its inputs in the schema ``made``."""
        if decision.how is not How.ADD:
            return contextlib.nullcontext()
        return added_rows(self.warehouse, node, of=f"{made}.{quote(node.grows_with[0])}", own=self.own(node))

    def is_unchanged(self, node: Node, data_version: str) -> bool:
        """Whether a table that was made anew holds what it held. Of a view nobody knows: the old one reads the new tables."""
        record = self.records.get(node.name)
        return record is not None and record.data_version == data_version and node.materialized != VIEW

    def reaches_below(self, node: Node, new: str, old: str | None = None) -> bool:
        """Whether the rows that a table gains reach all incremental tables that grow with it; ask before they are in place.

        ``new`` is the table as it will be, and ``old`` what it is; or ``new`` is the added rows alone.
        """
        below = [n for n in self.manifest.nodes.values() if n.materialized == INCREMENTAL and node.name in n.grows_with]
        return not any(adds_to_keys(self.warehouse, n, own=self.own(n), new=new, old=old) for n in below if n.name in self.kinds)

    def contained_anew(self, node: Node, new: str, data_version: str) -> tuple[str, ...]:
        """The earlier versions of which a table that is made anew holds all rows; ask while the old one is still in place."""
        record = self.records.get(node.name)
        if record is None:
            return ()
        grown = self.is_unchanged(node, data_version) or (
            any(node.name in other.grows_with for other in self.manifest.nodes.values())
            and self.kinds.get(node.name) == TABLE
            and holds_all(self.warehouse, self.own(node), new)
            and self.reaches_below(node, new, old=self.own(node))
        )
        return earlier(record, data_version) if grown else ()

    def enter(self, node: Node, data_version: str, contained: Sequence[str]) -> None:
        """Note what the node's table holds from now on."""
        self.versions[node.name] = data_version
        self.contains[node.name] = (data_version, *contained)[:REMEMBERED]


def earlier(record: Record, data_version: str) -> tuple[str, ...]:
    """The versions of which a table holds all rows, once it holds all of those that it held before."""
    return tuple(v for v in record.versions if v != data_version)
