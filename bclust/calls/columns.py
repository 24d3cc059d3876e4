"""Arrow columns in and out of look-up mode: arguments as Python values, stored answers as one column."""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bclust.calls.store import Stored
from bclust.errors import FunctionError
from bclust.project.sql_types import arrow_type, struct_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import pyarrow as pa

    from bclust.project.registry import Function

Row = tuple[Any, ...]  # in the order of Stored
Reading = Callable[[Mapping[str, Sequence[Any]]], Mapping[str, Sequence[Any]]]

_VALUE = Stored._fields.index("value")
_FILLED = {name: i for i, name in enumerate(Stored._fields) if name not in ("key", "value", "checksum")}


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """No search for cycles meanwhile: rows are many tuples and no cycle, and looking through them takes a tenth of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def values(array: Any) -> Iterable[Any]:
    """The values of a column as Python objects."""
    if array.null_count == len(array):
        return itertools.repeat(None, len(array))
    return array.to_pylist()


def null_rows(arrays: Sequence[Any], required: Sequence[int]) -> int:
    """How many rows lack a required argument."""
    incomplete = [arrays[i].is_null() for i in required if arrays[i].null_count]
    if not incomplete:
        return 0
    import pyarrow.compute as pc

    either = incomplete[0]
    for mask in incomplete[1:]:
        either = pc.or_(either, mask)
    return int(either.true_count)


def converter(function: Function, read: Reading | None = None) -> Callable[[list[Row | None], list[str | None] | None], pa.Array]:
    """How stored answers (None: none) and failures become one column of the declared type.

    ``read`` makes columns by name of columns by name: what is stored, and what is said of it.
    """
    import pyarrow as pa

    assert function.signature is not None
    returns = function.signature.returns
    fields = struct_fields(returns)
    if not fields:
        convert = _answer_converter(function.name, returns)
        return lambda stored, _: convert([s[_VALUE] if s else None for s in stored])
    type_ = arrow_type(returns)
    answers = [name for name, _ in fields if name != "error" and name not in _FILLED]
    if not answers or (len(answers) > 1 and read is None):
        raise FunctionError(f"{function.name} must return one field that is the answer, not {len(answers)}: {returns}")
    answer, *made = answers
    convert = _answer_converter(function.name, dict(fields)[answer])
    at = {name: _FILLED.get(name, _VALUE) for name, _ in fields if name != "error" and name not in made}
    nothing: Row = (None,) * len(Stored._fields)

    def to_arrow(stored: list[Row | None], errors: list[str | None] | None) -> pa.Array:
        columns = list(zip(*(s or nothing for s in stored), strict=True)) or [()] * len(nothing)
        said: dict[str, Sequence[Any]] = {name: columns[i] for name, i in at.items()}
        if read is not None:
            said |= read(said)
        children = []
        for field in type_:
            if field.name == "error":
                children.append(pa.array(errors, pa.string()) if errors else pa.nulls(len(stored), pa.string()))
            elif field.name == answer:
                children.append(convert(said[answer]))
            else:
                children.append(pa.array(said[field.name], field.type))
        absent = [s is None for s in stored]
        if errors:
            absent = [missing and error is None for missing, error in zip(absent, errors, strict=True)]
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=pa.array(absent, pa.bool_()))

    return to_arrow


def answer_kind(returns: str) -> str | None:
    """What the answers of a function of this type are in the store: "text", "bytes", "vector", or None where it has not one."""
    fields = struct_fields(returns) or [("answer", returns)]
    types = [type_ for name, type_ in fields if name != "error" and name not in _FILLED]
    kinds = {"VARCHAR": "text", "JSON": "text", "BLOB": "bytes", "FLOAT[]": "vector"}
    return kinds.get(types[0]) if types else None


def _answer_converter(function: str, type_: str) -> Callable[[Sequence[Any]], pa.Array]:
    import pyarrow as pa

    if type_ in ("VARCHAR", "JSON", "BLOB"):
        target = arrow_type(type_)
        return lambda values: pa.array(values, target)
    if type_ == "FLOAT[]":
        return _vectors
    raise FunctionError(f"{function} returns {type_}; an answer is VARCHAR, JSON, BLOB or FLOAT[]")


def _vectors(values: Sequence[bytes | None]) -> pa.Array:
    """float32 bytes as lists of numbers."""
    import numpy as np
    import pyarrow as pa

    lengths = np.fromiter((len(v) // 4 if v else 0 for v in values), np.int32, len(values))
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    numbers: np.ndarray = np.frombuffer(b"".join(v for v in values if v), np.float32)
    mask = pa.array([v is None for v in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers), mask=mask)
