"""DuckDB: one connection, and all that is done with it.

A build holds one read-write connection to its working file. Statements run in a worker thread, so that Ctrl-C is seen at
once. Readers never open the working file: they open what ``publish`` made, a versioned copy behind a link.
"""

from __future__ import annotations

import contextlib
import fcntl
import inspect
import io
import itertools
import json
import os
import re
import shutil
import threading
import traceback
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self

import duckdb

from bclust.errors import BclustError, FunctionError, Interrupted, Location, WarehouseError
from bclust.printable import escaped, printable
from bclust.private_files import open_private
from bclust.project.literals import literal, quote
from bclust.project.sql_types import sql_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    import polars as pl
    import pyarrow as pa

    from bclust.project.registry import Function

Error = duckdb.Error
ROW = '"__row__"'  # an alias that stands for whole rows: no column has this name
_TABLES = "select table_name, table_type from information_schema.tables where table_catalog = current_database()"
_LOCKED = re.compile(r"Conflicting lock is held in (?P<program>.*?) \(PID (?P<pid>\d+)\)")


class Warehouse:
    """One connection, used by one thread at a time.

    ``selects_only`` is for a database that cannot be opened read-only: ``rows`` and ``export`` refuse all but SELECT.
    ``threads`` is how many of them DuckDB uses (None: one for each core).

    Raises:
        WarehouseError: the file is held by another process (says which), or was written by a newer DuckDB.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        read_only: bool = False,
        selects_only: bool = False,
        threads: int | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.path = path
        self._config: dict[str, Any] = {} if threads is None else {"threads": threads}
        self.read_only = read_only
        self.selects_only = selects_only
        self.stop = stop or threading.Event()
        self._setup: list[Callable[[], None]] = []
        self._fitted: dict[str, Mapping[str, np.ndarray]] = {}
        self._new_fitted: dict[str, bytes] = {}
        self._failure: BaseException | None = None
        self._connect()

    def _connect(self) -> None:
        new = self.path is not None and not (self.read_only or self.selects_only or self.path.exists())
        if self.path is not None and not self.read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            read_only = self.read_only and self.path is not None
            self._con = duckdb.connect(str(self.path or ":memory:"), read_only=read_only, config=self._config)
        except duckdb.Error as error:
            raise _open_error(error, self.path) from error
        if new and self.path is not None:
            self.path.chmod(0o600)
        self._con.execute("set errors_as_json = true; set enable_progress_bar = false; set arrow_large_buffer_size = true")
        self._con.execute("set python_enable_replacements = false")

    def close(self) -> None:
        self._con.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- statements --------------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run statements and return the rows of the last."""
        try:
            result = self._con.execute(sql, parameters)
            return result.fetchall() if result.description else []
        except duckdb.Error as error:
            raise WarehouseError(short_message(str(error))) from error

    def rows(self, sql: str, parameters: Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """Rows as dicts."""
        self.check_selects(sql)
        try:
            result = self._con.execute(sql, parameters)
            names = [d[0] for d in result.description or []]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        except duckdb.Error as error:
            raise WarehouseError(short_message(str(error))) from error

    def frame(self, sql: str) -> pl.DataFrame:
        """Rows as a polars data frame."""
        self.check_selects(sql)
        try:
            return self._con.execute(sql).pl()
        except duckdb.Error as error:
            raise WarehouseError(short_message(str(error))) from error

    def check_selects(self, sql: str) -> None:
        """Raises WarehouseError where only SELECT is allowed and ``sql`` is something else."""
        if not self.selects_only:
            return
        try:
            statements = self._con.extract_statements(sql)
        except duckdb.Error as error:
            raise WarehouseError(short_message(str(error))) from error
        if any(statement.type != duckdb.StatementType.SELECT for statement in statements):
            raise WarehouseError("only SELECT is allowed in a shared warehouse", hint='bclust sql "select ..."')

    def run(self, prefix: str, sql: str, where: Location | None = None, *, alone: bool = False) -> None:
        """Run ``prefix + sql`` in a worker thread; an error points into the file ``where`` that holds ``sql``.

        ``alone``: by one thread of DuckDB, as is best where a function takes long: the others would spin for the
        interpreter's lock meanwhile, and take the cores that the numeric libraries could use.

        Raises:
            WarehouseError: with file:line:column where DuckDB says where.
            Interrupted: ``stop`` was set.
            BclustError: whatever a function raised, as it was.
        """
        errors: list[BaseException] = []
        self._failure = None

        def work() -> None:
            try:
                if alone:
                    self._con.execute("set threads = 1")
                self._con.execute(prefix + sql)
            except BaseException as error:  # noqa: BLE001 - carried over to the calling thread
                errors.append(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        while worker.is_alive():
            worker.join(0.05)
            if self.stop.is_set():
                self._con.interrupt()
        if alone:
            self.execute("reset threads")
        if self.stop.is_set():
            raise Interrupted("stopped")
        if self._failure is not None:
            raise self._failure
        if errors:
            raise statement_error(errors[0], sql, len(prefix.encode()), where) from errors[0]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.execute("begin")
        try:
            yield
        except BaseException:
            self.execute("rollback")
            raise
        self.execute("commit")

    def load(self, name: str, table: pa.Table) -> None:
        """Make a table from Arrow data."""
        self._con.register("_arrow", table)
        try:
            self.execute(f"create or replace table {name} as select * from _arrow")
        finally:
            self._con.unregister("_arrow")

    # --- what there is -----------------------------------------------------------------------------------------

    def tables(self, schema: str = "main") -> set[str]:
        """Names of the tables and views of a schema."""
        return {row[0] for row in self.execute(f"{_TABLES} and table_schema = {literal(schema)}")}

    def kind_of(self, name: str) -> str | None:
        """'table' or 'view', or None where there is neither."""
        found = self.execute(f"{_TABLES} and table_schema = 'main' and table_name = {literal(name)}")
        return {"VIEW": "view", "BASE TABLE": "table"}[found[0][1]] if found else None

    def columns(self, name: str) -> dict[str, str]:
        """Column names and types of a table."""
        return {row[0]: row[1] for row in self.execute(f"describe {name}")}

    def data_version(self, name: str) -> tuple[str, int]:
        """What the table holds, whatever the order of its rows: ("answered-hash-columns", rows).

        Answered are the rows without an error, where the table has such a column.
        """
        described = self.columns(name)
        answered = "count(*) filter (where error is null)" if "error" in described else "count(*)"
        # sum(), since equal rows cancel out in bit_xor(). hash() sees neither names nor types: 1 is true, and 1::bigint
        facts = f"{answered}, sum(hash({ROW})::hugeint), count(*)"
        answers, total, rows = self.execute(f"select {facts} from {name} as {ROW}")[0]
        columns = sha256(json.dumps([*described.items()]).encode()).hexdigest()[:12]
        return f"{answers}-{total or 0}-{columns}", rows

    # --- functions and variables -------------------------------------------------------------------------------

    def register(self, function: Function, arrow: Callable[..., Any] | None) -> None:
        """Make a function of the project callable from SQL, now and after each reopening."""
        self._setup.append(lambda: self._register(function, arrow))
        self._setup[-1]()

    def _register(self, function: Function, arrow: Callable[..., Any] | None) -> None:
        if arrow is not None:
            assert function.signature is not None
            types = [sql_type(p.type) for p in function.signature.parameters]
            create: Any = self._con.create_function  # its stub knows nothing of Arrow functions
            create(
                f"_{function.name}", self._guarded(function.name, arrow, len(types)), types, sql_type(function.signature.returns),
                type="arrow", null_handling="special", side_effects=False,
            )  # fmt: skip
        # temporary, so that no published file refers to a function that its readers lack
        self.execute(
            re.sub(
                r"(?i)^(\s*(--[^\n]*\n\s*)*)create\s+or\s+replace\s+macro",
                r"\1create or replace temp macro",
                function.create_sql(),
            )
        )

    def _guarded(self, name: str, arrow: Callable[..., Any], arity: int) -> Callable[..., Any]:
        """DuckDB loses the cause of a function's error: keep the first one. It also counts parameters.

        What a function raises without meaning to fails its table, as what it means to raise does.
        """

        def guarded(*columns: Any) -> Any:
            try:
                return arrow(*columns)
            except BaseException as error:
                self._failure = self._failure or _said_by(name, error)
                raise

        positional = inspect.Parameter.POSITIONAL_ONLY
        parameters = [inspect.Parameter(f"p{i}", positional) for i in range(arity)]
        guarded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return guarded

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        """Make the project's variables DuckDB variables."""

        def apply() -> None:
            if not variables:
                return
            self.execute("; ".join(f"set variable {quote(name)} = {literal(value)}" for name, value in variables.items()))

        self._setup.append(apply)
        apply()

    # --- fitted values -----------------------------------------------------------------------------------------

    def keep(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Keep a fitted value; its handle is the hash of its content."""
        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
        digest = sha256()
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
        handle = digest.hexdigest()[:24]
        self._fitted[handle] = dict(arrays)
        self._new_fitted[handle] = buffer.getvalue()
        return handle

    def kept(self, handle: str) -> Mapping[str, np.ndarray]:
        """The fitted value behind a handle; the same object each time."""
        if handle not in self._fitted:
            import numpy as np

            found = self._con.cursor().execute("select value from _bclust.fitted where handle = ? limit 1", [handle]).fetchall()
            if not found:
                raise WarehouseError(f"no fitted value {handle}", hint="build the model that fits it: bclust build -f -s ...")
            with np.load(io.BytesIO(found[0][0]), allow_pickle=False) as data:
                self._fitted[handle] = {name: data[name] for name in data.files}
        return self._fitted[handle]

    def store_fitted(self, node: str) -> None:
        """Write the fitted values that a node made; those it made before are dropped. Call inside its transaction.

        An equal value that another node made is kept under that node's name, too.
        """
        if self._new_fitted:
            self.execute("delete from _bclust.fitted where node = ?", [node])
            for handle, value in self._new_fitted.items():
                self.execute("insert into _bclust.fitted values (?, ?, ?)", [handle, node, value])
        self._new_fitted.clear()

    def forget_new_fitted(self) -> None:
        """Drop the fitted values of a node that failed: the next one must not store them as its own."""
        self._new_fitted.clear()

    # --- publishing --------------------------------------------------------------------------------------------

    def publish(self, link: Path, *, keep: int = 2) -> Path:
        """Copy the working file to a new version and point ``link`` at it atomically; the last two versions stay.

        The copy is made while the file is closed: copying an open DuckDB file drops its lock.
        """
        assert self.path is not None
        self.execute("checkpoint")
        self._con.close()
        folder = self.path.parent / "published"
        folder.mkdir(parents=True, exist_ok=True)
        versions = sorted(folder.glob("*.duckdb"))
        number = int(versions[-1].stem) + 1 if versions else 1
        new = folder / f"{number:08d}.duckdb"
        partial = new.with_suffix(".partial")
        try:
            with self.path.open("rb") as built, open_private(partial, "wb") as copy:
                shutil.copyfileobj(built, copy, 2**20)
            partial.replace(new)
            link.parent.mkdir(parents=True, exist_ok=True)
            temporary = link.with_name(f".{link.name}.{os.getpid()}")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(os.path.relpath(new, link.parent.resolve()))
            temporary.replace(link)
        finally:
            partial.unlink(missing_ok=True)
            self._connect()
            for step in self._setup:
                step()
        for old in versions[: -(keep - 1) or None]:
            old.unlink(missing_ok=True)
        return new


# --- opening for reading ---------------------------------------------------------------------------------------


def open_published(link: Path) -> Warehouse:
    """The published warehouse, read-only. Raises WarehouseError with the command that builds it."""
    if not link.exists():
        raise WarehouseError(f"there is no warehouse at {link}", hint="build it: bclust build")
    return Warehouse(link.resolve(), read_only=True)


def export(warehouse: Warehouse, sql: str, path: Path, format_: Literal["csv", "json", "parquet"]) -> None:
    """Write a query's result to a file. CSV has a mark for each character that steers a terminal, JSON its escape."""
    warehouse.check_selects(sql)
    options = {"csv": "format csv, header", "json": "format json, array true", "parquet": "format parquet, compression zstd"}
    statement_sql = sql.strip().rstrip(";")
    warehouse.run("copy (", f"{statement_sql}\n) to {literal(str(path))} ({options[format_]})")
    if format_ != "parquet" and path.is_file():  # a pipe or a device has it already
        _make_harmless(path, printable if format_ == "csv" else escaped)


def _make_harmless(path: Path, convert: Callable[[str], str]) -> None:
    """Convert a text file, character by character, in its place; it may be longer than memory."""
    new = path.with_name(f"{path.name}.new")
    changed = False
    with path.open(encoding="utf-8") as file, new.open("w", encoding="utf-8", newline="") as copy:
        while piece := file.read(1 << 20):
            safe = convert(piece)
            changed |= safe != piece
            copy.write(safe)
    if changed:
        shutil.copyfile(new, path)  # what the path is a link to, or who may read it, stays as it was
    new.unlink()


@contextlib.contextmanager
def build_lock(path: Path) -> Iterator[None]:
    """Only one build at a time: the second learns who holds the file."""
    with _locked(path) as file:
        file.truncate(0)
        file.write(f"PID {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _locked(path: Path) -> IO[str]:
    """The lock file ``target/NAME/build.lock``, locked; not while target/ is being deleted.

    Raises:
        WarehouseError: another process has locked it.
        OSError: it cannot be made.
    """
    while True:
        with _guarded(path.parent.parent, fcntl.LOCK_SH) as there:
            if not there:
                continue
            path.parent.mkdir(exist_ok=True)
            file = path.open("a+", encoding="utf-8")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                with file:
                    file.seek(0)
                    holder = file.read().strip() or "another process"
                raise WarehouseError(
                    f"{path.parent.name}: another build is running ({holder})",
                    hint="wait for it, or read what is published: bclust sql, bclust report",
                ) from error
            return file


@contextlib.contextmanager
def _guarded(folder: Path, how: int) -> Iterator[bool]:
    """Keep a folder from being deleted (LOCK_SH), or others from building in it (LOCK_EX); False where it is not there now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(folder, os.O_RDONLY)
    except (FileExistsError, FileNotFoundError):
        if os.path.lexists(folder) and not folder.is_dir():
            raise  # a file is in its place
        yield False
        return
    try:
        fcntl.flock(number, how)
        try:
            there = os.path.samestat(os.fstat(number), folder.stat())
        except FileNotFoundError:
            there = False
        yield there
    finally:
        os.close(number)


def delete_working_files(folder: Path) -> None:
    """Delete target/, with the files of all targets, unless a build is running in one of them: then nothing is deleted.

    Raises:
        WarehouseError: a build is running; says which.
        OSError: something cannot be deleted.
    """
    if not folder.is_dir():
        return
    with _guarded(folder, fcntl.LOCK_EX) as there:
        for lock in sorted(folder.glob("*/*.lock")) if there else ():
            if holder := lock_holder(lock):
                raise WarehouseError(
                    f"{lock.parent.name}: another build is running ({holder}); nothing was deleted",
                    hint="wait for it, or stop it",
                )
        for entry in [*folder.iterdir()] if there else ():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if there and not folder.is_symlink():
            folder.rmdir()


def lock_holder(path: Path) -> str | None:
    """Who is building, if anybody is."""
    if not path.is_file():
        return None
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read().strip() or "another process"
    return None


def version() -> str:
    """DuckDB's version."""
    return duckdb.__version__


# --- errors ----------------------------------------------------------------------------------------------------


def _said_by(function: str, error: BaseException) -> BaseException:
    """A fault of a function as an error that names it and the line; interruptions, and errors meant for users, as they are."""
    if isinstance(error, BclustError) or not isinstance(error, Exception):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    at = next((frame for frame in reversed(frames) if f"{os.sep}udfs{os.sep}" in frame.filename), frames[-1])
    found = FunctionError(
        f"the function {function} failed: {type(error).__name__}: {error}", where=Location(Path(at.filename), at.lineno)
    )
    found.__cause__ = error
    return found


def _open_error(error: duckdb.Error, path: Path | None) -> WarehouseError:
    text = short_message(str(error))
    locked = _LOCKED.search(str(error))
    if locked:
        return WarehouseError(
            f"{path} is in use by {Path(locked['program']).name} (PID {locked['pid']})",
            hint="close it; to read meanwhile, open the published warehouse: bclust sql",
        )
    if "newer version" in text or "storage version" in text:
        return WarehouseError(
            f"{path} was written by another version of DuckDB", hint="bclust clean, then bclust build: stored answers are reused"
        )
    return WarehouseError(
        f"cannot open {path}: {text}", hint="if it is damaged: bclust clean, then bclust build; stored answers are reused"
    )


def short_message(text: str) -> str:
    """DuckDB's message without its list of overloads, and read from JSON where it is JSON."""
    kind, _, rest = text.partition(": ")
    if rest.startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):
            parsed = json.loads(rest[: rest.rindex("}") + 1])
            text = f"{kind}: {parsed.get('exception_message', rest)}"
    lines = text.split("\n\nLINE ")[0].strip().splitlines()
    return "\n  ".join(itertools.islice((line.strip() for line in lines if line.strip()), 5))


def statement_error(error: BaseException, sql: str, offset: int, where: Location | None) -> BaseException:
    """The error of a statement, pointing into the file that holds it."""
    if not isinstance(error, duckdb.Error):
        return error
    text = str(error)
    position = re.search(r'"position"\s*:\s*"?(\d+)', text)
    if where is not None and position:
        before = sql.encode()[: max(int(position.group(1)) - offset, 0)].decode(errors="replace")
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        where = Location(where.path, line, column)
    return WarehouseError(short_message(text), where=where)
