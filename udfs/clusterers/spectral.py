"""Spectral clustering of landmarks (Shi and Malik 2000), read off by pivoted QR (Damle, Minden and Ying 2019).

The graph is made of a bounded sample of distinct rows, so the cost does not grow with the cube of the rows; every row
then joins the group whose mean direction is nearest. Vectors of texts share a common direction, which is taken away first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from udfs.clusterers import centroids_of, nearest

if TYPE_CHECKING:
    import numpy as np


def fit(
    embeddings: np.ndarray, *, n_clusters: int, random_state: int, n_landmarks: int = 1000, n_neighbors: int | None = None
) -> dict[str, np.ndarray]:
    """Cut the nearest-neighbour graph of ``n_landmarks`` rows (at least four for each cluster) into ``n_clusters`` parts.

    ``n_neighbors``: neighbours of each landmark in the graph. By default 1.4 times the landmarks of an average cluster,
    between 10 and 50: fewer cut the graph into pieces, more blur small clusters.
    """
    import numpy as np

    new = np.concatenate([[True], (embeddings[1:] != embeddings[:-1]).any(axis=1)])
    distinct = embeddings[new]
    if n_landmarks < 2:
        raise ValueError(f"n_landmarks must be 2 or more, not {n_landmarks}")
    chosen = np.random.default_rng(random_state).permutation(len(distinct))[: max(n_landmarks, 4 * n_clusters)]
    landmarks = distinct[np.sort(chosen)]
    if n_clusters >= len(landmarks):
        return {"labels": nearest(embeddings, landmarks)}
    neighbors = n_neighbors or int(np.clip(np.ceil(1.4 * len(landmarks) / n_clusters), 10, 50))
    groups = _cut(landmarks - distinct.mean(axis=0), n_clusters, min(max(neighbors, 1), len(landmarks)))
    labels = nearest(embeddings, centroids_of(landmarks, groups))
    return {"labels": nearest(embeddings, centroids_of(embeddings, labels))}


def _cut(landmarks: np.ndarray, n_clusters: int, n_neighbors: int) -> np.ndarray:
    """(m,): the part of each landmark in the normalised cut of the nearest-neighbour graph.

    An edge weighs as much as the two neighbourhoods overlap (Jaccard index, as in PhenoGraph, Levine et al. 2015): an edge
    between two groups then counts little.
    """
    import numpy as np
    from scipy.linalg import eigh

    rows = landmarks / np.maximum(np.linalg.norm(landmarks, axis=1, keepdims=True), 1e-12)
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, np.inf)  # each row is its own first neighbour
    near = np.argpartition(-cosine, n_neighbors - 1, axis=1)[:, :n_neighbors]
    graph = np.zeros(cosine.shape)
    np.put_along_axis(graph, near, 1.0, axis=1)
    common = graph @ graph.T
    graph = (graph + graph.T) / 2 * common / (2 * n_neighbors - common)
    scale = 1 / np.sqrt(graph.sum(axis=1))
    affinity = graph * scale[:, None] * scale
    m = len(rows)
    _, vectors = eigh(affinity, subset_by_index=[m - n_clusters, m - 1], overwrite_a=True, check_finite=False)
    return _read_off(vectors * scale[:, None])


def _read_off(vectors: np.ndarray) -> np.ndarray:
    """Labels from eigenvectors (m, k): rotate them towards the k rows that pivoted QR picks; no start, no iteration."""
    import numpy as np
    from scipy.linalg import qr, svd

    k = vectors.shape[1]
    pivots = qr(vectors.T, mode="r", pivoting=True)[1][:k]
    left, _, right = svd(vectors[pivots].T)
    labels = np.abs(vectors @ (left @ right)).argmax(axis=1)
    return np.unique(labels, return_inverse=True)[1].reshape(-1)
