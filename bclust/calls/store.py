"""The call store: every answer ever paid for, in one SQLite file that no rebuild empties.

An answer counts only after its commit. One writer thread commits whatever has arrived in one transaction
(WAL, ``synchronous=FULL``), readers have a connection per thread, several processes may share the file.
Errors are kept beside the answers, for the record. Nothing expires. An answer that cannot be stored costs its own row; when
nothing can be stored, no further calls are made, and what had arrived is kept in memory and tried once more.

Each answer has a checksum that is compared whenever it is read. A store that is small, or was not closed cleanly, is read as a
whole when it is opened; ``bclust calls verify`` reads any.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import secrets
import sqlite3
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from zlib import crc32

from bclust.calls.files import ANSWER_COLUMNS, ERROR_COLUMNS, read_records, write_records
from bclust.calls.owners import SCHEMA as OWNERS_SCHEMA
from bclust.calls.owners import is_gone, read_owners, this_process
from bclust.errors import StoreError
from bclust.private_files import keep_from_others, open_private, private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bclust.functions import Answer

T = TypeVar("T")

_FOLDER = ".bclust"  # made by this alone, for the store
_ELSEWHERE = "set calls: {store: ...} in bclust.yml to where it is, or may be made"
_APPLICATION_ID = 0x62636C73  # "bcls": tells a store from any other SQLite file
_FORMAT = 1
_RESUMED_WITHIN = 7 * 86_400 * 10**6  # microseconds; a refresh that was cut off before that is not gone on with
_AT_ONCE = 2000  # keys in one look-up, rows in one transaction
_CHECK_BELOW = 32 * 2**20  # bytes up to which opening also reads every page
_READ_BELOW = 4 * 2**20  # and up to which it also reads every answer
# the fault of one row, not of the file
_UNSTORABLE = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError, ValueError, TypeError, OverflowError)

# small columns first: statistics then never read the overflow pages of long texts
_ANSWER = """key blob not null {unique}, function text not null, version integer not null, lane text not null,
    finish_reason text, input_tokens integer, output_tokens integer, cost_usd real, latency_ms real,
    answered_at integer not null, checksum integer, detail text, payload text not null, value"""
_SCHEMA = f"""
pragma journal_mode = wal;
create table answers (id integer primary key, {_ANSWER.format(unique="unique")});
create table superseded (id integer primary key, {_ANSWER.format(unique="")}, superseded_at integer not null);
create table errors (id integer primary key, key blob not null, function text not null, version integer not null,
    lane text not null, attempts integer not null, failed_at integer not null, error text not null, payload text not null);
