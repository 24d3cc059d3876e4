"""assign_cluster: the cluster of a vector, by clusters that were fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bclust.functions import scalar
from udfs import clusterers

if TYPE_CHECKING:
    import numpy as np


@scalar("(embedding FLOAT[], fitted FITTED) -> INTEGER", uses=["clusterers"])
def assign_cluster(embedding: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
    """The cluster of each vector (n, dims), numbered from 0 by size; -1 is noise.

    Raises:
        FunctionError: a vector is zero or NaN, or of another length than those of the fit.
    """
    return clusterers.assign(embedding, fitted)
