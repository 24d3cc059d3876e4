"""cluster_centroids: the centres of fitted clusters, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bclust.functions import scalar

if TYPE_CHECKING:
    import numpy as np


@scalar("(fitted FITTED) -> STRUCT(cluster_id INTEGER, n INTEGER, centroid FLOAT[])[]")
def cluster_centroids(fitted: Mapping[str, np.ndarray]) -> Sequence[list[dict[str, Any]]]:
    """The clusters of a fit: their number, their size in the sample that was fitted, and their mean direction (a unit vector)."""
    pairs = zip(fitted["sizes"].tolist(), fitted["centroids"], strict=True)
    return [[{"cluster_id": i, "n": n, "centroid": centroid} for i, (n, centroid) in enumerate(pairs)]]
