"""fit_clusters: group a bounded sample of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import column
from udfs._rows import canonical_order, unit_rows
from udfs._stability import MAX_ROWS, Stability, stability
from udfs.clusterers import assign, check_clustering, fit_clusterer

if TYPE_CHECKING:
    import numpy as np

SCORED_ROWS = 2_000  # the silhouette needs all distances of the rows it is taken over


@column(
    "(embeddings FLOAT[][], algorithm VARCHAR, n_clusters VARCHAR, params JSON := NULL, random_state INTEGER := 42,"
    " resamples INTEGER := 0, name VARCHAR := NULL)"
    " -> STRUCT(fitted FITTED, n_clusters INTEGER, n_sample INTEGER, silhouette DOUBLE, stability DOUBLE,"
    " stability_low DOUBLE, stability_high DOUBLE, jaccards DOUBLE[], labels INTEGER[])",
    uses=["clusterers"],
)
def fit_clusters(
    embeddings: np.ndarray,
    algorithm: str,
    n_clusters: str,
    params: Mapping[str, Any] | None,
    random_state: int,
    resamples: int | None = 0,
    name: str | None = None,
) -> dict[str, Any]:
    """Group the vectors (n, dims) with a clusterer of ``udfs/clusterers/``; the fit serves ``assign_cluster``.

    ``n_clusters`` is a number, or 'silhouette' for the number with the highest mean silhouette (Rousseeuw 1987). ``params``
    holds the algorithm's own settings, and ``reduce: {method: pca | spectral | umap, dims}`` for a reduction before. The clusters
    found (and their number) may be fewer: there are never more than distinct rows. ``silhouette`` (cosine, over at most 2,000
    seeded rows without noise) is NULL for one cluster.

    ``stability`` is the mean ARI of the clustering with ``resamples`` repetitions on rows drawn anew, ``stability_low`` and
    ``stability_high`` the lowest and the highest, ``jaccards`` the mean best Jaccard index of each cluster (Hennig 2007); NULL
    for fewer than two clusters, or without resamples. ``name`` is what an error calls the clustering.

    Raises:
        FunctionError: unusable vectors, an unknown algorithm or setting, or settings that cannot work.
    """
    try:
        checked = check_clustering(algorithm, n_clusters, params)
        if checked == "auto":
            raise FunctionError("n_clusters 'auto' must be a number here", hint="resolve it first: auto_clusters(count(*))")
        if checked == "silhouette":
            k = _best_k(embeddings, algorithm, params, random_state)
        else:
            k = 1 if checked == "found" else int(checked)
        fitted = fit_clusterer(embeddings, algorithm, n_clusters=k, params=params, random_state=random_state)
        labels = fitted.pop("labels")
        repeated = _repeated(embeddings, labels, algorithm, k, params, resamples or 0, random_state)
    except FunctionError as error:
        if name is None:
            raise
        hint = error.hint or f"see the row {name} of the seed clusterings"
        raise FunctionError(f"clustering {name}: {error.message}", hint=hint) from error
    return {
        "fitted": fitted,
        "n_clusters": len(fitted["sizes"]),
        "n_sample": len(labels),
        "silhouette": silhouette(embeddings, labels, random_state),
        "stability": float(repeated.ari.mean()) if repeated else None,
        "stability_low": float(repeated.ari.min()) if repeated else None,
        "stability_high": float(repeated.ari.max()) if repeated else None,
        "jaccards": repeated.jaccard if repeated else None,
        "labels": labels,
    }


def _repeated(
    embeddings: np.ndarray,
    labels: np.ndarray,
    algorithm: str,
    k: int,
    params: Mapping[str, Any] | None,
    resamples: int,
    random_state: int,
) -> Stability | None:
    """The stability of a clustering over a bounded, seeded part of the rows; None where there is nothing to compare."""
    import numpy as np

    if resamples < 1 or len(np.unique(labels[labels >= 0])) < 2:
        return None
    rows = unit_rows(embeddings)
    order = canonical_order(rows)
    if len(order) > MAX_ROWS:
        order = order[np.sort(np.random.default_rng(random_state).permutation(len(order))[:MAX_ROWS])]
    rows = rows[order]

    def again(drawn: np.ndarray, seed: int) -> np.ndarray:
        return assign(rows, fit_clusterer(drawn, algorithm, n_clusters=k, params=params, random_state=seed))

    return stability(rows, labels[order], again, resamples, random_state)


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
