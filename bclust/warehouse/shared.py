"""A warehouse that others share: ``warehouse: md:NAME`` is a database of MotherDuck, reached by DuckDB's own means.

A build works in its local file, as ever. What it publishes is then copied into the shared database, table by table where the
content differs, in one transaction; readers connect there. Nothing here is particular to MotherDuck but the token: any
database that DuckDB can attach will do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bclust.errors import WarehouseError
from bclust.project.literals import literal, quote
from bclust.warehouse.database import Warehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "motherduck_token"  # noqa: S105 - the name of the variable that DuckDB's extension reads
_BUILT = "__built"
_TABLES = (
    "select schema_name, table_name from duckdb_tables() where database_name = {0} and not internal union all "
    "select schema_name, view_name from duckdb_views() where database_name = {0} and not internal"
)
_RUNNER = "_bclust"

Table = tuple[str, str]  # schema, name


def use_token(database: str, env: Mapping[str, str]) -> None:
    """Let DuckDB find the token of MotherDuck, also where it stands in .env.

    Raises:
        WarehouseError: there is none. (DuckDB would open a browser, and wait.)
    """
    if not database.startswith("md:"):
        return
    token = env.get(TOKEN) or env.get(TOKEN.upper())
    if not token:
        raise WarehouseError(
            f"warehouse {database}: the environment variable {TOKEN} is not set",
            hint=f"make an access token in MotherDuck's settings, then: export {TOKEN}=...",
        )
    os.environ.setdefault(TOKEN, token)


def check_shared(database: str, env: Mapping[str, str]) -> None:
    """Attach the database once, so that a build learns before it spends anything that it could not publish.

    Raises:
        WarehouseError: no token, no extension, no such database; with the next command.
    """
    use_token(database, env)
    with Warehouse() as scratch:
        _attach(scratch, database)


def open_shared(database: str, env: Mapping[str, str]) -> Warehouse:
    """The shared warehouse, for SELECT alone. Raises WarehouseError."""
    use_token(database, env)
    address = f"{database}?attach_mode=single" if database.startswith("md:") else database
    try:
        return Warehouse(Path(address), selects_only=True)
    except WarehouseError as error:
        raise _explained(database, error) from error


def publish_into(database: str, built: Path) -> list[str]:
    """Make the tables of a shared database those of the file ``built``; returns the names of those that were copied.

    A table whose data version is the same stays; one that bclust put there and that is no more is dropped. A view is copied as
    the rows that it gives. Tables that bclust did not make are left alone.

    Raises:
        WarehouseError: the database cannot be written, or has a table of its own under a name that is needed.
    """
    with Warehouse() as scratch:
        scratch.execute(f"attach {literal(str(built))} as {_BUILT} (read_only)")
        there = _attach(scratch, database)
        new, old = _tables(scratch, _BUILT), _tables(scratch, there)
        versions, known = _versions(scratch, _BUILT, new), _versions(scratch, there, old)
        foreign = sorted(name for schema, name in new & old if schema == "main" and name not in known)
        if foreign:
            raise WarehouseError(
                f"{database} has a table {foreign[0]} that bclust did not make; nothing was changed there",
                hint="publish into a database of its own: warehouse: md:another_name",
            )
        # the runner's own tables come last: what they say of a table is true once it is there
        same = {(schema, name) for schema, name in new & old if schema == "main" and versions.get(name) == known.get(name)}
        changed = sorted(new - same, key=lambda table: (table[0] == _RUNNER, table))
        with scratch.transaction():
            for schema in sorted({schema for schema, _ in changed}):
                scratch.execute(f"create schema if not exists {quote(there)}.{quote(schema)}")
            for table in changed:
                scratch.execute(f"create or replace table {_at(there, table)} as from {_at(_BUILT, table)}")
            for table in sorted(old - new):
                if table[0] == _RUNNER or table[1] in known:
                    scratch.execute(f"drop table {_at(there, table)}")
    return [name for schema, name in changed if schema == "main"]


def _attach(scratch: Warehouse, database: str) -> str:
    """Attach a database; returns the name under which SQL knows it (MotherDuck allows no other than its own)."""
    try:
        scratch.execute(f"attach {literal(database)}")
    except WarehouseError as error:
        raise _explained(database, error) from error
    return Path(database.removeprefix("md:").partition("?")[0]).name.partition(".")[0]


def _explained(database: str, error: WarehouseError) -> WarehouseError:
    text = error.message.splitlines()[0]
    if "extension" in text.lower():
        hint = "DuckDB fetches its extension motherduck by itself, once; that needs a network (duckdb -c 'install motherduck')"
    elif "token" in text.lower() or "auth" in text.lower():
        hint = f"see that {TOKEN} holds a token that may write, and has not expired"
    else:
        hint = f"make it once, in MotherDuck or with its token set: create database {database.removeprefix('md:')}"
    return WarehouseError(f"warehouse {database} cannot be used: {text}", hint=hint)


def _tables(scratch: Warehouse, database: str) -> set[Table]:
    return {(row[0], row[1]) for row in scratch.execute(_TABLES.format(literal(database)))}


def _versions(scratch: Warehouse, database: str, tables: set[Table]) -> dict[str, str]:
    """The data version of each node that was built, as it was recorded with its table."""
    if (_RUNNER, "nodes") not in tables:
        return {}
    rows = scratch.execute(f"select name, data_version from {_at(database, (_RUNNER, 'nodes'))}")
    return {row[0]: row[1] for row in rows}


def _at(database: str, table: Table) -> str:
    return ".".join(quote(part) for part in (database, *table))
