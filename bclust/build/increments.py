"""Growing: where an input only gained rows, a table computes those and keeps what it holds.

A model says so in its config: ``grows_with`` names the inputs whose added rows leave the rest as it is.

* ``materialized: incremental`` with ``unique_key``: the model's SQL runs over the rows of the (first) input whose key the table
  does not hold, and the result is added. Each row of the table must follow from rows of that input with the same key; a key
  with a row whose ``error`` is not NULL is computed again. Where an input gains rows under a key that the table holds as done,
  the table is made anew.
* any other table stays as it is until the inputs have grown by more than ``max_growth`` (a fit that new rows must not move).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bclust.project.literals import quote
from bclust.project.materializations import new_name
from bclust.warehouse.database import ROW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bclust.project.nodes import Node
    from bclust.warehouse.database import Warehouse


def holds_all(warehouse: Warehouse, old: str, new: str) -> bool:
    """Whether every row of ``old`` is in ``new``, but for rows with an error: those were no answers."""
    columns = warehouse.columns(old)
    if list(columns.items()) != list(warehouse.columns(new).items()):
        return False
    valid = "where error is null" if "error" in columns else ""
    [(lost,)] = warehouse.execute(
        f"""select count(*) from (select hash({ROW}) as row, count(*) as n from {old} as {ROW} {valid} group by all) as a
            anti join (select hash({ROW}) as row, count(*) as n from {new} as {ROW} group by all) as b
            on a.row = b.row and a.n <= b.n"""
    )
    return bool(lost == 0)


def adds_to_keys(warehouse: Warehouse, node: Node, *, own: str, new: str, old: str | None = None) -> bool:
    """Whether an input gained rows under a key that ``node``, whose table is ``own``, holds as done, so that it would miss them.

    ``new`` is the input as it is, and ``old`` what it was, of which it holds all; or ``new`` is the added rows alone.
    """
    keys = set(node.unique_key)
    if not keys <= warehouse.columns(own).keys() or not keys <= warehouse.columns(new).keys():
        return False

    def answered_under_done(table: str) -> int:
        valid = "and i.error is null" if "error" in warehouse.columns(table) else ""
        done = f"exists (from ({_done(warehouse, node, own)}) as o where {_same_key(node, 'i', 'o')})"
        [(n,)] = warehouse.execute(f"select count(*) from {table} as i where {done} {valid}")
        return int(n)

    return answered_under_done(new) > (answered_under_done(old) if old else 0)


def _done(warehouse: Warehouse, node: Node, own: str) -> str:
    """The keys of a table that need not be computed again: those without an error."""
    keys = ", ".join(map(quote, node.unique_key))
    whole = "having count(error) = 0" if "error" in warehouse.columns(own) else ""
    return f"select {keys} from {own} group by {keys} {whole}"


def _same_key(node: Node, one: str, other: str) -> str:
    """That two rows have the same key; NULL is a key, too."""
    return " and ".join(f"{one}.{k} is not distinct from {other}.{k}" for k in map(quote, node.unique_key))


@contextlib.contextmanager
def added_rows(warehouse: Warehouse, node: Node, *, of: str, own: str) -> Iterator[None]:
    """Meanwhile the name of the input that ``node`` grows with means its added rows only.

    ``of`` and ``own`` are the full names of the input's table and of the node's.
    """
    name, done = quote(node.grows_with[0]), _done(warehouse, node, own)
    same = _same_key(node, "i", "o")
    warehouse.execute(f"create or replace temp view {name} as from {of} as i anti join ({done}) as o on {same}")
    try:
        yield
    finally:
        warehouse.execute(f"drop view if exists temp.main.{name}")


def absorbed(warehouse: Warehouse, node: Node, *, own: str, new: str) -> str:
    """The SELECT of what ``absorb`` would leave in the node's table ``own``, with the added rows ``new``."""
    whole = f"from {own} as o semi join ({_done(warehouse, node, own)}) as d on {_same_key(node, 'o', 'd')}"
    return f"{whole} union all by name from {new}"


def absorb(warehouse: Warehouse, node: Node) -> None:
    """Put the added rows into the node's table, in the place of those that failed; call inside a transaction."""
    own, new = quote(node.name), new_name(node)
    if "error" in warehouse.columns(own):
        failed = f"from {own} as f where f.error is not null and {_same_key(node, own, 'f')}"
        warehouse.execute(f"delete from {own} where exists ({failed})")
    warehouse.execute(f"insert into {own} by name from {new}; drop table {new}")
