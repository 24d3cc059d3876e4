"""OPTICS (Ankerst et al. 1999): clusters are valleys in the distance at which each row is reached; the rest is noise.

In hundreds of dimensions everything is far apart, so the rows are reduced first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_ROWS = 2_000  # the cost grows faster than the rows
REDUCE = {"method": "spectral", "dims": 30}


def fit(
    embeddings: np.ndarray,
    *,
    n_clusters: int,  # noqa: ARG001 - found, not asked for
    random_state: int,  # noqa: ARG001 - nothing is drawn
    min_samples: int | None = None,
    min_cluster_size: int | None = None,
    xi: float = 0.05,
    max_eps: float | None = None,
) -> np.ndarray:
    """Group the rows; ``xi`` is the steepness that bounds a valley, ``max_eps`` the farthest reach that counts.

    ``min_samples`` (rows that make a place dense) is by default one row in 100, at least 10; ``min_cluster_size`` is as many,
    at least 20. Fewer rows than two such clusters have are one cluster.
    """
    import numpy as np
    from sklearn.cluster import OPTICS
    from threadpoolctl import threadpool_limits

    n = len(embeddings)
    dense = min_samples or max(10, n // 100)
    smallest = min_cluster_size or max(20, dense)
    if n < 2 * max(dense, smallest):
        return np.zeros(n, dtype=np.int32)
    model = OPTICS(min_samples=dense, min_cluster_size=smallest, xi=xi, max_eps=np.inf if max_eps is None else max_eps)
    # Equal rows are reached at distance 0. Each step is too small for threads: they would wait for each other.
    with np.errstate(divide="ignore", invalid="ignore"), threadpool_limits(1):
        return np.asarray(model.fit_predict(embeddings))
