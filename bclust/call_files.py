"""The two files in which a call store travels: JSONL and Parquet, both lossless.

A record is ``{kind: answer | error, ...}`` with the columns below; the key is not in it, since it follows from the rest.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from bclust.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

ANSWER_COLUMNS = (
    "function", "version", "lane", "finish_reason", "input_tokens", "output_tokens", "cost_usd", "latency_ms",
    "answered_at", "detail", "payload", "value",
)  # fmt: skip
ERROR_COLUMNS = ("function", "version", "lane", "attempts", "failed_at", "error", "payload")


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write records in the format that the suffix of ``path`` names. Raises StoreError for an unknown suffix."""
    write = {".jsonl": _write_jsonl, ".parquet": _write_parquet}.get(path.suffix) or _unknown_suffix(path)
    write(path, records)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file. Raises StoreError, with the line, for anything that is not one."""
    if not path.is_file():
        raise StoreError(f"there is no file {path}")
    read: Callable[[Path], Iterator[dict[str, Any]]]
    read = {".jsonl": _read_jsonl, ".parquet": _read_parquet}.get(path.suffix) or _unknown_suffix(path)
    return read(path)


def _unknown_suffix(path: Path) -> Any:
    raise StoreError(f"cannot tell the format of {path.name}", hint="use a name that ends with .jsonl or .parquet")


def _write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            if isinstance(record.get("value"), bytes):
                record["value_base64"] = b64encode(record.pop("value")).decode()
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
                if "value_base64" in record:
                    record["value"] = b64decode(record.pop("value_base64"), validate=True)
                yield _complete(record)
            except (ValueError, TypeError, KeyError) as error:
                raise StoreError(f"{path}:{number}: not a record of a call store: {error}") from error


def _write_parquet(path: Path, records: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    schema = pa.schema(
        {"kind": text, "function": text, "version": whole, "lane": text, "payload": text, "value": text,
         "value_bytes": pa.binary(), "finish_reason": text, "input_tokens": whole, "output_tokens": whole, "cost_usd": real,
         "latency_ms": real, "answered_at": whole, "detail": text, "error": text, "attempts": whole, "failed_at": whole}
    )  # fmt: skip
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for record in records:
            if isinstance(record.get("value"), bytes):
                record["value_bytes"] = record.pop("value")
            batch.append(record)
            if len(batch) == 10_000:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, schema))


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(path).iter_batches(10_000):
            for record in batch.to_pylist():
                value_bytes = record.pop("value_bytes")
                if value_bytes is not None:
                    record["value"] = value_bytes
                yield _complete(record)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise StoreError(f"{path}: not an export of a call store: {error}") from error


def _complete(record: dict[str, Any]) -> dict[str, Any]:
    """A record with all its columns. Raises KeyError for one that is missing, ValueError for an unknown kind."""
    columns = {"answer": ANSWER_COLUMNS, "error": ERROR_COLUMNS}.get(record["kind"])
    if columns is None:
        raise ValueError(f"unknown kind {record['kind']!r}")
    return {"kind": record["kind"], **{column: record[column] for column in columns}}
