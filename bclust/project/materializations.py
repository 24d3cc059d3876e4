"""How a node becomes a table or a view: small functions from a node to SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bclust.project.literals import literal, quote
from bclust.project.nodes import INCREMENTAL, TABLE, VIEW, Node

if TYPE_CHECKING:
    from collections.abc import Callable

NEW = "__new__"


def new_name(node: Node) -> str:
    """The name under which a node is built before it replaces the old one."""
    return quote(NEW + node.name)


def table(node: Node) -> str:
    """All rows are computed and stored."""
    return f"create or replace table {new_name(node)} as\n"


def view(node: Node) -> str:
    """The query is stored; readers run it."""
    return f"create or replace view {new_name(node)} as\n"


MATERIALIZATIONS: dict[str, Callable[[Node], str]] = {TABLE: table, INCREMENTAL: table, VIEW: view}


def swap(node: Node, existing: str | None) -> list[str]:
    """The statements that put the new table in the old one's place; run them in one transaction."""
    name = quote(node.name)
    drop = [f"drop {existing} {name}"] if existing else []
    return [*drop, f"alter {node.relation} {new_name(node)} rename to {name}"]


def discard(node: Node) -> str:
    """Forget a new table that is not wanted."""
    return f"drop {node.relation} if exists {new_name(node)}"


def comments(node: Node, columns: set[str]) -> list[str]:
    """The descriptions, where any DuckDB client shows them."""
    name = quote(node.name)
    found = [f"comment on {node.relation} {name} is {literal(node.description)}"] if node.description else []
    return found + [
        f"comment on column {name}.{quote(c.name)} is {literal(c.description)}"
        for c in node.columns
        if c.description and c.name in columns
    ]


def typed_seed(node: Node, loaded: str, columns: dict[str, str]) -> str:
    """The SELECT that gives a loaded seed its declared types."""
    types = node.declared_types
    parts = [f"cast({quote(c)} as {types[c]}) as {quote(c)}" if c in types else quote(c) for c in columns]
    return f"select {', '.join(parts)} from {loaded}"
