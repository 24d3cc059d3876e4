"""The published warehouse, read-only, for everything in reports/.

Readers open the real path behind the link that a build flips, and close it before they open the next version: DuckDB
would go on serving the old file to a process that still holds it. What is wrong comes out as one sentence and a command.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from bclust.errors import BclustError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

VARIABLE = "BCLUST_WAREHOUSE"
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "lock_configuration": True,
}
KEPT_RESULTS = 96
SHARED = ("md:",)  # a database that others share (MotherDuck) and that is no file
LOOK_SECONDS = 30.0  # how often a shared warehouse is asked whether there is a newer one


def warehouse_path() -> Path:
    """Where the published warehouse is: the environment says, else beside the project."""
    return Path(os.environ.get(VARIABLE) or "warehouse.duckdb")


class Warehouse:
    """One published warehouse and the results already read from it. Safe to share between threads.

    Raises:
        WarehouseError: there is no file, it is held by a writer, or it is not a warehouse; with the command that helps.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self.shared = str(link).startswith(SHARED)
        self._looked_at = 0.0
        self._con: duckdb.DuckDBPyConnection | None = None
        self._version: tuple[Any, ...] = ()
        self._readers = 0
        self._free = threading.Condition()
        self._results: OrderedDict[str, pl.DataFrame] = OrderedDict()
        self._columns: dict[str, list[str]] = {}
        self.refresh()

    @property
    def path(self) -> Path:
        """The file that is open, behind the link."""
        return Path(self._version[0])

    @property
    def published_at(self) -> datetime:
        """When the open file was written."""
        return datetime.fromtimestamp(self._version[1] / 1e9, tz=UTC)

    def refresh(self) -> bool:
        """Open the version that the link points at now; True when it is another than before."""
        if self.shared:
            return self._refresh_shared()
        try:
            real = self.link.resolve(strict=True)
            stat = real.stat()
        except OSError as error:
            raise WarehouseError(f"There is no warehouse at {self.link}.", hint="bclust build") from error
        version = (str(real), stat.st_mtime_ns, stat.st_size, stat.st_ino)
        with self._free:
            if version == self._version and self._con is not None:
                return False
            self._free.wait_for(lambda: self._readers == 0)
            self.close()
            self._con = _connect(real)
            self._version = version
            self._read_columns()
        return True

    def _refresh_shared(self) -> bool:
        """The same for a shared warehouse: its last run says which version it is."""
        with self._free:
            if self._con is not None and time.monotonic() - self._looked_at < LOOK_SECONDS:
                return False
            self._looked_at = time.monotonic()
            self._con = self._con or _connect_shared(str(self.link))
            try:
                ended = self._con.execute("select epoch_ns(max(ended_at)) from _bclust.runs").fetchall()[0][0]
            except duckdb.Error as error:
                raise explained(error) from error
            if self._version == (str(self.link), ended):
                return False
            self._free.wait_for(lambda: self._readers == 0)
            self._version = (str(self.link), ended or 0)
            self._read_columns()
        return True

    def _read_columns(self) -> None:
        assert self._con is not None
        self._results.clear()
        rows = self._con.execute(
            "select schema_name || '.' || table_name, list(column_name order by column_index) from duckdb_columns() "
            "where database_name = current_database() and not internal group by all"
        ).fetchall()
        self._columns = {name.removeprefix("main."): columns for name, columns in rows}

    def close(self) -> None:
        """Let go of the file."""
        if self._con is not None:
            self._con.close()
            self._con = None

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._free:
            if self._con is None:
                raise WarehouseError("The warehouse is closed.", hint="bclust report")
            self._readers += 1
            cursor = self._con.cursor()
        try:
            yield cursor
        finally:
            cursor.close()
            with self._free:
                self._readers -= 1
                self._free.notify_all()

    # --- reading -----------------------------------------------------------------------------------------------

    def tables(self) -> dict[str, list[str]]:
        """Table names (``_bclust.`` before those of the runner) with their columns."""
        return self._columns

    def has(self, *tables: str) -> bool:
        """Whether these tables are there."""
        return all(table in self._columns for table in tables)

    def column(self, table: str, column: str) -> bool:
        """Whether the table is there and has the column."""
        return column in self._columns.get(table, ())

    def frame(self, sql: str) -> pl.DataFrame:
        """The result of a query; the same object again until a new version is published."""
        with self._free:
            if sql in self._results:
                self._results.move_to_end(sql)
                return self._results[sql]
        with self._cursor() as cursor:
            try:
                result = cursor.sql(sql).pl()
            except duckdb.Error as error:
                raise explained(error) from error
        with self._free:
            self._results[sql] = result
            while len(self._results) > KEPT_RESULTS:
                self._results.popitem(last=False)
        return result

    def row(self, sql: str) -> dict[str, Any]:
        """The first row of a result; {} when there is none."""
        rows = self.frame(sql).head(1).to_dicts()
        return rows[0] if rows else {}

    def bounded(self, sql: str, *, max_rows: int = 1000, seconds: float = 10.0) -> tuple[pl.DataFrame, bool]:
        """What somebody typed: at most ``max_rows`` rows and ``seconds`` of time; says whether there were more rows."""
        import polars as pl
        import pyarrow as pa

        with self._cursor() as cursor:
            alarm = threading.Timer(seconds, cursor.interrupt)
            alarm.start()
            try:
                if self.shared and any(s.type != duckdb.StatementType.SELECT for s in cursor.extract_statements(sql)):
                    raise WarehouseError("Only reading from this warehouse is allowed.", hint='bclust sql "select ..."')
                result = cursor.execute(sql)
                if not result.description:
                    return pl.DataFrame(), False
                reader = result.to_arrow_reader(max_rows + 1)
                batches, n = [], 0
                for batch in reader:
                    batches.append(batch)
                    n += batch.num_rows
                    if n > max_rows:
                        break
                table = pa.Table.from_batches(batches, reader.schema)
            except duckdb.Error as error:
                raise explained(error, seconds) from error
            finally:
                alarm.cancel()
        frame = pl.DataFrame(table)
        return frame.head(max_rows), len(frame) > max_rows


