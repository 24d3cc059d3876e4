"""Names and values as SQL text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A Python value as an SQL literal; mappings become structs, sequences lists.

    >>> literal({"a": [1, None], "b": "it's"})
    "{'a': [1, NULL], 'b': 'it''s'}"
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(str(k))}: {literal(v)}" for k, v in value.items()) + "}" if value else "NULL"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(v) for v in value) + "]"
    return "'" + str(value).replace("'", "''") + "'"


def row(values: Sequence[Any]) -> str:
    """Values as one row of an INSERT. (Bound parameters make DuckDB import pandas, if it is there: 0.3 s.)"""
    return "(" + ", ".join(literal(v) for v in values) + ")"
