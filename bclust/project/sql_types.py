"""Signatures written in SQL, and what their types are in DuckDB and in Arrow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bclust.errors import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

FITTED = "FITTED"


class Parameter(NamedTuple):
    """One parameter of a function: its SQL type, and its default as SQL text (None: required)."""

    name: str
    type: str
    default: str | None = None


@dataclass(frozen=True)
class Signature:
    """The parameters and the type of a function, in SQL's words."""

    parameters: tuple[Parameter, ...]
    returns: str

    def __str__(self) -> str:
        inner = ", ".join(f"{p.name} {p.type}" + (f" := {p.default}" if p.default else "") for p in self.parameters)
        return f"({inner}) -> {self.returns}"


def parse_signature(text: str) -> Signature:
    """Read a signature written in SQL.

    >>> str(parse_signature("(k BIGINT, level DOUBLE := 0.95) -> STRUCT(low DOUBLE, high DOUBLE)"))
    '(k BIGINT, level DOUBLE := 0.95) -> STRUCT(low DOUBLE, high DOUBLE)'
    """
    match = re.fullmatch(r"\s*\((.*)\)\s*->\s*(.+?)\s*", text, re.DOTALL)
    if not match:
        raise ValueError(f"{text!r} is not of the form (name TYPE, ...) -> TYPE")
    parameters = []
    for part in _split(match.group(1)):
        declared, _, default = part.partition(":=")
        name, _, type_ = declared.strip().partition(" ")
        if not name.isidentifier() or not type_:
            raise ValueError(f"{part.strip()!r} is not of the form name TYPE")
        parameters.append(Parameter(name, " ".join(type_.split()), default.strip() or None))
    return Signature(tuple(parameters), " ".join(match.group(2).split()))


def sql_type(type_: str) -> str:
    """The DuckDB type that stands for a declared type (FITTED is a handle in a VARCHAR)."""
    return re.sub(r"\bFITTED\b", "VARCHAR", type_)


def struct_fields(type_: str) -> list[tuple[str, str]]:
    """Name and type of each field of a STRUCT type; [] for any other type."""
    match = re.fullmatch(r"STRUCT\s*\((.*)\)", type_.strip(), re.IGNORECASE | re.DOTALL)
    if not match:
        return []
    pairs = [part.strip().partition(" ") for part in _split(match.group(1))]
    return [(name, rest.strip()) for name, _, rest in pairs]


def arrow_type(type_: str) -> pa.DataType:
    """The Arrow type of a declared SQL type."""
    import pyarrow as pa

    type_ = type_.strip()
    if type_.endswith("[]"):
        return pa.list_(arrow_type(type_[:-2]))
    fields = struct_fields(type_)
    if fields:
        return pa.struct([(name, arrow_type(t)) for name, t in fields])
    plain = {
        "VARCHAR": pa.string(), "JSON": pa.string(), FITTED: pa.string(), "BLOB": pa.binary(), "BOOLEAN": pa.bool_(),
        "INTEGER": pa.int32(), "BIGINT": pa.int64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64(),
        "TIMESTAMP": pa.timestamp("us"),
    }  # fmt: skip
    if type_ not in plain:
        raise ValueError(f"unknown type {type_}; {did_you_mean(type_, plain)}")
    return plain[type_]


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes."""
    parts, depth, current, quoted = [], 0, "", False
    for char in text:
        quoted ^= char == "'"
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0 and not quoted:
            parts.append(current)
            current = ""
        else:
            current += char
    return [p for p in [*parts, current] if p.strip()]
