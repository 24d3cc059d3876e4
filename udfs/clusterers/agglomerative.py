"""Agglomerative clustering: merge the two nearest groups until ``n_clusters`` are left (Ward 1963, or average linkage).

Merging needs all distances, so above ``max_rows`` distinct rows k-means first makes that many small groups, and these are merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bclust.errors import FunctionError, did_you_mean
from udfs.clusterers import centroids_of, first_of_equals

if TYPE_CHECKING:
    import numpy as np

LINKAGES = ("ward", "average")


def fit(embeddings: np.ndarray, *, n_clusters: int, random_state: int, linkage: str = "ward", max_rows: int = 2000) -> np.ndarray:
    """Merge rows by ``linkage``: 'ward' (least growth of the variance within) or 'average' (mean cosine distance)."""
    from sklearn.cluster import AgglomerativeClustering

    if linkage not in LINKAGES:
        raise FunctionError(
            f"clustering algorithm agglomerative has no linkage {linkage!r}", hint=did_you_mean(linkage, LINKAGES)
        )
    rows, group = _few(embeddings, max(max_rows, n_clusters), random_state)
    if n_clusters >= len(rows):
        return group
    model = AgglomerativeClustering(n_clusters, linkage=linkage, metric="euclidean" if linkage == "ward" else "cosine")
    labels: np.ndarray = model.fit_predict(rows)
    return labels[group]


def _few(embeddings: np.ndarray, most: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """At most ``most`` rows that stand for all, and for each row the number of the one that stands for it."""
    import numpy as np
    from sklearn.cluster import KMeans

    new = first_of_equals(embeddings)
    if new.sum() <= most:
        return embeddings[new], np.cumsum(new) - 1
    model = KMeans(most // 2, init="random", n_init=1, max_iter=5, random_state=random_state)
    group = np.unique(model.fit_predict(embeddings), return_inverse=True)[1].reshape(-1)
    return centroids_of(embeddings, group), group
