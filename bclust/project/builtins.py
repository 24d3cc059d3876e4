"""What DuckDB itself has, so that a name that a model calls is known or a mistake."""

from __future__ import annotations

import functools

import duckdb


@functools.cache
def known_functions() -> frozenset[str]:
    """Names of the functions and macros that DuckDB itself has."""
    with duckdb.connect() as scratch:
        rows = scratch.execute("select distinct lower(function_name) from duckdb_functions()").fetchall()
    return frozenset(row[0] for row in rows)
