"""Growing: where an input only gained rows, a table computes those and keeps what it holds.

A model says so in its config: ``grows_with`` names the inputs whose added rows leave the rest as it is.

* ``materialized: incremental`` with ``unique_key``: the model's SQL runs over the rows of that input whose key the table does
  not hold, and the result is added. Each row of the table must follow from one row of that input; a key with a row whose
  ``error`` is not NULL is computed again.
* any other table stays as it is until the inputs have grown by more than ``max_growth`` (a fit that new rows must not move).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bclust.materializations import new_name
from bclust.warehouse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bclust.nodes import Node
    from bclust.warehouse import Warehouse


def holds_all(warehouse: Warehouse, old: str, new: str) -> bool:
    """Whether every row of ``old`` is in ``new``, but for rows with an error: those were no answers."""
    valid = "where error is null" if "error" in warehouse.columns(old) else ""
    [(lost,)] = warehouse.execute(
        f"""select count(*) from (select hash(t) as row, count(*) as n from {old} as t {valid} group by all) as a
            anti join (select hash(t) as row, count(*) as n from {new} as t group by all) as b on a.row = b.row and a.n <= b.n"""
    )
    return bool(lost == 0)


@contextlib.contextmanager
def added_rows(warehouse: Warehouse, node: Node, *, of: str, own: str) -> Iterator[None]:
    """Meanwhile the name of the input that ``node`` grows with means its added rows only.

    ``of`` and ``own`` are the full names of the input's table and of the node's.
    """
    [name], keys = node.grows_with, _keys(node)
    view = f"temp.main.{quote(name)}"
    warehouse.execute(
        f"create or replace temp view {quote(name)} as from {of} as i anti join ("
        f"from {own} where {keys} not in ({_failed(warehouse, node, own)})) as o on {_keys(node, 'i')} = {_keys(node, 'o')}"
    )
    try:
        yield
    finally:
        warehouse.execute(f"drop view if exists {view}")


def absorb(warehouse: Warehouse, node: Node) -> bool:
    """Put the added rows into the node's table; call inside a transaction. Returns whether rows that failed made room."""
    own, new = quote(node.name), new_name(node)
    failed = warehouse.execute(f"delete from {own} where {_keys(node)} in ({_failed(warehouse, node, own)}) returning 1")
    warehouse.execute(f"insert into {own} by name from {new}; drop table {new}")
    return bool(failed)


def _failed(warehouse: Warehouse, node: Node, own: str) -> str:
    """The keys of rows that hold an error."""
    where = "error is not null" if "error" in warehouse.columns(own) else "false"
    return f"select {_keys(node)} from {own} where {where}"


def _keys(node: Node, of: str = "") -> str:
    prefix = f"{of}." if of else ""
    return "(" + ", ".join(f"{prefix}{quote(key)}" for key in node.unique_key) + ")"
