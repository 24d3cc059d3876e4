"""HDBSCAN (Campello, Moulavi and Sander 2013): what stays together as the density asked for rises; the rest is noise.

In hundreds of dimensions everything is far apart, so the rows are reduced first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_ROWS = 3_000
REDUCE = {"method": "spectral", "dims": 30}


def fit(
    embeddings: np.ndarray,
    *,
    n_clusters: int,  # noqa: ARG001 - found, not asked for
    random_state: int,  # noqa: ARG001 - nothing is drawn
    min_cluster_size: int | None = None,
    min_samples: int | None = None,
    cluster_selection_method: str = "eom",
    cluster_selection_epsilon: float = 0.0,
) -> np.ndarray:
    """Group the rows.

    ``min_cluster_size`` is by default one row in 200, at least 5; fewer rows than two such clusters have are one cluster.
    ``cluster_selection_method``: 'eom' for the most persistent clusters, 'leaf' for the finest.
    """
    import numpy as np
    from sklearn.cluster import HDBSCAN

    n = len(embeddings)
    smallest = min_cluster_size or max(5, n // 200)
    if n < 2 * smallest:
        return np.zeros(n, dtype=np.int32)
    model = HDBSCAN(
        min_cluster_size=smallest,
        min_samples=min_samples,
        cluster_selection_method=cluster_selection_method,
        cluster_selection_epsilon=cluster_selection_epsilon,
        copy=True,
    )
    return np.asarray(model.fit_predict(embeddings.astype(np.float64)))
