"""Rows of vectors, made fit for numeric methods: of length 1, and in an order that does not depend on how they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bclust.errors import FunctionError

if TYPE_CHECKING:
    import numpy as np


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    """float32 (n, dims) rows of length 1.

    Raises:
        FunctionError: a vector is zero or holds NaN or infinity (an embedder never gives one; a broken file may).
    """
    import numpy as np

    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = ~(np.isfinite(length) & (length > 0)).ravel()
    if bad.any():
        raise FunctionError(
            f"{int(bad.sum())} of {len(rows)} vectors are zero, NaN or infinite (the first is number {int(bad.argmax()) + 1})",
            hint="look for a failed embedding: filter with `where embedding is not null`, or embed again",
        )
    return cast("np.ndarray", rows / length + np.float32(0))  # + 0 turns -0.0 into 0.0, so that equal rows have equal bytes


def canonical_order(rows: np.ndarray) -> np.ndarray:
    """The order of the rows by their bytes: the same for the same rows, however they came."""
    import numpy as np

    if rows.size == 0:
        return np.arange(len(rows))
    return np.argsort(np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel(), kind="stable")
