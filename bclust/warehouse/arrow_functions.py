"""From Python to Arrow: a function of the project as DuckDB calls it, Arrow columns in, one Arrow column out."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, Protocol

from bclust.errors import FunctionError
from bclust.project.sql_types import FITTED, arrow_type, struct_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import pyarrow as pa

    from bclust.functions import Context
    from bclust.project.registry import Function
    from bclust.project.sql_types import Signature


class Keeper(Protocol):
    """Where fitted values are kept, so that SQL can pass them by a handle."""

    def keep(self, arrays: Mapping[str, np.ndarray]) -> str: ...

    def kept(self, handle: str) -> Mapping[str, np.ndarray]: ...


def arrow_function(function: Function, context: Context, keeper: Keeper) -> Callable[..., pa.Array]:
    """Wrap a scalar or column function for DuckDB: Arrow columns in, one Arrow column out."""
    assert function.signature is not None
    extra = {"context": context} if "context" in inspect.signature(function.target).parameters else {}
    run: Callable[..., Any] = _run_rows if function.kind == "column" else _run_chunk
    signature, target = function.signature, function.target
    if function.spec is not None and function.spec.nulls:
        run = _run_with_nulls

    def wrapped(*columns: Any) -> pa.Array:
        arrays = [c.combine_chunks() if hasattr(c, "combine_chunks") else c for c in columns]
        return run(target, signature, arrays, keeper, extra)

    return wrapped


def _run_with_nulls(target: Any, signature: Signature, arrays: list[Any], _: Keeper, extra: dict[str, Any]) -> pa.Array:
    return _to_arrow(target(*[a.to_pylist() for a in arrays], **extra), arrow_type(signature.returns))


def _run_rows(target: Any, signature: Signature, arrays: list[Any], keeper: Keeper, extra: dict[str, Any]) -> pa.Array:
    import pyarrow as pa

    required = [i for i, p in enumerate(signature.parameters) if p.default is None]
    results: list[Any] = []
    for row in range(len(arrays[0])):
        if any(not arrays[i][row].is_valid for i in required):
            results.append(None)
            continue
        arguments = [_cell(a, row, p.type, keeper) for a, p in zip(arrays, signature.parameters, strict=True)]
        results.append(_kept(target(*arguments, **extra), signature.returns, keeper))
    return pa.array(results, arrow_type(signature.returns))


def _run_chunk(target: Any, signature: Signature, arrays: list[Any], keeper: Keeper, extra: dict[str, Any]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    result_type = arrow_type(signature.returns)
    n = len(arrays[0])
    valid = np.ones(n, dtype=bool)
    for array, parameter in zip(arrays, signature.parameters, strict=True):
        if parameter.default is None:
            valid &= np.asarray(array.is_valid())
    by_handle = [i for i, p in enumerate(signature.parameters) if p.type == FITTED]
    groups = _groups(arrays, by_handle, valid)
    pieces, order = [], []
    for rows in groups:
        picked = arrays if len(rows) == n else [a.take(pa.array(rows)) for a in arrays]
        values = [_chunk(a, p.type, keeper) for a, p in zip(picked, signature.parameters, strict=True)]
        piece = _to_arrow(target(*values, **extra), result_type)
        if len(by_handle) == len(arrays):  # nothing but fitted values: one result for all rows that share them
            piece = piece.take(pa.array(np.zeros(len(rows), dtype=np.int64)))
        pieces.append(piece)
        order.append(rows)
    missing = np.flatnonzero(~valid)
    if len(missing):
        pieces.append(pa.nulls(len(missing), result_type))
        order.append(missing)
    if len(pieces) == 1:
        return pieces[0]
    return pa.concat_arrays(pieces).take(pa.array(np.argsort(np.concatenate(order), kind="stable")))


def _groups(arrays: list[Any], by_handle: list[int], valid: np.ndarray) -> list[np.ndarray]:
    """Row numbers to call together: all valid rows, or those that share the same fitted values."""
    import numpy as np

    rows = np.flatnonzero(valid)
    if not by_handle or not len(rows):
        return [rows] if len(rows) else []
    codes = np.zeros(len(valid), dtype=np.int64)
    for i in by_handle:
        encoded = arrays[i].dictionary_encode()
        codes = codes * (len(encoded.dictionary) + 1) + np.asarray(encoded.indices.fill_null(len(encoded.dictionary)))
    return [rows[codes[rows] == code] for code in np.unique(codes[rows])]


def _chunk(array: Any, type_: str, keeper: Keeper) -> Any:
    """One chunk of a column as its function wants it."""
    if type_ == FITTED:
        return keeper.kept(array[0].as_py())
    if type_ in ("FLOAT[]", "DOUBLE[]"):
        return matrix(array)
    if type_ in ("INTEGER", "BIGINT", "FLOAT", "DOUBLE", "BOOLEAN") and array.null_count == 0:
        return array.to_numpy(zero_copy_only=False)
    return array.to_pylist()


def _cell(array: Any, row: int, type_: str, keeper: Keeper) -> Any:
    """One value of a column of lists as its function wants it."""
    value = array[row]
    if not value.is_valid:
        return None
    if type_ == FITTED:
        return keeper.kept(value.as_py())
    if type_ == "JSON":
        return json.loads(value.as_py())
    if type_ in ("FLOAT[][]", "DOUBLE[][]"):
        return matrix(value.values)
    if type_ in ("FLOAT[]", "DOUBLE[]", "INTEGER[]", "BIGINT[]") and value.values.null_count == 0:
        return value.values.to_numpy(zero_copy_only=False)
    return value.as_py()


def matrix(vectors: Any) -> np.ndarray:
    """An Arrow list of equally long vectors as a 2-D array (rows, dims), without a copy where there is no gap.

    Raises:
        FunctionError: the vectors differ in length, or one is NULL or holds NULL.
    """
    import numpy as np

    n = len(vectors)
    if n == 0:
        return np.zeros((0, 0), dtype=np.float32)
    if vectors.null_count:
        raise FunctionError(
            f"{vectors.null_count} of {n} vectors are NULL", hint="filter them first: where embedding is not null"
        )
    lengths = np.diff(vectors.offsets.to_numpy()) if hasattr(vectors, "offsets") else np.full(n, vectors.type.list_size)
    if len(lengths) and lengths.min() != lengths.max():
        raise FunctionError(
            f"vectors of mixed length: {int(lengths.min())} to {int(lengths.max())} numbers",
            hint="one embedder gives one length; group by embedder",
        )
    flat = vectors.flatten()
    if flat.null_count:
        raise FunctionError(f"{flat.null_count} numbers inside the vectors are NULL")
    return flat.to_numpy(zero_copy_only=False).reshape(n, int(lengths[0]))


def _kept(value: Any, type_: str, keeper: Keeper) -> Any:
    """Replace fitted values by handles."""
    if value is None:
        return None
    if type_ == FITTED:
        return keeper.keep(value)
    fields = dict(struct_fields(type_))
    if FITTED in fields.values():
        return {k: _kept(v, fields.get(k, ""), keeper) for k, v in value.items()}
    return value


def _to_arrow(values: Any, type_: pa.DataType) -> pa.Array:
    """Whatever a scalar function returned, as one Arrow column of the declared type."""
    import numpy as np
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values.cast(type_) if values.type != type_ else values
    if isinstance(values, dict) and pa.types.is_struct(type_):
        children = [_to_arrow(values[f.name], f.type) for f in type_]
        return pa.StructArray.from_arrays(children, fields=list(type_))
    if isinstance(values, np.ndarray) and values.ndim == 2 and pa.types.is_list(type_):
        offsets = np.arange(0, values.size + 1, max(values.shape[1], 1), dtype=np.int32)
        flat = pa.array(np.ascontiguousarray(values).ravel(), type_.value_type)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
    return pa.array(values, type_)
