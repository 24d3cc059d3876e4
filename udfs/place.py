"""place: where a vector lies on a fitted map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bclust.functions import scalar
from udfs import projectors

if TYPE_CHECKING:
    import numpy as np


@scalar("(embedding FLOAT[], fitted FITTED) -> STRUCT(x FLOAT, y FLOAT)", uses=["projectors"])
def place(embedding: np.ndarray, fitted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The place of each vector (n, dims) on the map; a vector of the sample that was fitted lies exactly where the fit put it.

    Raises:
        FunctionError: a vector is zero or NaN, or of another length than those of the fit.
    """
    places = projectors.place(embedding, fitted)
    return {"x": places[:, 0], "y": places[:, 1]}
