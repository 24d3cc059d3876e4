"""Spectral clustering of landmarks (Shi and Malik 2000), read off by pivoted QR (Damle, Minden and Ying 2019).

The graph is made of a bounded sample of distinct rows, so the cost does not grow with the cube of the rows; every row
then joins the group whose mean direction is nearest. Vectors of texts share a common direction, which is taken away first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from udfs.clusterers import centroids_of, first_of_equals, nearest

if TYPE_CHECKING:
    import numpy as np

SPARSE_ABOVE = 1_500  # rows; below, all eigenvectors at once are faster


def fit(
    embeddings: np.ndarray, *, n_clusters: int, random_state: int, n_landmarks: int = 1000, n_neighbors: int | None = None
) -> np.ndarray:
    """Cut the nearest-neighbour graph of ``n_landmarks`` rows (at least four for each cluster) into ``n_clusters`` parts.

    ``n_neighbors``: neighbours of each landmark in the graph. By default 1.4 times the landmarks of an average cluster,
    between 10 and 50: fewer cut the graph into pieces, more blur small clusters.
    """
    import numpy as np

    if n_landmarks < 2 or (n_neighbors is not None and n_neighbors < 1):
        raise ValueError(f"n_landmarks {n_landmarks} and n_neighbors {n_neighbors} cannot work")
    distinct = embeddings[first_of_equals(embeddings)]
    chosen = np.random.default_rng(random_state).permutation(len(distinct))[: max(n_landmarks, 4 * n_clusters)]
    landmarks = distinct[np.sort(chosen)]
    if n_clusters >= len(landmarks):
        return nearest(embeddings, landmarks)
    neighbors = n_neighbors or int(np.clip(np.ceil(1.4 * len(landmarks) / n_clusters), 10, 50))
    groups = _read_off(_coordinates(landmarks - distinct.mean(axis=0), n_clusters, neighbors))
    labels = nearest(embeddings, centroids_of(landmarks, groups))
    return nearest(embeddings, centroids_of(embeddings, labels))


def spectral_coordinates(rows: np.ndarray, dims: int, n_neighbors: int = 20) -> np.ndarray:
    """(n, min(dims, n - 1)): Laplacian eigenmaps (Belkin and Niyogi 2003) of at most a few thousand distinct rows."""
    import numpy as np

    count = max(1, min(dims, len(rows) - 1))
    if len(rows) < 3:
        return np.asarray(rows - rows.mean(axis=0))
    return _coordinates(rows - rows.mean(axis=0), count + 1, n_neighbors)[:, :-1]  # the last one is constant


def _coordinates(rows: np.ndarray, count: int, n_neighbors: int) -> np.ndarray:
    """(n, count): the strongest eigenvectors of the normalised nearest-neighbour graph, strongest last.

    An edge weighs as much as the two neighbourhoods overlap (Jaccard index, as in PhenoGraph, Levine et al. 2015): an edge
    between two groups then counts little.
    """
    import numpy as np
    from scipy.linalg import eigh
    from scipy.sparse.linalg import eigsh

    graph = _graph(rows, min(n_neighbors, len(rows)))
    scale = 1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel())
    affinity = graph.multiply(scale[:, None]).multiply(scale).tocsr()
    n = len(rows)
    if n > SPARSE_ABOVE and count < n // 20:
        values, vectors = eigsh(affinity, count, which="LA", v0=np.linspace(1, 2, n))  # a fixed start: the same for every run
        vectors = vectors[:, np.argsort(values)]
    else:
        vectors = eigh(affinity.toarray(), subset_by_index=[n - count, n - 1], overwrite_a=True, check_finite=False)[1]
    return np.asarray(vectors * scale[:, None])


def _graph(rows: np.ndarray, n_neighbors: int) -> Any:
    """Sparse, symmetric (n, n): nearest neighbours by cosine, each edge weighted by the overlap of the neighbourhoods."""
    import numpy as np
    from scipy.sparse import csr_matrix

    n = len(rows)
    unit = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, np.inf)  # each row is its own first neighbour
    near = np.argpartition(-cosine, n_neighbors - 1, axis=1)[:, :n_neighbors]
    ones = np.ones(near.size)
    edges = csr_matrix((ones, near.ravel(), np.arange(0, near.size + 1, n_neighbors)), shape=(n, n))
    both = (edges + edges.T) / 2
    common = both.sign().multiply(edges @ edges.T)
    common.data /= 2 * n_neighbors - common.data
    return both.multiply(common)


def _read_off(vectors: np.ndarray) -> np.ndarray:
    """Labels from eigenvectors (m, k): rotate them towards the k rows that pivoted QR picks; no start, no iteration."""
    import numpy as np
    from scipy.linalg import qr, svd

    k = vectors.shape[1]
    pivots = qr(vectors.T, mode="r", pivoting=True)[1][:k]
    left, _, right = svd(vectors[pivots].T)
    labels = np.abs(vectors @ (left @ right)).argmax(axis=1)
    return np.unique(labels, return_inverse=True)[1].reshape(-1)
