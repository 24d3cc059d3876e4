"""Seeds that are CSV files, as rows of text."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from bclust.errors import Location, ProjectError

if TYPE_CHECKING:
    from pathlib import Path


def read_seed_csv(path: Path) -> list[dict[str, Any]]:
    """A CSV seed as rows of text; an empty cell is None. Raises ProjectError with file:line."""
    text = path.read_bytes()
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise ProjectError("not UTF-8", where=Location(path, line), hint="save the file as UTF-8") from error
    reader = csv.reader(io.StringIO(decoded, newline=""), strict=True)
    try:
        header = next(reader, [])
        rows = []
        for cells in reader:
            if cells and len(cells) != len(header):
                raise ProjectError(
                    f"{len(cells)} cells where the header has {len(header)}",
                    where=Location(path, reader.line_num),
                    hint="quote a text that holds a comma",
                )
            if cells:
                rows.append({name: cell or None for name, cell in zip(header, cells, strict=True)})
    except csv.Error as error:
        raise ProjectError(f"not CSV: {error}", where=Location(path, reader.line_num)) from error
    if len(set(header)) != len(header) or not header:
        raise ProjectError("the header must name each column once", where=Location(path, 1))
    return rows
