"""k-means on the unit sphere (Lloyd; k-means++ seeding, Arthur and Vassilvitskii 2007), by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def fit(
    embeddings: np.ndarray, *, n_clusters: int, random_state: int, n_init: int = 1, max_iter: int = 100, init: str = "k-means++"
) -> np.ndarray:
    """Group the rows around ``n_clusters`` means; ``n_init`` starts, the tightest of which is kept."""
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters, init=init, n_init=n_init, max_iter=max_iter, random_state=random_state)
    labels: np.ndarray = model.fit_predict(embeddings)
    return labels
