"""Reading what comes from outside: source files (JSONL, CSV, Parquet) and seeds. Nothing is skipped in silence.

A source becomes rows (source_file, source_line, record as JSON); a line that cannot be one becomes a rejected row with
its file, line and reason.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bclust.errors import ProjectError, did_you_mean
from bclust.project.config import Section, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from bclust.project.nodes import Node

SOURCE_COLUMNS = {"source_file": "VARCHAR", "source_line": "BIGINT", "record": "JSON"}
_SHOWN = 200


@dataclass(frozen=True)
class Rejected:
    """A line that is not a record, and why."""

    file: str
    line: int | None
    reason: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"


@dataclass
class SourceRows:
    """The good rows of a source, and the bad ones."""

    files: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def to_arrow(self) -> pa.Table:
        import pyarrow as pa

        columns = [pa.array(self.files, pa.string()), pa.array(self.lines, pa.int64()), pa.array(self.records, pa.large_string())]
        return pa.table(columns, names=list(SOURCE_COLUMNS))

    @property
    def share_rejected(self) -> float:
        total = len(self.records) + len(self.rejected)
        return len(self.rejected) / total if total else 0.0


def source_files(root: Path, node: Node) -> list[Path]:
    """The files of a source, in a fixed order. Raises ProjectError when a pattern matches none."""
    found: list[Path] = []
    for pattern in node.files:
        matches = sorted(Path(p) for p in glob(str(root / pattern), recursive=True) if Path(p).is_file())  # noqa: PTH207 - ../ is allowed
        if not matches:
            raise ProjectError(
                f"source {node.name}: no file matches {pattern}", where=node.where, hint=f"patterns are relative to {root}"
            )
        found += [m for m in matches if m not in found]
    return found


def files_hash(root: Path, node: Node) -> str:
    """Hash of the names and bytes of a source's files."""
    digest = hashlib.sha256()
    for path in source_files(root, node):
        digest.update(_shown(path, root).encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def read_source(root: Path, node: Node) -> SourceRows:
    """All records of a source, with the lines that are none."""
    rows = SourceRows()
    for path in source_files(root, node):
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise ProjectError(
                f"source {node.name}: cannot read {path.name}", where=node.where, hint=f"known: {', '.join(sorted(READERS))}"
            )
        name = _shown(path, root)
        before = len(rows.records) + len(rows.rejected)
        for line, record, reason, text in reader(path):
            why = reason or _lacks(record, node.required)
            if why:
                rows.rejected.append(Rejected(name, line, why, text[:_SHOWN].encode("utf-8", "replace").decode()))
            else:
                rows.files.append(name)
                rows.lines.append(line)
                rows.records.append(text)
        if len(rows.records) + len(rows.rejected) == before:
            rows.rejected.append(Rejected(name, None, "the file is empty", ""))
    return rows


def _shown(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.as_posix()


def _lacks(record: Mapping[str, Any] | None, required: Sequence[str]) -> str | None:
    """Which required key is missing or empty; ``a|b`` means one of them."""
    for entry in required:
        values = [record.get(key) for key in entry.split("|")] if record else []
        if not any(v is not None and str(v).strip() for v in values):
            return f"no {' or '.join(entry.split('|'))}"
    return None


_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_Line = tuple[int, dict[str, Any] | None, str | None, str]  # line, record, reason why not, the record as JSON text


def _read_jsonl(path: Path) -> Iterator[_Line]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.strip()
            if line:
                yield (number, *_parse(line))


def _parse(line: str) -> tuple[dict[str, Any] | None, str | None, str]:
    if not line.isascii() and any("\ud800" <= c <= "\udfff" for c in line):
        return None, "not UTF-8", line
    try:
        record = json.loads(line, parse_constant=_no_constant)
    except ValueError as error:
        return None, f"not JSON: {error}", line
    if not isinstance(record, dict):
        return None, f"a record must be an object, not {type(record).__name__}", line
    if _HALF.search(line) and any("\ud800" <= c <= "\udfff" for c in json.dumps(record, ensure_ascii=False)):
        return None, "half a character (a lone surrogate, as of an emoji that was cut)", line
    return record, None, line


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _read_csv(path: Path) -> Iterator[_Line]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        header = next(reader, None)
        while header is not None:
            start = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield start, None, f"not CSV: {error}", ""
                continue
            if cells:
                yield (start, *_csv_record(header, cells))


def _csv_record(header: list[str], cells: list[str]) -> tuple[dict[str, Any] | None, str | None, str]:
    text = ",".join(cells)
    if len(cells) != len(header):
        return None, f"{len(cells)} cells where the header has {len(header)}", text
    if any("\ud800" <= c <= "\udfff" for c in text):
        return None, "not UTF-8", text
    record = {name: cell or None for name, cell in zip(header, cells, strict=True)}
    return record, None, json.dumps(record, ensure_ascii=False)


def _read_parquet(path: Path) -> Iterator[_Line]:
    import polars as pl

    for number, record in enumerate(pl.read_parquet(path).iter_rows(named=True), start=1):
        yield number, record, None, json.dumps(record, ensure_ascii=False, default=str)


READERS: dict[str, Callable[[Path], Iterator[_Line]]] = {
    ".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".csv": _read_csv, ".tsv": _read_csv, ".parquet": _read_parquet,
}  # fmt: skip


# --- seeds -----------------------------------------------------------------------------------------------------


def seed_to_arrow(node: Node) -> pa.Table:
    """A seed's rows as a table: declared columns in their types, every other key in the JSON column ``rest``."""
    import pyarrow as pa

    assert node.rows is not None
    rest = node.config.get("rest")
    declared = [c.name for c in node.columns if c.name != rest]
    present = list(dict.fromkeys(key for row in node.rows for key in row))
    own = declared if rest else list(dict.fromkeys([*declared, *present]))
    _check_words(node)
    if declared and not rest:
        _check_keys(node, declared)
    columns = {name: [plain(row.get(name)) for row in node.rows] for name in own}
    if rest:
        columns[rest] = [{k: plain(v) for k, v in row.items() if k not in own} for row in node.rows]
    return pa.table({name: _arrow_column(values, node.declared_types.get(name)) for name, values in columns.items()})


def _check_keys(node: Node, declared: Sequence[str]) -> None:
    """A key of an inline row that is no declared column is a typing error; a CSV's header says itself what there is."""
    for row in node.rows or ():
        for key in row:
            if isinstance(row, Section) and key not in declared:
                hint = did_you_mean(key, declared)
                raise ProjectError(f"seed {node.name} has no column {key!r}", where=row.where(key), hint=hint)


def _check_words(node: Node) -> None:
    """YAML reads yes, no, on and off as true and false: a column of text wants them quoted."""
    for row in node.rows or ():
        for key, value in row.items():
            if isinstance(value, bool) and node.declared_types.get(key, "").lower() == "varchar":
                where = row.where(key) if isinstance(row, Section) else node.where
                raise ProjectError(f"{key} is text, and YAML reads it as {value}", where=where, hint='quote it: "yes"')


def _arrow_column(values: list[Any], data_type: str | None) -> pa.Array:
    import pyarrow as pa

    kinds = {type(v) for v in values if v is not None}
    if data_type or not kinds or kinds & {dict, list} or (len(kinds) > 1 and not kinds <= {int, float}):
        return pa.array(
            [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values], pa.string()
        )
    return pa.array(values)
