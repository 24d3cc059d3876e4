"""The two files in which a call store travels: JSONL and Parquet, both lossless.

A record is ``{kind: answer | error, ...}`` with the columns below; the key is not in it, since it follows from the rest. In JSONL
a value that is no text is ``value_base64``, in Parquet it is ``value_bytes``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import time
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from bclust.calls.answers import amount, count, shown
from bclust.errors import StoreError
from bclust.private_files import open_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

ANSWER_COLUMNS = (
    "function", "version", "lane", "finish_reason", "input_tokens", "output_tokens", "cost_usd", "latency_ms",
    "answered_at", "detail", "payload", "value",
)  # fmt: skip
ERROR_COLUMNS = ("function", "version", "lane", "attempts", "failed_at", "error", "payload")
_TEXTS = ("function", "lane", "payload", "error")
_TEXTS_OR_NOTHING = ("finish_reason", "detail")
_COUNTS = ("version", "attempts", "answered_at", "failed_at")
_TIMES = ("answered_at", "failed_at")
_DAY = 86_400  # seconds by which the clocks of two machines may differ
_COUNTS_OR_NOTHING = ("input_tokens", "output_tokens")
_AMOUNTS_OR_NOTHING = ("cost_usd", "latency_ms")


def write_records(path: Path, records: Iterable[dict[str, Any]], *, force: bool = False) -> None:
    """Write records in the format that the suffix of ``path`` names: all of them, or no file at all.

    The file is its owner's alone. One that exists is replaced only with ``force``; a link is replaced, never followed.

    Raises:
        StoreError: the suffix is unknown, the file exists, or it cannot be written.
    """
    write = {".jsonl": _write_jsonl, ".parquet": _write_parquet}.get(path.suffix) or _unknown_suffix(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if not path.parent.is_dir():
            raise StoreError(f"there is no folder {path.parent}", hint="make it first")
        if path.is_dir() and not path.is_symlink():
            raise StoreError(f"{path} is a folder")
        if os.path.lexists(path) and not force:
            raise _exists(path)
        with open_private(temporary, "xb") as file:
            write(file, records)
            file.flush()
            os.fsync(file.fileno())
        if force:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # unlike a renaming, it fails where a file has come up meanwhile
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _exists(path: Path) -> StoreError:
    return StoreError(f"{path} exists already; nothing was written", hint="name a new file, or replace it: --force")


def read_records(path: Path, kinds: Callable[[str], str | None] = lambda _: None) -> Iterator[dict[str, Any]]:
    """The records of a file, each one checked. ``kinds`` says of a function what its answers are, where that is known: "text",
    "bytes" or "vector".

    Raises:
        StoreError: anything that is no record, with the line (in Parquet, the row; both count from 1) and what is wrong with it.
    """
    if not path.is_file():
        raise StoreError(f"there is no file {path}")
    read: Callable[[Path], Iterator[tuple[int, dict[str, Any]]]]
    read = {".jsonl": _read_jsonl, ".parquet": _read_parquet}.get(path.suffix) or _unknown_suffix(path)
    at = 0
    try:
        for number, record in read(path):
            at = number
            yield _checked(record, kinds)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or _first_line(error)}") from error
    except _Fault as fault:
        place = f"{path}:{fault.number or at}" if path.suffix == ".jsonl" else f"{path}: row {at}"
        raise StoreError(f"{place}: not a record of a call store: {fault}", hint="nothing of this file was added") from fault


class _Fault(Exception):
    """What is wrong with a record; ``number`` is its line where the record could not even be read."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


def _unknown_suffix(path: Path) -> Any:
    raise StoreError(f"cannot tell the format of {path.name}", hint="use a name that ends with .jsonl or .parquet")


# --- JSONL -----------------------------------------------------------------------------------------------------


def _write_jsonl(file: Any, records: Iterable[dict[str, Any]]) -> None:
    for record in records:
        if isinstance(record.get("value"), bytes):
            record["value_base64"] = b64encode(record.pop("value")).decode()
        file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line.decode())
                if isinstance(record, dict) and record.get("value_base64") is not None:
                    if record.get("value") is not None:
                        raise _Fault("it has both value and value_base64", number)
                    record["value"] = b64decode(record.pop("value_base64"), validate=True)
            except UnicodeDecodeError as error:
                raise _Fault("it is not UTF-8", number) from error
            except RecursionError as error:
                raise _Fault("it is nested too deeply", number) from error
            except (ValueError, TypeError) as error:
                raise _Fault(_first_line(error), number) from error
            yield number, record


