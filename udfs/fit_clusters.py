"""fit_clusters: group a bounded sample of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import column
from udfs._rows import canonical_order, unit_rows
from udfs.clusterers import finds_number, fit_clusterer

if TYPE_CHECKING:
    import numpy as np

SCORED_ROWS = 2_000  # the silhouette needs all distances of the rows it is taken over


@column(
    "(embeddings FLOAT[][], algorithm VARCHAR, n_clusters VARCHAR, params JSON := NULL, random_state INTEGER := 42)"
    " -> STRUCT(fitted FITTED, n_clusters INTEGER, n_sample INTEGER, silhouette DOUBLE, labels INTEGER[])",
    uses=["clusterers"],
)
def fit_clusters(
    embeddings: np.ndarray, algorithm: str, n_clusters: str, params: Mapping[str, Any] | None, random_state: int
) -> dict[str, Any]:
    """Group the vectors (n, dims) with a clusterer of ``udfs/clusterers/``; the fit serves ``assign_cluster``.

    ``n_clusters`` is a number, or 'silhouette' for the number with the highest mean silhouette (Rousseeuw 1987). ``params``
    holds the algorithm's own settings, and ``reduce: {method: pca | umap, dims}`` for a reduction before. The clusters found
    (and their number) may be fewer: there are never more than distinct rows. ``silhouette`` (cosine, over at most 2,000
    seeded rows without noise) is NULL for one cluster.

    Raises:
        FunctionError: unusable vectors, an unknown algorithm or setting, or settings that cannot work.
    """
    if params is not None and not isinstance(params, Mapping):
        raise FunctionError(f"params of {algorithm} must be keys with values, not {params!r}")
    if finds_number(algorithm):
        k = 1  # it is not asked
    elif n_clusters == "silhouette":
        k = _best_k(embeddings, algorithm, params, random_state)
    elif n_clusters.strip().isdecimal():
        k = int(n_clusters)
    else:
        raise FunctionError(f"n_clusters {n_clusters!r} is not a number", hint="write a number, 'auto' or 'silhouette'")
    fitted = fit_clusterer(embeddings, algorithm, n_clusters=k, params=params, random_state=random_state)
    labels = fitted.pop("labels")
    return {
        "fitted": fitted,
        "n_clusters": len(fitted["sizes"]),
        "n_sample": len(labels),
        "silhouette": silhouette(embeddings, labels, random_state),
        "labels": labels,
    }


def silhouette(embeddings: np.ndarray, labels: np.ndarray, random_state: int) -> float | None:
    """Mean silhouette with cosine distances over a bounded, seeded part of the rows; None where fewer than two clusters are."""
    import numpy as np
    from sklearn.metrics import silhouette_score

    rows = unit_rows(embeddings)
    order = canonical_order(rows)
    order = order[labels[order] >= 0]
    if len(order) > SCORED_ROWS:
        order = order[np.sort(np.random.default_rng(random_state).choice(len(order), SCORED_ROWS, replace=False))]
    if not 2 <= len(np.unique(labels[order])) < len(order):
        return None
    distances = np.clip(1 - rows[order] @ rows[order].T, 0, 2)
    np.fill_diagonal(distances, 0)
    return float(silhouette_score(distances, labels[order], metric="precomputed"))


def _best_k(embeddings: np.ndarray, algorithm: str, params: Mapping[str, Any] | None, random_state: int) -> int:
    """The number of clusters, out of a geometric series up to a tenth of the rows, with the highest silhouette on a sample."""
    import numpy as np

    order = canonical_order(unit_rows(embeddings))
    if len(order) > SCORED_ROWS:
        order = order[np.random.default_rng(random_state).choice(len(order), SCORED_ROWS, replace=False)]
    sample = np.asarray(embeddings)[order]
    most = max(2, min(200, len(sample) // 10))
    best, best_score = 1, -np.inf
    for k in sorted({round(float(k)) for k in np.geomspace(2, most, 15)}):
        labels = fit_clusterer(sample, algorithm, n_clusters=k, params=params, random_state=random_state)["labels"]
        score = silhouette(sample, labels, random_state)
        if score is not None and score > best_score:
            best, best_score = k, score
    return best
