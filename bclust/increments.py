"""Growing: where an input only gained rows, a table computes those and keeps what it holds.

A model says so in its config: ``grows_with`` names the inputs whose added rows leave the rest as it is.

* ``materialized: incremental`` with ``unique_key``: the model's SQL runs over the rows of the (first) input whose key the table
  does not hold, and the result is added. Each row of the table must follow from rows of that input with the same key; a key
  with a row whose ``error`` is not NULL is computed again.
* any other table stays as it is until the inputs have grown by more than ``max_growth`` (a fit that new rows must not move).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from bclust.materializations import new_name
from bclust.warehouse import ROW, quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bclust.nodes import Node
    from bclust.warehouse import Warehouse


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


@contextlib.contextmanager
def added_rows(warehouse: Warehouse, node: Node, *, of: str, own: str) -> Iterator[None]:
    """Meanwhile the name of the input that ``node`` grows with means its added rows only.

    ``of`` and ``own`` are the full names of the input's table and of the node's.
    """
    name, keys = quote(node.grows_with[0]), ", ".join(map(quote, node.unique_key))
    whole = "having count(error) = 0" if "error" in warehouse.columns(own) else ""
    done = f"select {keys} from {own} group by {keys} {whole}"
    warehouse.execute(f"create or replace temp view {name} as from {of} as i anti join ({done}) as o using ({keys})")
    try:
        yield
    finally:
        warehouse.execute(f"drop view if exists temp.main.{name}")


def absorb(warehouse: Warehouse, node: Node) -> None:
    """Put the added rows into the node's table, in the place of those that failed; call inside a transaction."""
    own, new, keys = quote(node.name), new_name(node), ", ".join(map(quote, node.unique_key))
    if "error" in warehouse.columns(own):
        warehouse.execute(f"delete from {own} where ({keys}) in (select ({keys}) from {own} where error is not null)")
    warehouse.execute(f"insert into {own} by name from {new}; drop table {new}")