# --- Parquet ---------------------------------------------------------------------------------------------------


def _write_parquet(file: Any, records: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    schema = pa.schema(
        {"kind": text, "function": text, "version": whole, "lane": text, "payload": text, "value": text,
         "value_bytes": pa.binary(), "finish_reason": text, "input_tokens": whole, "output_tokens": whole, "cost_usd": real,
         "latency_ms": real, "answered_at": whole, "detail": text, "error": text, "attempts": whole, "failed_at": whole}
    )  # fmt: skip
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        batch: list[dict[str, Any]] = []
        for record in records:
            if isinstance(record.get("value"), bytes):
                record["value_bytes"] = record.pop("value")
            batch.append(record)
            if len(batch) == 10_000:
                writer.write_table(_table(batch, schema))
                batch = []
        writer.write_table(_table(batch, schema))


def _table(batch: list[dict[str, Any]], schema: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.Table.from_pylist(batch, schema)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise StoreError(
            f"an answer of the store does not fit into Parquet: {_first_line(error)}", hint="bclust calls verify; or export JSONL"
        ) from error


def _read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = itertools.count(1)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(10_000):
                for record in batch.to_pylist():
                    value_bytes = record.pop("value_bytes", None)
                    if value_bytes is not None:
                        record["value"] = value_bytes
                    yield next(numbers), record
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise StoreError(
            f"{path}: not an export of a call store, or damaged: {_first_line(error)}", hint="nothing of this file was added"
        ) from error


# --- what a record is ------------------------------------------------------------------------------------------


def _checked(record: Any, kinds: Callable[[str], str | None]) -> dict[str, Any]:
    """A record with all its columns, each of its type. Raises _Fault, in words."""
    if not isinstance(record, dict):
        raise _Fault("it is no object with names")
    columns = {"answer": ANSWER_COLUMNS, "error": ERROR_COLUMNS}.get(str(record.get("kind")))
    if columns is None:
        raise _Fault(f"unknown kind {shown(record.get('kind'))}")
    for column in columns:
        if column not in record:
            raise _Fault(f"it has no {column}")
    found = {"kind": record["kind"], **{column: _column(column, record[column]) for column in columns}}
    if found["kind"] == "answer":
        _check_value(found["value"], kinds(found["function"]))
    return found


def _column(name: str, value: Any) -> Any:
    if name == "value":
        wanted, right = "text or base64", value is None or isinstance(value, str | bytes)
    elif name in _TEXTS or name in _TEXTS_OR_NOTHING:
        right = isinstance(value, str) if name in _TEXTS else isinstance(value, str | None)
        wanted = "text"
    elif value is None and name in (*_COUNTS_OR_NOTHING, *_AMOUNTS_OR_NOTHING):
        return None
    elif name in _AMOUNTS_OR_NOTHING:
        number = amount(value)
        wanted, right, value = "a finite number from 0 on", number is not None, value if number is None else number
    else:
        right = isinstance(value, int) and count(value) is not None
        wanted = "a whole number from 0 on"
        if right and name in _TIMES and value > (time.time() + _DAY) * 1e6:
            wanted, right = "a time that has been (microseconds since 1970)", False
    if not right:
        raise _Fault(f"{name} is {shown(value)}, not {wanted}")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _Fault(f"{name} holds half a character (a lone surrogate)") from error
    if name == "detail" and value is not None:
        try:
            json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _Fault(f"detail is {shown(value)}, not JSON") from error
    return value


def _check_value(value: str | bytes | None, kind: str | None) -> None:
    """Raises _Fault for an answer of another kind than the function gives."""
    if value is None or kind is None:
        return
    if isinstance(value, str) != (kind == "text"):
        raise _Fault(f"value is {'text' if isinstance(value, str) else 'bytes'}, and this function's answers are {kind}")
    if kind == "vector" and len(value) % 4:
        raise _Fault(f"value has {len(value)} bytes, which is no vector of 4-byte numbers")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