create index errors_key on errors (key);
pragma application_id = {_APPLICATION_ID};
pragma user_version = {_FORMAT};
"""
_PUT_ANSWER = f"""insert or ignore into answers (key, {", ".join(ANSWER_COLUMNS)}, checksum)
    values (?{", ?" * (len(ANSWER_COLUMNS) + 1)})"""
_VALUES = {str, bytes, type(None)}
_TABLES = {"answers", "superseded", "errors"}
_WHOLE = f"select id, key, {', '.join(ANSWER_COLUMNS)}, checksum from answers order by id"
_PUT_ERROR = f"insert into errors (key, {', '.join(ERROR_COLUMNS)}) values (?{', ?' * len(ERROR_COLUMNS)})"
_SUPERSEDE = f"""insert into superseded (key, {", ".join(ANSWER_COLUMNS)}, superseded_at)
    select key, {", ".join(ANSWER_COLUMNS)}, ? from answers where key = ? and answered_at < ?"""
# what a process adds to a store before it first writes there; an older version does not miss it, and leaves it alone
_REFRESHES = "create table if not exists refreshes (function text primary key, since integer not null) without rowid"
_ADDED = (
    OWNERS_SCHEMA,
    "create table if not exists claims (key blob primary key, owner integer not null) without rowid",
)


class Stored(NamedTuple):
    """An answer as it is kept; ``answered_at`` in microseconds since 1970 (UTC)."""

    key: bytes
    value: str | bytes | None
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    latency_ms: float | None
    answered_at: int
    detail: str | None
    checksum: int | None


class Call(NamedTuple):
    """One question to one lane of one function."""

    key: bytes
    function: str
    version: int
    lane: str
    payload: str


class _Item(NamedTuple):
    """Something for the writer thread: ``work`` is part of a transaction, ``done`` is told what it returned once that is durable.

    ``refused`` is told why this item, and it alone, cannot be stored. ``answer``: what is lost with it was paid for.
    """

    work: Callable[[sqlite3.Connection], Any]
    done: Callable[[Any], None] | None = None
    refused: Callable[[Exception], None] | None = None
    answer: bool = False


def key_prefix(function: str, version: int) -> str:
    """What stands before the payload in the text whose hash is the key."""
    return f"[{json.dumps(function)},{version},"


def call_key(function: str, version: int, payload: str) -> bytes:
    """The key of a call: sha256 of the JSON text ``["function",version,payload]``."""
    return hashlib.sha256(f"{key_prefix(function, version)}{payload}]".encode()).digest()


def checksum_of(key: bytes, values: Sequence[Any]) -> int:
    """A checksum over an answer, given as ``ANSWER_COLUMNS``; its lower 32 bits are those of the value alone.

    The payload, function and version are not in it: the key is their hash. Raises ValueError, TypeError or OverflowError for what
    is no answer.
    """
    lane, finish_reason, tokens_in, tokens_out, cost, latency, at, detail = values[2:10]
    tokens_in, tokens_out = tokens_in and int(tokens_in), tokens_out and int(tokens_out)
    cost, latency = cost if cost is None else float(cost), latency if latency is None else float(latency)
    if cost != cost or latency != latency:  # noqa: PLR0124 - SQLite would make NULL of a NaN
        raise ValueError("not a number")
    rest = f"{lane}\0{finish_reason}\0{detail}\0{tokens_in} {tokens_out} {cost!r} {latency!r} {int(at)}"
    return (crc32(rest.encode(), crc32(key)) & 0x7FFF_FFFF) << 32 | crc32(_bytes(values[11]))


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def microseconds() -> int:
    """Now, in microseconds since 1970 (UTC)."""
    return time.time_ns() // 1000


class CallStore:
    """The answers of one store file.

    Raises:
        StoreError: the file is no call store, is damaged, or comes from a newer version. It is never emptied or replaced.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.opened_at = microseconds()
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self.owner = secrets.randbits(62)  # the number under which this process is known to others while it writes
        self._queue: queue.SimpleQueue[_Item | _Flush] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._failure: str | None = None
        self._has_checksums = True
        self._kept: list[_Item] = []  # what could not be written
        try:
            if path.is_symlink() and not path.exists():
                raise StoreError(f"the call store {path} is a link to {path.readlink()}, which is not there", hint=_ELSEWHERE)
            self._empty = read_only and not path.exists()
            if not self._empty:
                if not path.exists():
                    _create(path)
                elif not read_only:
                    keep_from_others(path)
                    if path.parent.name == _FOLDER:
                        keep_from_others(path.parent)
                self._verify()
        except OSError as error:
            raise StoreError(f"the call store {path} cannot be opened: {error.strerror}", hint=_ELSEWHERE) from error

    # --- reading -----------------------------------------------------------------------------------------------

    def lookup(self, keys: Sequence[bytes]) -> dict[bytes, Stored]:
        """The stored answers to these keys. May be called from any thread."""
        return {key: Stored._make(row) for key, row in self.rows(keys).items()}

    def rows(self, keys: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
        """The same as plain tuples in the order of ``Stored``: naming 200,000 of them takes a quarter of a second."""
        found: dict[bytes, tuple[Any, ...]] = {}
        if not self._empty:
            columns = ", ".join(self._columns)
            for some, holes in _in_lists(keys):
                rows = self._rows(f"select {columns} from answers where key in ({holes})", some)
                if rows:
                    self._check_values(rows)
                found.update(zip([row[0] for row in rows], rows, strict=True))
        return found

    def _check_values(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Raises StoreError when a value is not the one that was stored (quickly, where all are text or all bytes)."""
        columns = list(zip(*rows, strict=True))
        values, checksums = columns[1], columns[-1]
        kinds = set(map(type, values))
        if kinds in ({str}, {bytes}) and None not in checksums:
            found = map(crc32, map(str.encode, values) if kinds == {str} else values)
            if [*found] == [checksum & 0xFFFF_FFFF for checksum in checksums]:
                return
        for row, value, checksum in zip(rows, values, checksums, strict=True):
            fits = checksum is None or checksum & 0xFFFF_FFFF == crc32(_bytes(value)) if type(value) in _VALUES else False
            if not fits:  # an answer of an earlier version has no checksum
                raise self._damaged(f"the answer with the key {row[0].hex()} is not what was stored")

    def errors(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """The latest recorded error of each of these keys that has one."""
        if self._empty:
            return {}
        found: dict[bytes, str] = {}
        for some, holes in _in_lists(keys):
            found.update(self._rows(f"select key, error from errors where key in ({holes}) order by id", some))
        return found

    def stats(self) -> list[dict[str, Any]]:
        """One row per function and lane: answers, errors, input_tokens, output_tokens, cost_usd, first and last (ISO, UTC)."""
        if self._empty:
            return []
        rows = self._rows(
            """
            select function, lane, sum(answers) as answers, sum(errors) as errors, sum(input_tokens) as input_tokens,
                   sum(output_tokens) as output_tokens, sum(cost_usd) as cost_usd,
                   strftime('%Y-%m-%dT%H:%M:%SZ', min(first) / 1000000, 'unixepoch') as first,
                   strftime('%Y-%m-%dT%H:%M:%SZ', max(last) / 1000000, 'unixepoch') as last
            from (select function, lane, count(*) as answers, 0 as errors, sum(input_tokens) as input_tokens,
                         sum(output_tokens) as output_tokens, sum(cost_usd) as cost_usd,
                         min(answered_at) as first, max(answered_at) as last
                  from answers group by 1, 2
                  union all
                  select function, lane, 0, count(*), null, null, null, null, null from errors group by 1, 2)
            group by 1, 2 order by 1, 2
            """
        )
        names = ("function", "lane", "answers", "errors", "input_tokens", "output_tokens", "cost_usd", "first", "last")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def mean_output_tokens(self) -> dict[tuple[str, str], float]:
        """Mean output tokens of the latest 20,000 answers, by function and lane."""
        if self._empty:
            return {}
        rows = self._rows(
            """select function, lane, avg(output_tokens) from answers
               where id > (select max(id) from answers) - 20000 and output_tokens is not null group by 1, 2"""
        )
        return {(function, lane): mean for function, lane, mean in rows}

    def check(self, *, rows: bool = True) -> dict[str, int]:
        """Read every page of the file (some seconds for a gigabyte), and every answer (``rows``).

        Returns how many answers and errors there are, and how many answers have no checksum (of an earlier version).

        Raises:
            StoreError: something is damaged; says what.
        """
        counts = {"answers": 0, "errors": 0, "unchecked": 0}
        if self._empty:
            return counts
        with self.reading() as con:
            [(verdict,)] = con.execute("pragma integrity_check(1)").fetchall()
            if verdict != "ok":
                raise self._damaged(verdict)
            for number, key, *values, checksum in con.execute(self._whole) if rows else ():
                self._check_answer(number, key, values, checksum)
                counts["answers"] += 1
                counts["unchecked"] += checksum is None
            errors = con.execute("select id, key, function, version, payload from errors") if rows else ()
            for number, key, function, version, payload in errors:
                if key != _key_of(function, version, payload):
                    raise self._damaged(f"the error {number} ({function}) is not what was stored")
                counts["errors"] += 1
        return counts

    def _check_answer(self, number: int, key: bytes, values: Sequence[Any], checksum: int | None) -> None:
        function, version, lane, payload, value = *values[:3], *values[10:]
        problem = None
        try:
            whole = checksum is None or checksum == checksum_of(key, values)
        except (ValueError, TypeError, OverflowError):
            whole = False
        if key != _key_of(function, version, payload):
            problem = "is not that to its question"
        elif not whole or not isinstance(value, str | bytes | None):
            problem = "is not what was stored"
        if problem:
            raise self._damaged(f"the answer {number} ({function} by {lane}) {problem}")

    @property
    def _columns(self) -> tuple[str, ...]:
        return Stored._fields if self._has_checksums else (*Stored._fields[:-1], "null")

    @property
    def _whole(self) -> str:
        return _WHOLE if self._has_checksums else _WHOLE.replace(", checksum", ", null")

    # --- writing -----------------------------------------------------------------------------------------------

    def put(
        self,
        call: Call,
        answer: Answer,
        on_commit: Callable[[], None] | None = None,
        on_refused: Callable[[str], None] | None = None,
        *,
        since: int | None = None,
    ) -> None:
        """Hand an answer to the writer thread; ``on_commit`` is called there once it is durable.

        An answer that another process stored meanwhile stays, unless it is from before ``since`` (microseconds): then it is
        superseded in the transaction that stores this one. ``on_refused`` is called in place of ``on_commit``, with a sentence,
        when this answer can never be stored; that is recorded as an error of the call.

        Raises:
            StoreError: an earlier answer could not be written. This one is kept with it, to be tried once more.
        """
        row = (
            call.key, call.function, call.version, call.lane, answer.finish_reason, answer.input_tokens, answer.output_tokens,
            answer.cost_usd, answer.latency_ms, microseconds(), answer.detail, call.payload, answer.value,
        )  # fmt: skip

        def work(con: sqlite3.Connection) -> None:
            if since is not None:
                con.execute(_SUPERSEDE, (microseconds(), call.key, since))
                con.execute("delete from answers where key = ? and answered_at < ?", (call.key, since))
            con.execute(_PUT_ANSWER, (*row, checksum_of(call.key, row[1:])))
            con.execute("delete from claims where key = ?", (call.key,))

        def refused(error: Exception) -> None:
            message = f"the answer cannot be stored: {error}"
            self.record_error(call, message)
            if on_refused:
                on_refused(message)

        self._enqueue(_Item(work, (lambda _: on_commit()) if on_commit else None, refused, answer=True))

    def record_error(self, call: Call, message: str, attempts: int = 1) -> None:
        """Keep a failure for the record. It is no answer: the next build asks again."""
        row = (call.key, call.function, call.version, call.lane, attempts, microseconds(), message, call.payload)
        self._enqueue(_Item(lambda con: con.execute(_PUT_ERROR, row)))

    def do(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Have the writer thread do something in a transaction of its own or with others: its result, once that is durable.

        The future holds a StoreError when the store cannot be written. ``work`` may be run again after a rollback.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # from here on no one who stops waiting can cancel it under the writer's hands
        self._enqueue(_Item(work, future.set_result, future.set_exception))
        return future

    def begin_refresh(self, function: str) -> tuple[int, int]:
        """From when on (microseconds) an answer of this function counts as asked anew; and how many are from then on.

        That is now, or when a refresh began, within the last week, that was cut off (by a kill, Ctrl-C, failed calls): it goes
        on, and what it has paid is not paid again.
        """
        now = microseconds()
        with self.transaction() as con:
            con.execute(_REFRESHES)
            begun = con.execute("select since from refreshes where function = ?", (function,)).fetchone()
            if begun and now - _RESUMED_WITHIN < begun[0] <= now:
                [(kept,)] = con.execute(
                    "select count(*) from answers where function = ? and answered_at >= ?", (function, begun[0])
                )
                return begun[0], kept
            con.execute("insert or replace into refreshes values (?, ?)", (function, now))
        return now, 0

    def end_refresh(self, function: str) -> None:
        """All that was to be asked anew is answered: the next refresh is another one."""
        with self.transaction() as con:
            con.execute(_REFRESHES)
            con.execute("delete from refreshes where function = ?", (function,))

    def flush(self) -> None:
        """Wait until everything handed over is durable; what could not be written before is tried once more.

        Raises:
            StoreError: it could not be written. Says how many answers may be lost.
        """
        if self._writer is not None:
            written = threading.Event()
            self._queue.put(_Flush(written.set))
            while not written.wait(0.05):
                if not self._writer.is_alive():
                    self._failure = self._failure or f"the writer of the call store {self.path} has ended"
                    break
        if self._failure:
            raise self._failed()

    def checkpoint(self) -> None:
        """Move what is written into the main file, where it is read faster. No one waits for it."""
        self.flush()
        if not (self._empty or self.read_only):
            self._rows("pragma wal_checkpoint(passive)")

    def close(self) -> None:
        """Write what is pending and close every connection.

        Raises:
            StoreError: answers are lost, and how many.
        """
        try:
            self.flush()
        except StoreError:
            if self._kept:
                raise
        finally:
            if self._writer is not None:
                self._queue.put(_Flush(None))
                self._writer.join()
                self._writer = None
            while self._idle:
                self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- sharing -----------------------------------------------------------------------------------------------

    def export(self, path: Path, functions: Sequence[str] | None = None, *, force: bool = False) -> dict[str, int]:
        """Write answers and errors to ``path`` (.jsonl or .parquet), losslessly. Returns how many of each.

        Raises:
            StoreError: ``path`` exists (unless ``force``), or cannot be written; then it is as it was.
        """
        self.flush()
        with contextlib.suppress(OSError):  # one of them is not there
            if path.samefile(self.path):
                raise StoreError(f"{path} is the call store itself", hint="name another file")
        counts = {"answers": 0, "errors": 0}

        def records() -> Iterator[dict[str, Any]]:
            with self.reading() as con:
                for kind, columns in (("answers", ANSWER_COLUMNS), ("errors", ERROR_COLUMNS)):
                    for row in con.execute(f"select {', '.join(columns)} from {kind} order by id"):
                        record = dict(zip(columns, row, strict=True))
                        if functions is None or record["function"] in functions:
                            counts[kind] += 1
                            yield {"kind": kind.removesuffix("s"), **record}

        write_records(path, () if self._empty else records(), force=force)
        return counts

    def import_(self, path: Path, kinds: Callable[[str], str | None] = lambda _: None) -> dict[str, int]:
        """Add the records of an export. Returns answers and errors added, and how many answers were known already.

        ``kinds`` says what the answers of a function are, where that is known: "text", "bytes" or "vector".

        Raises:
            StoreError: a record is not one, with its line and the reason; then nothing was added.
        """
        counts = {"answers": 0, "known": 0, "errors": 0}
        if self.read_only:
            raise StoreError(f"the call store {self.path} was opened for reading only")
        with self._connection() as con, _transaction(con, self):
            _add_checksums(con)
            known_errors = {tuple(row) for row in con.execute("select key, failed_at from errors")}
            for record in read_records(path, kinds):
                key = call_key(record["function"], record["version"], record["payload"])
                if record["kind"] == "answer":
                    values = [record[c] for c in ANSWER_COLUMNS]
                    added = con.execute(_PUT_ANSWER, (key, *values, checksum_of(key, values))).rowcount
                    counts["answers" if added else "known"] += 1
                elif (key, record["failed_at"]) not in known_errors:
                    con.execute(_PUT_ERROR, (key, *(record[c] for c in ERROR_COLUMNS)))
                    counts["errors"] += 1
        return counts

    # --- for records that stand beside the answers -------------------------------------------------------------

    def has_table(self, name: str) -> bool:
        """Whether the store has this table."""
        return not self._empty and bool(self._rows("select 1 from sqlite_master where type = 'table' and name = ?", (name,)))

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of the store. May be called from any thread."""
        return self._rows(sql, values)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for several queries. May be used from any thread, by one at a time."""
        try:
            with self._connection() as con:
                yield con
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._problem(error, "read") from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Statements that are durable, all or none, when the block ends."""
        if self.read_only:
            raise StoreError(f"the call store {self.path} was opened for reading only")
        with self._connection() as con, _transaction(con, self):
            yield con

    # --- inside ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that no one else uses now.

        Not one per thread: a thread that DuckDB started is a new one to Python at each of its calls, and so are its locals.
        """
        try:
            con = self._idle.pop()
        except IndexError:
            con = self._connect()
        try:
            yield con
        finally:
            self._idle.append(con)

    def _connect(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()
        options = {"timeout": 60, "isolation_level": None, "check_same_thread": False, "uri": True}
        try:
            con = sqlite3.connect(f"{uri}?mode={'ro' if self.read_only else 'rw'}", **options)  # type: ignore[call-overload]
            if self.read_only:
                try:
                    con.execute("select 1 from sqlite_master").fetchone()
                except sqlite3.OperationalError:  # a folder that cannot be written has no room for the -shm file
                    con.close()
                    con = sqlite3.connect(f"{uri}?immutable=1", **options)  # type: ignore[call-overload]
            else:
                con.execute("pragma synchronous = full")
                con.execute("pragma wal_autocheckpoint = 10000")
            con.execute("pragma cache_size = -32000")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._problem(error, "opened") from error
        return con

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.reading() as con:
            return con.execute(sql, values).fetchall()

    def _verify(self) -> None:
        size = self.path.stat().st_size
        if size == 0:
            raise self._damaged("the file is empty")
        [(application,)] = self._rows("pragma application_id")
        [(version,)] = self._rows("pragma user_version")
        if application != _APPLICATION_ID:
            raise StoreError(f"{self.path} is an SQLite file, but no call store", hint="set calls: {store: ...} in bclust.yml")
        if version != _FORMAT:
            raise StoreError(f"the call store {self.path} has format {version}; this bclust reads format {_FORMAT}")
        [(pages,)], [(page_size,)] = self._rows("pragma page_count"), self._rows("pragma page_size")
        wal = self.path.with_name(self.path.name + "-wal")
        if size < pages * page_size and not (wal.exists() and wal.stat().st_size):
            raise self._damaged(f"{size} bytes where there should be {pages * page_size}")
        tables = {row[0] for row in self._rows("select name from sqlite_master where type = 'table'")}
        if missing := sorted(_TABLES - tables):
            raise self._damaged(f"the table {missing[0]} is missing")
        self._has_checksums = any(row[1] == "checksum" for row in self._rows("pragma table_info(answers)"))
        gone = []
        if "owners" in tables:
            with self.reading() as con:
                gone = [number for number, (process, _) in read_owners(con).items() if is_gone(process)]
        if gone or size <= _CHECK_BELOW:
            self.check(rows=bool(gone) or size <= _READ_BELOW)
        if gone and not self.read_only:
            self._forget_owners(gone)

    def _forget_owners(self, gone: Sequence[int]) -> None:
        """They are gone, and left the store whole; what they had claimed is free."""
        with contextlib.suppress(StoreError), self.transaction() as con:  # where it cannot be written, the next one does it
            for number in gone:
                con.execute("delete from claims where owner = ?", (number,))
                con.execute("delete from owners where id = ?", (number,))

    def _problem(self, error: Exception, what: str) -> StoreError:
        """What SQLite says, as an error of ours. (What it says of a damaged store may itself be unreadable.)"""
        if isinstance(error, UnicodeDecodeError):
            return self._damaged("a text in it is none")
        if not isinstance(error, sqlite3.OperationalError) or "decode" in str(error):
            return self._damaged(str(error))
        return StoreError(f"the call store {self.path} cannot be {what}: {error}")

    def _damaged(self, why: str) -> StoreError:
        return StoreError(
            f"the call store {self.path} is damaged: {' '.join(why.replace('*** in database main ***', '').split())}",
            hint=f"nothing was changed. Restore a copy, or rescue what can be read (sqlite3 {self.path.name} .recover) "
            "and keep it: the answers in it were paid for",
        )

    def _enqueue(self, item: _Item) -> None:
        if self.read_only:
            raise StoreError(f"the call store {self.path} was opened for reading only")
        if self._writer is None:
            with self._lock:
                if self._writer is None:
                    self._writer = threading.Thread(target=self._write, name="call store writer", daemon=True)
                    self._writer.start()
        self._queue.put(item)
        if self._failure:
            raise self._failed()

    def _failed(self) -> StoreError:
        """Why nothing is written any more, and how many answers that may cost by now."""
        lost = sum(item.answer for item in list(self._kept))
        hint = "no further calls are made until it can be written"
        if not lost:
            return StoreError(f"the call store {self.path} could not be written: {self._failure}; no answer is lost", hint=hint)
        are = "1 answer" if lost == 1 else f"{lost:,} answers"
        return StoreError(f"{are} could not be written to the call store {self.path}: {self._failure}", hint=hint)

    def _write(self) -> None:
        """The writer thread: one transaction for all that has arrived."""
        con = None
        while True:
            arrived = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(arrived) < _AT_ONCE and isinstance(arrived[-1], _Item):
                    arrived.append(self._queue.get_nowait())
            last = arrived[-1]
            flush = last if isinstance(last, _Flush) else None
            items = [item for item in arrived if isinstance(item, _Item)]
            if flush and self._kept:
                items, self._kept = [*self._kept, *items], []
            elif self._failure:
                self._keep(items)
                items = []
            if items:
                con = con or self._enter()
                self._commit(con, items)
            if flush and flush.done:
                flush.done()
            elif flush:
                break
        if con is not None:
            self._leave(con)
            con.close()

    def _enter(self) -> sqlite3.Connection | None:
        """A connection for writing, after this process has said that it writes here; None where that cannot be."""
        try:
            con = self._connect()
        except StoreError as error:
            self._failure = self._failure or error.message
            return None
        row = (self.owner, *this_process(), microseconds())

        def work(con: sqlite3.Connection) -> None:
            for statement in _ADDED:
                con.execute(statement)
            _add_checksums(con)
            con.execute("insert into owners values (?, ?, ?, ?, ?, ?, ?, 0)", row)

        _, _, failure = _written(con, [_Item(work)])
        if failure is None:
            self._has_checksums = True
            return con
        self._failure = self._failure or str(failure)
        con.close()
        return None

    def _leave(self, con: sqlite3.Connection) -> None:
        """The counterpart: nothing of this process is under way, and what it wrote is whole."""
        with contextlib.suppress(sqlite3.Error):  # it will be seen that the process is gone
            con.execute("begin immediate")
            con.execute("delete from claims where owner = ?", (self.owner,))
            con.execute("delete from owners where id = ?", (self.owner,))
            con.execute("commit")

    def _commit(self, con: sqlite3.Connection | None, items: list[_Item]) -> None:
        if con is None:
            self._keep(items)
            return
        results, refused, error = _written(con, items)
        if error is not None:
            self._failure = self._failure or str(error)
            self._keep(items)
            return
        for number, item in enumerate(items):
            if number in refused and item.refused:
                item.refused(refused[number])
            elif number in results and item.done:
                item.done(results[number])

    def _keep(self, items: list[_Item]) -> None:
        """Keep answers that could not be written; whoever waits for anything else learns that it was not done."""
        self._kept += [item for item in items if item.answer]
        for item in items:
            if item.refused and not item.answer:
                item.refused(self._failed())


class _Flush(NamedTuple):
    """What came before is written, and then this is called; without it, the writer ends."""

    done: Callable[[], None] | None


def _written(con: sqlite3.Connection, items: Sequence[_Item]) -> tuple[dict[int, Any], dict[int, Exception], Exception | None]:
    """Write all or none but those that cannot be stored by their own fault: results, refusals, and what was in the way of all."""
    try:
        return _in_one(con, items), {}, None
    except _UNSTORABLE:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the writer, or what follows is lost unseen
        return {}, {}, error
    refused: dict[int, Exception] = {}
    try:
        return _in_one(con, items, refused), refused, None
    except Exception as error:  # noqa: BLE001 - as above
        return {}, {}, error


def _in_one(con: sqlite3.Connection, items: Sequence[_Item], refused: dict[int, Exception] | None = None) -> dict[int, Any]:
    """One transaction: the results by number. With ``refused``, what cannot be stored by its own fault is put there instead."""
    results: dict[int, Any] = {}
    try:
        con.execute("begin immediate")
        for number, item in enumerate(items):
            if refused is None:
                results[number] = item.work(con)
                continue
            con.execute("savepoint one")
            try:
                results[number] = item.work(con)
            except _UNSTORABLE as error:
                con.execute("rollback to one")
                refused[number] = error
            con.execute("release one")
        con.execute("commit")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            con.execute("rollback")
        raise
    return results


@contextlib.contextmanager
def _transaction(con: sqlite3.Connection, store: CallStore) -> Iterator[None]:
    """All or nothing."""
    try:
        con.execute("begin immediate")
        try:
            yield
        except BaseException:
            con.execute("rollback")
            raise
        con.execute("commit")
    except sqlite3.Error as error:
        raise StoreError(f"the call store {store.path} cannot be written: {error}") from error


def _create(path: Path) -> None:
    """Make an empty store in one step, so that an empty file is never a new store but always a damaged one."""
    new = path.with_name(f"{path.name}.new-{os.getpid()}-{threading.get_ident()}")
    try:
        private_folder(path.parent)
        with open_private(new, "xb"):
            pass
        con = sqlite3.connect(new, isolation_level=None)
        con.executescript(_SCHEMA)
        con.close()
        with contextlib.suppress(FileExistsError):  # another process was first: its store is as good
            os.link(new, path)
    except (OSError, sqlite3.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"the call store {path} cannot be made: {why}", hint=_ELSEWHERE) from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def _add_checksums(con: sqlite3.Connection) -> None:
    """To a store of an earlier version: its answers have none, new ones will."""
    if not any(row[1] == "checksum" for row in con.execute("pragma table_info(answers)")):
        con.execute("alter table answers add column checksum integer")


def _key_of(function: Any, version: Any, payload: Any) -> bytes | None:
    """The key of what is in a row; None where that is damaged."""
    return call_key(function, version, payload) if isinstance(function, str) and isinstance(payload, str) else None


def _in_lists(keys: Sequence[bytes]) -> Iterator[tuple[list[bytes], str]]:
    """Keys in groups of few different sizes (so that SQLite's statements are reused), with as many question marks."""
    for start in range(0, len(keys), _AT_ONCE):
        some = list(keys[start : start + _AT_ONCE])
        size = min(_AT_ONCE, 1 << (len(some) - 1).bit_length())
        some += [some[-1]] * (size - len(some))
        yield some, ",".join("?" * size)
