"""transform_text: the vector of a text, by an embedder that was fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bclust.functions import Context, member, scalar
from udfs.fit_embedder import embedder_row

if TYPE_CHECKING:
    import numpy as np


@scalar("(text VARCHAR, embedder VARCHAR, fitted FITTED) -> FLOAT[]", reads=["embedders"], uses=["embedders"])
def transform_text(
    text: Sequence[str], embedder: Sequence[str], fitted: Mapping[str, np.ndarray], *, context: Context
) -> np.ndarray:
    """The vector of each text (n, dims), of length 1, by the embedder fitted in ``fit_embedder``.

    Raises:
        FunctionError: no such embedder.
    """
    row = embedder_row(embedder[0], context)  # one fitted value belongs to one embedder
    vectors: np.ndarray = member("embedders", row["provider"]).transform(text, fitted)
    return vectors
