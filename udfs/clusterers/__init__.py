"""Clusterers: how vectors are grouped. One file, one clusterer; the name of the file is its ``algorithm`` in bclust.yml.

A file has a function ``fit`` as ``Clusterer`` says, whose keyword parameters are the settings a user may write, and it may
have its own ``assign``. Everything around it is done here, once for all: rows are put on the unit sphere and into an order
that does not depend on how they came, ``reduce`` is applied, clusters are numbered by size, and rows that were not in the
sample go to the cluster whose centroid has the highest cosine with them. A clusterer in full:

    def fit(embeddings, *, n_clusters, random_state):
        corners = np.random.default_rng(random_state).choice(len(embeddings), n_clusters, replace=False)
        return {"labels": (embeddings @ embeddings[corners].T).argmax(axis=1)}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from bclust.errors import FunctionError, did_you_mean
from bclust.functions import member
from udfs._parameters import check_parameters
from udfs._rows import canonical_order, unit_rows

if TYPE_CHECKING:
    import numpy as np

REDUCTIONS = ("pca", "umap")


class Clusterer(Protocol):
    """A module in this folder."""

    def fit(self, embeddings: np.ndarray, *, n_clusters: int, random_state: int, **params: Any) -> dict[str, np.ndarray]:
        """Group float32 (n, dims) rows: at least two distinct ones, unit vectors (unless reduced), canonically ordered.

        Returns ``labels`` (n,), 0 to k-1, or -1 for noise, and whatever arrays its own ``assign`` needs. ``n_clusters`` is
        between 1 and the number of distinct rows; methods that find the number themselves ignore it. Raises FunctionError or ValueError
        for settings that cannot work.
        """
        ...

    def assign(self, embeddings: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
        """Optional: the cluster of each unit row (m, dims), numbered as ``fit`` numbered them; -1 for noise."""
        ...


def fit_clusterer(
    embeddings: np.ndarray,
    algorithm: str,
    *,
    n_clusters: int,
    params: Mapping[str, Any] | None = None,
    random_state: int = 42,
) -> dict[str, np.ndarray]:
    """Fit a clusterer to (n, dims) vectors.

    Returns ``algorithm``; ``labels`` (n,), those that ``assign`` gives, in the order of the rows given; ``centroids``
    (k, dims), unit vectors, and ``sizes`` (k,), largest cluster first; and the algorithm's own arrays.

    Raises:
        FunctionError: the vectors are unusable, or a setting is unknown or cannot work; the message names the algorithm.
    """
    import numpy as np

    module = member("clusterers", algorithm)
    settings = dict(params or {})
    reduction = settings.pop("reduce", None)
    check_parameters(settings, module.fit, f"clustering algorithm {algorithm}")
    rows = unit_rows(embeddings)
    if not len(rows):
        raise FunctionError("there is no vector to cluster", hint="is the table of embeddings empty, or every embedding NULL?")
    if n_clusters < 1:
        raise FunctionError(f"n_clusters must be 1 or more, not {n_clusters}")
    order = canonical_order(rows)
    rows = rows[order]
    distinct = 1 + int((rows[1:] != rows[:-1]).any(axis=1).sum())
    if distinct == 1 or (n_clusters == 1 and not hasattr(module, "assign")):
        found: dict[str, np.ndarray] = {"labels": np.zeros(len(rows), dtype=np.int32)}
    else:
        try:
            points = _reduced(rows, reduction, random_state) if reduction else rows
            found = module.fit(points, n_clusters=min(n_clusters, distinct), random_state=random_state, **settings)
        except (TypeError, ValueError) as error:
            raise FunctionError(
                f"clustering algorithm {algorithm}: {error}", hint=f"settings given: {dict(params or {})}, {len(rows)} rows"
            ) from error
    fitted = _numbered(rows, found, algorithm)
    labels = np.empty(len(rows), dtype=np.int32)
    labels[order] = fitted["labels"]
    return {**fitted, "labels": labels}


def assign(embeddings: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
    """int32 (m,): the cluster of each row by the algorithm's own rule, else by the highest cosine to a centroid; -1 is noise."""
    import numpy as np

    rows = unit_rows(embeddings)
    if not len(fitted["centroids"]):
        return np.full(len(rows), -1, dtype=np.int32)
    if rows.shape[1] != fitted["centroids"].shape[1]:
        raise FunctionError(
            f"vectors of {rows.shape[1]} numbers cannot go to clusters of vectors of {fitted['centroids'].shape[1]}",
            hint="fit and assign with the same embedder",
        )
    module = member("clusterers", str(fitted["algorithm"]))
    if hasattr(module, "assign"):
        return cast("np.ndarray", fitted["number"][module.assign(rows, fitted)])
    return nearest(rows, fitted["centroids"]).astype(np.int32)


