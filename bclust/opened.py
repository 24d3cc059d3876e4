"""A project from Python: what is published is read as polars data frames, what is not can be planned and built.

Each reading opens the published warehouse and closes it again, so that builds and reports go on meanwhile. A build runs in a
thread of its own, since a notebook's main thread has an event loop already.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from bclust.cli.steps import (
    building,
    check_refresh,
    new_run,
    new_terminal,
    readable,
    reading,
    run_build,
    selection_of,
    stoppable,
)
from bclust.errors import BudgetError, SelectionError, did_you_mean
from bclust.project.config import find_root, read_config
from bclust.project.literals import literal, quote
from bclust.project.reading import read_project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from bclust.build.results import Plan, Run

_COMMENTS = """
select table_name as name, comment from duckdb_tables() where database_name = current_database() and schema_name = 'main'
union all by name
select view_name as name, comment from duckdb_views()
where database_name = current_database() and schema_name = 'main' and not internal
order by name
"""


@dataclass(frozen=True)
class Column:
    """A column of a published table."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class Table:
    """A published table: what it says, whose rows they are (the grain), and its columns."""

    project: Project
    name: str
    description: str

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns, in their order."""
        sql = (
            "select column_name, data_type, coalesce(comment, '') from duckdb_columns() "
            f"where database_name = current_database() and schema_name = 'main' and table_name = {literal(self.name)} "
            "order by column_index"
        )
        return tuple(Column(*row) for row in self.project.sql(sql).rows())

    def read(self) -> pl.DataFrame:
        """All its rows."""
        return self.project.read(self.name)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td><code>{escape(c.name)}</code></td><td>{escape(c.type)}</td><td>{escape(c.description)}</td></tr>"
            for c in self.columns
        )
        head = "<tr><th>column</th><th>type</th><th>meaning</th></tr>"
        return f"<p><b>{escape(self.name)}</b>: {escape(self.description)}</p><table>{head}{rows}</table>"


class Project:
    """A project, opened by ``bclust.open``."""

    def __init__(self, folder: Path, target: str | None, variables: dict[str, Any]) -> None:
        self._root, self._variables = find_root(folder), variables
        self._target = read_config(self._root, target, variables).target

    def __repr__(self) -> str:
        return f"bclust.open({str(self._root)!r}, target={self._target!r})"

    # --- what is published -------------------------------------------------------------------------------------

    @property
    def tables(self) -> dict[str, Table]:
        """The published tables by name. In a notebook each shows its grain and columns."""
        return {name: Table(self, name, comment or "") for name, comment in self.sql(_COMMENTS).rows()}

    def read(self, table: str) -> pl.DataFrame:
        """All rows of a published table.

        Raises:
            SelectionError: there is none of that name.
            WarehouseError: nothing was built yet.
        """
        with self._published() as warehouse:
            names = warehouse.tables()
            if table not in names:
                raise SelectionError(f"there is no published table {table!r}", hint=did_you_mean(table, names))
            return warehouse.frame(f"from {quote(table)}")

    def sql(self, query: str) -> pl.DataFrame:
        """The rows of a SELECT over the published tables. Raises WarehouseError for anything else, and for what cannot be run."""
        with self._published() as warehouse:
            return warehouse.frame(query)

    def _published(self) -> Any:
        return readable(read_config(self._root, self._target, self._variables), working=False)

    # --- what is not -------------------------------------------------------------------------------------------

    def plan(self, select: str | Sequence[str] | None = None, *, exclude: str | Sequence[str] | None = None) -> Plan:
        """What a build would do and why, how many calls it would make, and what they would cost. Spends nothing.

        Args:
            select: as ``--select``: names, ``+x``, ``tag:...``; by default what bclust.yml selects.
            exclude: what to leave out, in the same grammar.
        """
        from bclust.build.plan import make_plan

        manifest = read_project(self._root, self._target, self._variables)
        selection = selection_of(manifest, _listed(select), _listed(exclude))
        with reading(manifest) as session:
            return make_plan(session, selection, full_refresh=False, no_upstream=False)

    def build(
        self,
        select: str | Sequence[str] | None = None,
        *,
        exclude: str | Sequence[str] | None = None,
        max_cost: float | None = None,
        max_calls: int | None = None,
        full_refresh: bool = False,
        offline: bool = False,
        refresh_calls: Sequence[str] = (),
        quiet: bool = False,
    ) -> Run:
        """Build what is selected and stale, with its tests, as ``bclust build``; progress goes to stderr unless ``quiet``.

        Args:
            select: as in ``plan``, and ``exclude``.
            max_cost: stop before passing so many US dollars. Without it, what may cost more than confirm_over_usd is not begun.
            max_calls: stop before the call after so many.
            full_refresh: also what is fresh, from stored answers.
            offline: a call that is not stored is an error.
            refresh_calls: functions that are asked all again.

        Returns:
            how everything ended: ``ok``, ``totals`` (with calls and their cost) and ``results``, one for each node and test. A
            node that fails is a result, and leaves its old table.

        Raises:
            BudgetError: the calls may cost too much, or a limit was reached; what was answered is stored.
            Interrupted: Ctrl-C; likewise.
            BclustError: the project has a mistake, or another build of this target is running.
        """
        from bclust.build.building import Options

        manifest = read_project(self._root, self._target, self._variables)
        check_refresh(manifest, list(refresh_calls))
        selection = selection_of(manifest, _listed(select), _listed(exclude))
        terminal = new_terminal(manifest, budget=max_cost)
        options = Options(full_refresh, max_calls=max_calls, max_cost=max_cost)
        run = new_run(manifest, ["build"])

        def confirm(plan: Plan) -> bool:
            return max_cost is not None or not plan.exceeds(manifest.config.calls.confirm_over_usd)

        def build(stop: threading.Event) -> None:
            show = (lambda _: None) if quiet else terminal.show
            with building(manifest, offline=offline, refresh=refresh_calls, stop=stop) as session:
                run_build(session, selection, options, run, show, confirm)

        in_main = threading.current_thread() is threading.main_thread()
        stopped = stoppable(for_good=False) if in_main else contextlib.nullcontext(threading.Event())
        try:
            with stopped as stop, ThreadPoolExecutor(1) as thread:
                thread.submit(build, stop).result()
        except BudgetError as error:
            error.hint = (error.hint or "").replace("say yes with -y, or ", "").replace("--max-cost", "max_cost =") or None
            raise
        finally:
            terminal.close()
        return run


def _listed(names: str | Sequence[str] | None) -> list[str] | None:
    """
    >>> _listed("approvals"), _listed(["a", "b"]), _listed(None)
    (['approvals'], ['a', 'b'], None)
    """
    return names.split() if isinstance(names, str) else list(names) if names is not None else None