def _connect(real: Path) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(real), read_only=True, config=SETTINGS)
    except duckdb.Error as error:
        raise explained(error) from error


def _connect_shared(address: str) -> duckdb.DuckDBPyConnection:
    """A shared database cannot be opened read-only. MotherDuck's saas_mode keeps what is typed from this machine's files."""
    is_motherduck = address.startswith("md:")
    try:
        con = duckdb.connect(f"{address}?attach_mode=single&saas_mode=true" if is_motherduck else address)
        if not is_motherduck:
            con.execute("set enable_external_access = false")
        con.execute("set python_enable_replacements = false; set lock_configuration = true")
    except duckdb.Error as error:
        raise explained(error) from error
    return con


def explained(error: duckdb.Error, seconds: float | None = None) -> BclustError:
    """DuckDB's error as one sentence and the command that helps."""
    text = str(error).split("\n\nLINE ")[0].strip()
    first = text.splitlines()[0] if text else "unknown error"
    if isinstance(error, duckdb.InterruptException):
        return WarehouseError(f"Stopped after {seconds or 0:.0f} s.", hint="narrow the query: add a where or a limit")
    if isinstance(error, duckdb.CatalogException) and "Table with name" in text:
        name = text.split("Table with name ")[1].split(" ")[0]
        return WarehouseError(f"The table {name} has not been built.", hint=f"bclust build --select {name}")
    if isinstance(error, duckdb.BinderException) and ("Referenced column" in text or "does not have a column" in text):
        return WarehouseError(
            f"The warehouse was built by another version: {first.removeprefix('Binder Error: ')}", hint="bclust build"
        )
    if "Conflicting lock" in text or "Could not set lock" in text:
        return WarehouseError("A build is writing this very file.", hint="open the published warehouse: bclust report")
    if "storage version" in text or "newer version" in text:
        return WarehouseError(
            "The file was written by another version of DuckDB.",
            hint="bclust clean, then bclust build (stored answers are reused)",
        )
    if "not a valid DuckDB database" in text or isinstance(error, duckdb.SerializationException):
        return WarehouseError(
            "The file is not a DuckDB warehouse, or it is damaged.",
            hint="bclust clean, then bclust build (stored answers are reused)",
        )
    if "disabled by configuration" in text or "read-only" in text or "configuration has been locked" in text:
        return WarehouseError(
            "Only reading from this warehouse is allowed: no files, no other databases, no changes, no settings.",
            hint='bclust sql "select ..."',
        )
    return WarehouseError(first, hint="bclust build")


def literal(value: str | float | None) -> str:
    """A value as an SQL literal on one line, so that the SQL under a chart can be pasted as it stands.

    >>> print(literal("it's"), literal("two\\nlines"), literal(None))
    'it''s' E'two\\x0alines' NULL
    """
    if value is None:
        return "NULL"
    if not isinstance(value, str):
        return repr(value)
    quoted = value.replace("'", "''")
    if not any(char < " " for char in value):
        return f"'{quoted}'"
    escaped = "".join(f"\\x{ord(char):02x}" if char < " " else char for char in quoted.replace("\\", "\\\\"))
    return f"E'{escaped}'"


def literals(values: list[str] | list[int]) -> str:
    """Values for ``in (...)``; an empty list matches nothing.

    >>> literals(["a", "b"])
    "('a', 'b')"
    """
    return "(" + ", ".join(literal(v) for v in values) + ")" if values else "(NULL)"


def siblings(link: Path) -> list[Path]:
    """The published warehouses beside this one: one per target (warehouse.duckdb, warehouse.full_run.duckdb)."""
    stem = link.name.split(".")[0]
    found = [p for p in link.parent.glob(f"{stem}*.duckdb") if p.exists()]
    return sorted(found, key=lambda p: p.name) if link in found else [link]


def building(warehouse: Warehouse) -> bool:
    """Whether a build is running that will publish over this warehouse: its lock file names a living process."""
    lock = warehouse.path.parent.parent / "build.lock"
    try:
        words = lock.read_text(encoding="utf-8").split()
        os.kill(int(words[-1]), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, IndexError):
        return False
    return True
