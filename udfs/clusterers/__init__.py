"""Clusterers: how vectors are grouped. One file, one clusterer; the name of the file is its ``algorithm`` in bclust.yml.

A file has a function ``fit`` as ``Clusterer`` says, whose keyword parameters are the settings a user may write. Everything
around it is done here, once for all: rows are put on the unit sphere and into an order that does not depend on how they
came, ``reduce`` is applied, clusters are numbered by size, and every row gets the cluster whose centroid has the highest
cosine with it, whether it was in the sample or not. A clusterer in full:

    def fit(embeddings, *, n_clusters, random_state):
        corners = np.random.default_rng(random_state).choice(len(embeddings), n_clusters, replace=False)
        return (embeddings @ embeddings[corners].T).argmax(axis=1)

A method that finds the number of clusters itself and leaves rows out as noise also sets ``MAX_ROWS``: it sees so many
distinct rows, and every other row follows the nearest of them, or is noise beyond the reach of that cluster. It may set
``REDUCE``, the reduction that it needs unless another one is asked for.
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

REDUCTIONS = ("pca", "spectral", "umap")


class Clusterer(Protocol):
    """A module in this folder."""

    def fit(self, embeddings: np.ndarray, *, n_clusters: int, random_state: int, **params: Any) -> np.ndarray:
        """Group float32 (n, dims) rows: at least two distinct ones, of length 1 (unless reduced), canonically ordered.

        Returns labels (n,), 0 to k-1, or -1 for noise. ``n_clusters`` is between 1 and the number of distinct rows; methods
        that find the number themselves ignore it. Raises FunctionError or ValueError for settings that cannot work.
        """
        ...


def check_clustering(algorithm: str, n_clusters: str, params: Mapping[str, Any] | None) -> str:
    """Whether these settings can be tried, before there is anything to cluster.

    Returns ``n_clusters``: 'auto', 'silhouette' or a number; 'found' for an algorithm that finds the number itself.

    Raises:
        FunctionError: an unknown algorithm, parameter or reduction, or no number.
    """
    module = member("clusterers", algorithm)
    if params is not None and not isinstance(params, Mapping):
        raise FunctionError(f"params of {algorithm} must be keys with values, not {params!r}")
    _settings(module, algorithm, params)
    asked = n_clusters.strip()
    if hasattr(module, "MAX_ROWS"):
        return "found"
    if asked not in ("auto", "silhouette") and not (asked.isdecimal() and int(asked)):
        raise FunctionError(f"n_clusters {n_clusters!r} is not a number above 0", hint="write a number, 'auto' or 'silhouette'")
    return asked


def _settings(module: Any, algorithm: str, params: Mapping[str, Any] | None) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    """The algorithm's own settings, and the reduction to do before."""
    settings = {key: value for key, value in (params or {}).items() if value is not None or key == "reduce"}
    reduction = settings.pop("reduce", getattr(module, "REDUCE", None))
    check_parameters(settings, module.fit, f"clustering algorithm {algorithm}")
    if reduction is not None:
        _check_reduction(reduction)
    return settings, reduction


def fit_clusterer(
    embeddings: np.ndarray,
    algorithm: str,
    *,
    n_clusters: int,
    params: Mapping[str, Any] | None = None,
    random_state: int = 42,
) -> dict[str, np.ndarray]:
    """Fit a clusterer to (n, dims) vectors.

    Returns ``labels`` (n,), those that ``assign`` gives, in the order of the rows given; ``centroids`` (k, dims), unit
    vectors, and ``sizes`` (k,), largest cluster first; for methods with noise also ``landmarks`` (m, dims),
    ``landmark_labels`` (m,) and ``reach`` (k,), the lowest cosine at which a row still follows a landmark.

    Raises:
        FunctionError: the vectors are unusable, or a setting is unknown or cannot work; the message names the algorithm.
    """
    import numpy as np

    module = member("clusterers", algorithm)
    settings, reduction = _settings(module, algorithm, params)
    rows = unit_rows(embeddings)
    if not len(rows):
        raise FunctionError("there is no vector to cluster", hint="is the table of embeddings empty, or every embedding NULL?")
    if n_clusters < 1:
        raise FunctionError(f"n_clusters must be 1 or more, not {n_clusters}")
    order = canonical_order(rows)
    rows = rows[order]
    seen, distinct = rows, rows[first_of_equals(rows)]
    if hasattr(module, "MAX_ROWS"):
        seen = distinct[np.sort(np.random.default_rng(random_state).permutation(len(distinct))[: module.MAX_ROWS])]
    if len(distinct) == 1:
        found = np.zeros(len(seen), dtype=np.int32)
    else:
        try:
            points = _reduced(seen, reduction, random_state) if reduction else seen
            found = module.fit(points, n_clusters=min(n_clusters, len(distinct)), random_state=random_state, **settings)
        except (TypeError, ValueError) as error:
            raise FunctionError(
                f"clustering algorithm {algorithm}: {error}", hint=f"settings given: {dict(params or {})}, {len(rows)} rows"
            ) from error
    fitted = _with_noise(seen, found) if hasattr(module, "MAX_ROWS") else {"centroids": centroids_of(rows, found)}
    numbered, labels = _numbered(rows, fitted)
    return {**numbered, "labels": labels[np.argsort(order)]}


