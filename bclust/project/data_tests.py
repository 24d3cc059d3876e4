"""Data tests: each generic test of the runner is a function from its arguments to the SELECT of the rows that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bclust.errors import ProjectError, did_you_mean
from bclust.project.literals import literal, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bclust.project.nodes import DataTest

# What every test may carry beside its own arguments.
COMMON = ("severity", "where", "name", "config")


def _from(test: DataTest) -> str:
    return f"(from {quote(test.node)}" + (f" where {test.filter}" if test.filter else "") + ")"


def _columns(test: DataTest) -> list[str]:
    named = test.arguments.get("columns") or ([test.column] if test.column else [])
    if not named:
        raise ProjectError(f"{test.test} needs `columns: [...]`, or stands under a column", where=test.where)
    return [str(c) for c in named]


def unique(test: DataTest) -> str:
    """No two rows share these columns."""
    keys = ", ".join(quote(c) for c in _columns(test))
    return f"select {keys}, count(*) as n from {_from(test)} group by {keys} having count(*) > 1"


def not_null(test: DataTest) -> str:
    """No row lacks a value."""
    return f"from {_from(test)} where " + " or ".join(f"{quote(c)} is null" for c in _columns(test))


def accepted_values(test: DataTest) -> str:
    """Every value is one of the list (NULL passes)."""
    column = quote(_columns(test)[0])
    values = ", ".join(literal(v) for v in test.arguments["values"])
    return f"select {column}, count(*) as n from {_from(test)} where {column} not in ({values}) group by {column}"


def relationships(test: DataTest) -> str:
    """Every value exists in a column of another node."""
    column, to, field = quote(_columns(test)[0]), quote(test.arguments["to"]), quote(test.arguments["field"])
    orphans = f"{_from(test)} as child anti join {to} as parent on child.{column} = parent.{field}"
    return f"select {column} from {orphans} where {column} is not null"


def expression(test: DataTest) -> str:
    """The expression holds in every row (NULL passes)."""
    return f"from {_from(test)} where not ({test.arguments['expression']})"


def row_count(test: DataTest) -> str:
    """The number of rows lies between min and max."""
    signs = {"min": "<", "max": ">"}
    bounds = [f"n {signs[key]} {int(test.arguments[key])}" for key in signs if test.arguments.get(key) is not None]
    if not bounds:
        raise ProjectError("row_count needs `min` or `max`", where=test.where)
    return f"from (select count(*) as n from {_from(test)}) where {' or '.join(bounds)}"


def error_rate(test: DataTest) -> str:
    """The share of rows where a column is set stays at or below max (default 0)."""
    column = quote(_columns(test)[0] if test.column else str(test.arguments.get("column", "error")))
    inner = (
        f"select avg(({column} is not null)::int) as share, count(*) filter ({column} is not null) as failed from {_from(test)}"
    )
    return f"from ({inner}) where share > {float(test.arguments.get('max', 0))}"


def complete_cross(test: DataTest) -> str:
    """Every combination of the named columns (``node.column``) is present."""
    parts = [str(p).partition(".") for p in test.arguments["of"]]
    keys = ", ".join(quote(column) for _, _, column in parts)
    cross = " cross join ".join(f"(select distinct {quote(c)} from {quote(n)})" for n, _, c in parts)
    return f"select {keys} from {cross} anti join {_from(test)} using ({keys})"


DATA_TESTS: dict[str, tuple[Callable[[DataTest], str], tuple[str, ...], tuple[str, ...]]] = {
    # name: (function, required arguments, optional arguments)
    "unique": (unique, (), ("columns",)),
    "not_null": (not_null, (), ("columns",)),
    "accepted_values": (accepted_values, ("values",), ("columns",)),
    "relationships": (relationships, ("to", "field"), ()),
    "expression": (expression, ("expression",), ()),
    "row_count": (row_count, (), ("min", "max")),
    "error_rate": (error_rate, (), ("column", "max")),
    "complete_cross": (complete_cross, ("of",), ()),
}


def check_arguments(test: DataTest) -> None:
    """Refuse a missing or an unknown argument."""
    _, required, optional = DATA_TESTS[test.test]
    for key in required:
        if key not in test.arguments:
            raise ProjectError(f"data test {test.test} needs {key!r}", where=test.where)
    for key in test.arguments:
        if key not in required + optional:
            raise ProjectError(
                f"unknown key {key!r} in data test {test.test}",
                where=test.where,
                hint=did_you_mean(key, [*required, *optional, *COMMON]),
            )
    compile_test(test)


def compile_test(test: DataTest) -> str:
    """The SELECT whose rows are the failures."""
    return test.sql or DATA_TESTS[test.test][0](test)


def referenced_nodes(test: str, arguments: Mapping[str, Any]) -> list[str]:
    """The other nodes that a generic test reads."""
    if test == "relationships":
        return [str(arguments.get("to"))]
    if test == "complete_cross":
        return [str(p).partition(".")[0] for p in arguments.get("of", [])]
    return []