def nearest(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(m,): for each row the centroid with the highest inner product (cosine, for unit vectors), a block at a time."""
    import numpy as np

    block = max(1, 2**24 // len(centroids))
    parts = [np.argmax(rows[start : start + block] @ centroids.T, axis=1) for start in range(0, len(rows), block)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def centroids_of(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float32 (k, dims): the mean direction of the rows of each label 0..k-1; labels below 0 are left out."""
    import numpy as np
    from scipy.sparse import csr_matrix

    used = np.flatnonzero(labels >= 0)
    k = int(labels.max(initial=-1)) + 1
    members = csr_matrix((np.ones(len(used), dtype=np.float32), (labels[used], used)), shape=(k, len(rows)))
    sums = members @ rows
    return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _reduced(rows: np.ndarray, reduction: Mapping[str, Any], random_state: int) -> np.ndarray:
    """The rows in fewer dimensions: centred, projected and put on the unit sphere again (pca), or laid out by umap."""
    import numpy as np

    for key in reduction:
        if key not in ("method", "dims"):
            raise FunctionError(f"reduce has no key {key!r}", hint=did_you_mean(key, ("method", "dims")))
    method, dims = reduction.get("method", "pca"), int(reduction.get("dims", 50))
    if method not in REDUCTIONS or dims < 1:
        raise FunctionError(f"reduce: method {method!r} with dims {dims} cannot work", hint=did_you_mean(method, REDUCTIONS))
    if method == "pca":
        from sklearn.decomposition import PCA

        model = PCA(min(dims, *rows.shape), random_state=random_state)
        points = model.fit_transform(rows).astype(np.float32)
        return cast("np.ndarray", points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12))
    try:
        from umap import UMAP
    except ModuleNotFoundError as error:
        raise FunctionError("reduce: umap needs the package umap-learn", hint="pip install 'bclust[umap]', or method: pca") from error
    if len(rows) <= dims + 2:
        raise FunctionError(f"reduce: umap cannot lay out {len(rows)} rows in {dims} dimensions", hint="fewer dims, or method: pca")
    model = UMAP(n_components=dims, n_neighbors=min(15, len(rows) - 1), min_dist=0.0, random_state=random_state, n_jobs=1)
    return cast("np.ndarray", model.fit_transform(rows))


def _numbered(rows: np.ndarray, found: Mapping[str, np.ndarray], algorithm: str) -> dict[str, np.ndarray]:
    """Give every row the label that ``assign`` would give, and number the clusters by size, then by their first member."""
    import numpy as np

    module = member("clusterers", algorithm)
    centroids = centroids_of(rows, np.asarray(found["labels"]))
    labels = module.assign(rows, found) if hasattr(module, "assign") else nearest(rows, centroids)
    ids, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    ids, first, sizes = ids[ids >= 0], first[ids >= 0], sizes[ids >= 0]
    ranked = np.lexsort((first, -sizes))
    number = np.full(len(centroids) + 1, -1, dtype=np.int32)  # the last entry is what the label -1 finds
    number[ids[ranked]] = np.arange(len(ids))
    own = {key: value for key, value in found.items() if key != "labels"}
    shared = {"algorithm": np.array(algorithm), "number": number, "labels": number[labels]}
    return {**own, **shared, "centroids": centroids[ids[ranked]], "sizes": sizes[ranked].astype(np.int32)}