def assign(embeddings: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
    """int32 (m,): the cluster of each row: that of the nearest landmark where the fit has them, else of the nearest centroid.

    Raises:
        FunctionError: a vector is zero or NaN, or of another length than those of the fit.
    """
    import numpy as np

    rows = unit_rows(embeddings)
    dims = fitted["centroids"].shape[1]
    if rows.shape[1] != dims and len(rows):
        raise FunctionError(
            f"vectors of {rows.shape[1]} numbers cannot go to clusters of vectors of {dims}",
            hint="fit and assign with the same embedder",
        )
    if "landmarks" not in fitted:
        return nearest(rows, fitted["centroids"]).astype(np.int32)
    at = nearest(rows, fitted["landmarks"])
    labels = fitted["landmark_labels"][at]
    cosine = np.einsum("ij,ij->i", rows, fitted["landmarks"][at])
    reach = np.append(fitted["reach"], -1.0)[labels]  # the last entry is that of noise
    return np.where(cosine < reach, -1, labels).astype(np.int32)


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


def first_of_equals(rows: np.ndarray) -> np.ndarray:
    """bool (n,): in canonically ordered rows, the first of each group of equal ones."""
    import numpy as np

    return np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])


def _check_reduction(reduction: Any) -> tuple[str, int]:
    """The method and the dimensions of a reduction. Raises FunctionError for one that cannot work."""
    if not isinstance(reduction, Mapping):
        raise FunctionError(f"reduce must be {{method, dims}}, not {reduction!r}", hint="write: reduce: {method: pca, dims: 50}")
    for key in reduction:
        if key not in ("method", "dims"):
            raise FunctionError(f"reduce has no key {key!r}", hint=did_you_mean(key, ("method", "dims")))
    method, dims = reduction.get("method", "pca"), int(reduction.get("dims", 50))
    if method not in REDUCTIONS or dims < 1:
        raise FunctionError(f"reduce: method {method!r} with dims {dims} cannot work", hint=did_you_mean(method, REDUCTIONS))
    return str(method), dims


def _reduced(rows: np.ndarray, reduction: Mapping[str, Any], random_state: int) -> np.ndarray:
    """The rows in fewer dimensions: centred, projected and of length 1 again (pca, spectral), or laid out by umap."""
    import numpy as np

    method, dims = _check_reduction(reduction)
    if method == "umap":
        return _umap(rows, dims, random_state)
    if method == "pca":
        from sklearn.decomposition import PCA

        points = PCA(min(dims, *rows.shape), random_state=random_state).fit_transform(rows)
    else:
        from udfs.clusterers.spectral import spectral_coordinates

        points = spectral_coordinates(rows, dims)
    return (points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _umap(rows: np.ndarray, dims: int, random_state: int) -> np.ndarray:
    import warnings

    if len(rows) <= dims + 2:
        raise FunctionError(f"reduce: umap cannot lay out {len(rows)} rows in {dims} dimensions", hint="fewer dims")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts of it that need TensorFlow, and of graphs in several pieces
        try:
            from umap import UMAP
        except ModuleNotFoundError as error:
            raise FunctionError(
                "reduce: umap needs the package umap-learn", hint="pip install 'bclust[umap]', or method: pca"
            ) from error
        model = UMAP(n_components=dims, n_neighbors=min(15, len(rows) - 1), min_dist=0.0, random_state=random_state, n_jobs=1)
        return cast("np.ndarray", model.fit_transform(rows))


def _with_noise(landmarks: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Centroids, and the reach of each cluster: the widest gap between a member and the next one, as a cosine."""
    import numpy as np

    centroids = centroids_of(landmarks, labels)
    reach = np.empty(len(centroids), dtype=np.float32)
    for i in range(len(centroids)):
        members = landmarks[labels == i]
        cosine = members @ members.T
        np.fill_diagonal(cosine, -1)
        reach[i] = cosine.max(axis=1).min() if len(members) > 1 else 1
    reach -= np.float32(1e-5)  # rounding must not cut off the row at the edge
    return {"centroids": centroids, "landmarks": landmarks, "landmark_labels": labels.astype(np.int32), "reach": reach}


def _numbered(rows: np.ndarray, fitted: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The fit with its clusters numbered by size, then by their first member, and the labels of the rows; no empty cluster."""
    import numpy as np

    labels = assign(rows, fitted)
    ids, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    ids, first, sizes = ids[ids >= 0], first[ids >= 0], sizes[ids >= 0]
    ranked = np.lexsort((first, -sizes))
    number = np.full(len(fitted["centroids"]) + 1, -1, dtype=np.int32)  # the last entry is what the label -1 finds
    number[ids[ranked]] = np.arange(len(ids))
    numbered = {"centroids": fitted["centroids"][ids[ranked]], "sizes": sizes[ranked].astype(np.int32)}
    if "landmarks" in fitted:
        numbered["landmarks"] = fitted["landmarks"]
        numbered["landmark_labels"] = number[fitted["landmark_labels"]]
        numbered["reach"] = fitted["reach"][ids[ranked]]
    return numbered, number[labels]
