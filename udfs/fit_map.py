"""fit_map: lay out a bounded sample of vectors in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import column
from udfs.projectors import fit_projector

if TYPE_CHECKING:
    import numpy as np


@column(
    "(embeddings FLOAT[][], method VARCHAR, params JSON := NULL, random_state INTEGER := 42)"
    " -> STRUCT(fitted FITTED, n_sample INTEGER, method VARCHAR)",
    uses=["projectors"],
)
def fit_map(embeddings: np.ndarray, method: str, params: Mapping[str, Any] | None, random_state: int) -> dict[str, Any]:
    """Lay out the vectors (n, dims) with a projector of ``udfs/projectors/``; the fit serves ``place``.

    Raises:
        FunctionError: unusable vectors, an unknown method or setting, or settings that cannot work.
    """
    if params is not None and not isinstance(params, Mapping):
        raise FunctionError(f"params of the map must be keys with values, not {params!r}")
    settings = {key: value for key, value in (params or {}).items() if value is not None}
    fitted = fit_projector(embeddings, method, params=settings, random_state=random_state)
    return {"fitted": fitted, "n_sample": len(embeddings), "method": method}
