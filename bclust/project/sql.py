"""Reading SQL: what a model refers to, and which functions and variables it uses.

Pure functions over sqlglot's syntax tree. The author's own text is what runs; nothing here is ever executed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from bclust.errors import Location, ProjectError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

VOLATILE = frozenset(
    [
        "random",
        "rand",
        "setseed",
        "uuid",
        "gen_random_uuid",
        "now",
        "today",
        "current_timestamp",
        "current_date",
        "current_time",
        "get_current_timestamp",
        "currenttimestamp",
        "currentdate",
    ]
)
HIDDEN_INPUTS = frozenset(
    [
        "read_csv",
        "read_csv_auto",
        "sniff_csv",
        "read_json",
        "read_json_auto",
        "read_json_objects",
        "read_ndjson",
        "read_parquet",
        "parquet_scan",
        "read_text",
        "read_blob",
        "glob",
        "query",
        "query_table",
    ]
)


@dataclass(frozen=True)
class Reference:
    """A table named in a model, and where."""

    name: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Analysis:
    """What a statement is made of.

    ``given``: the tables that are named to functions in FROM, by function. ``unknown``: those of its functions that sqlglot does
    not know.
    """

    tables: tuple[Reference, ...]
    given: tuple[tuple[str, Reference], ...]
    functions: tuple[Reference, ...]
    unknown: frozenset[str]
    variables: tuple[Reference, ...]
    canonical: str

    def reads(self, functions: Collection[str]) -> list[Reference]:
        """The tables that it reads: those in FROM, and those that it names to table macros, which are among these functions."""
        return [*self.tables, *(table for function, table in self.given if function in functions)]


@lru_cache(maxsize=512)
def analyse(text: str, where: Location) -> Analysis:
    """Parse one SELECT. Raises ProjectError with file:line for what cannot be parsed or is not one SELECT."""
    tree = parse(text, where)
    nodes = list(tree.walk())
    tables = [node for node in nodes if isinstance(node, exp.Table)]
    functions = [node for node in nodes if isinstance(node, exp.Func)]
    unknown = [node for node in functions if isinstance(node, exp.Anonymous)]
    return Analysis(
        tables=tuple(_tables(tables, where)),
        given=tuple(_given(tables)),
        functions=tuple(_functions(functions)),
        unknown=frozenset(map(function_name, unknown)),
        variables=tuple(_variables(unknown, where)),
        canonical=canonical(tree),
    )


@lru_cache(maxsize=512)
def parse(text: str, where: Location) -> exp.Expr:
    """One SELECT as a tree, shared: do not change it."""
    try:
        trees = [t for t in sqlglot.parse(text, read="duckdb") if t is not None]
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise ProjectError(
            f"SQL syntax: {first.get('description', str(error)).rstrip('.')}, near {first.get('highlight', '')!r}",
            where=Location(where.path, first.get("line"), first.get("col")),
        ) from error
    except TokenError as error:
        raise ProjectError(f"SQL syntax: {error}", where=where) from error
    if len(trees) != 1:
        raise ProjectError(f"a model is one SELECT; this file holds {len(trees)} statements", where=where)
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        raise ProjectError(f"a model is one SELECT; this is {tree.key.upper()}", where=where)
    return tree


def canonical(tree: exp.Expr) -> str:
    """The statement without comments and layout: equal texts mean equal tables."""
    return tree.sql(dialect="duckdb", comments=False, normalize=True)


def digest(text: str) -> str:
    """sha256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def function_name(node: exp.Expr) -> str:
    """The name of a function as the author wrote it, in lower case."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    name = node.meta.get("name") if node.meta else None
    return str(name or (node.sql_name() if isinstance(node, exp.Func) else "")).lower()


def position(node: exp.Expr) -> tuple[int | None, int | None]:
    """The line and column at which a node stands, if it is known."""
    for candidate in node.walk():
        if "line" in candidate.meta:
            return candidate.meta["line"], candidate.meta.get("col")
    return None, None


def _tables(tables: Iterable[exp.Table], where: Location) -> Iterator[Reference]:
    """Real tables: a CTE hides a table only from its own definition on, unless it is recursive."""
    seen: set[str] = set()
    for table in tables:
        if isinstance(table.this, exp.Func):
            name = function_name(table.this)
            if name in HIDDEN_INPUTS:
                raise ProjectError(
                    f"{name}() is an input that the runner cannot see",
                    where=Location(where.path, *position(table)),
                    hint="declare the files as a source in bclust.yml and name that",
                )
            continue
        if not table.name or table.db:
            if table.db and table.db.lower() not in ("information_schema", "main"):
                raise ProjectError(
                    f"{table.db}.{table.name}: a model names nodes without a schema",
                    where=Location(where.path, *position(table)),
                )
            if not table.name:
                continue
        if table.name in seen or _is_cte(table, table.name):
            continue
        seen.add(table.name)
        yield Reference(table.name, *position(table))


def _given(tables: Iterable[exp.Table]) -> Iterator[tuple[str, Reference]]:
    """The texts without a name of their own (`:=`) that functions in FROM are called with, unless they name a CTE."""
    for table in tables:
        for text in _texts_given(table):
            if not _is_cte(text, text.name):
                yield function_name(table.this), Reference(text.name, *position(table.this))


def _texts_given(table: exp.Table) -> list[exp.Expr]:
    arguments = table.this.expressions if isinstance(table.this, exp.Anonymous) else []
    return [a for a in arguments if isinstance(a, exp.Literal) and a.is_string]


def _is_cte(node: exp.Expr, name: str) -> bool:
    """Climb to the root; a WITH on the way shows the CTEs defined before the one we came from, or all of them."""
    name = name.lower()
    while node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.With):
            earlier = takewhile(lambda cte, inside=node: cte is not inside, parent.expressions)  # type: ignore[misc]
            if any(cte.alias.lower() == name for cte in earlier) or (parent.recursive and node.alias.lower() == name):
                return True
            if parent.parent is None:
                return False
            node = parent.parent  # the owner's WITH has just been looked at
            continue
        with_ = parent.args.get("with_")
        if with_ is not None and any(cte.alias.lower() == name for cte in with_.expressions):
            return True
        node = parent
    return False


def _functions(functions: Iterable[exp.Func]) -> Iterator[Reference]:
    seen: set[str] = set()
    for node in functions:
        name = function_name(node)
        if name and name not in seen:
            seen.add(name)
            yield Reference(name, *position(node))


def check_table_macro(query: str, where: Location) -> None:
    """Refuse what the query of a table macro would read unseen by the models that call it.

    Raises:
        ProjectError: it reads a table or a file by name, not ``query_table(parameter)``.
    """
    for table in parse(query, where).find_all(exp.Table):
        read = _read_by_name(table)
        if read:
            raise ProjectError(
                f"a table macro reads only what it is given, and this one reads {read}",
                where=where,
                hint="name the table in the call and read it by query_table(parameter)",
            )


def _read_by_name(table: exp.Table) -> str | None:
    """What stands in FROM, if it is neither a CTE nor made of what a macro is given."""
    if not isinstance(table.this, exp.Func):
        return None if _is_cte(table, table.name) else table.name or None
    name = function_name(table.this)
    given = name == "query_table" and isinstance(table.this.expressions[0], exp.Column)
    return name if name in HIDDEN_INPUTS and not given else None


def _variables(unknown: Iterable[exp.Anonymous], where: Location) -> Iterator[Reference]:
    seen: set[str] = set()
    for node in unknown:
        if function_name(node) != "getvariable":
            continue
        argument = node.expressions[0] if node.expressions else None
        line, column = position(node)
        if not isinstance(argument, exp.Literal):
            raise ProjectError("getvariable() takes a name in quotes", where=Location(where.path, line, column))
        if argument.name not in seen:
            seen.add(argument.name)
            yield Reference(argument.name, line, column)
