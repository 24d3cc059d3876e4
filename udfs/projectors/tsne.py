"""t-SNE (van der Maaten and Hinton 2008), by openTSNE: FFT-accelerated from 10,000 rows on (Linderman et al. 2019).

New rows are placed by their attraction to the rows of the fit, which stay where they are (Poličar et al. 2023).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError, did_you_mean
from udfs._built import built
from udfs.projectors import pca

if TYPE_CHECKING:
    import numpy as np

FEWEST = 8  # with fewer rows there are no neighbourhoods to keep: the map is PCA's
EXAGGERATED = 250  # iterations of the first phase, as in every implementation
INITS = ("pca", "random", "spectral")
_PLACING = threading.Lock()  # openTSNE moves the origin of the fitted map while it places rows


def fit(
    embeddings: np.ndarray,
    *,
    random_state: int,
    perplexity: float | None = None,
    learning_rate: float | str = "auto",
    n_iter: int = 750,
    init: str = "pca",
    angle: float = 0.5,
    early_exaggeration: float = 12.0,
    pca_components: int = 50,
) -> dict[str, np.ndarray]:
    """Lay out (n, dims) rows so that neighbours stay neighbours.

    ``perplexity``: neighbours that count, by default ``perplexity_for(n)``; always at most a third of the other rows.
    ``learning_rate``: 'auto' (n / exaggeration, Belkina et al. 2019) or a number. ``n_iter`` counts both phases, 250 of them
    exaggerated. ``angle``: accuracy of the far forces, 0 exact to 0.8 fast (below 10,000 rows). ``pca_components``: the rows
    are reduced to so many dimensions first.
    """
    import numpy as np
    import openTSNE
    from openTSNE import initialization
    from openTSNE.affinity import joint_probabilities_nn
    from sklearn.neighbors import NearestNeighbors

    if init not in INITS:
        raise FunctionError(f"t-SNE has no init {init!r}", hint=did_you_mean(init, INITS))
    if n_iter < 0 or pca_components < 2 or (perplexity is not None and perplexity <= 0):
        raise FunctionError(f"t-SNE cannot work with n_iter {n_iter}, pca_components {pca_components}, perplexity {perplexity}")
    n = len(embeddings)
    if n < FEWEST:
        return pca.fit(embeddings, random_state=random_state)
    mean, axes = pca.principal_axes(embeddings, pca_components)
    points = (embeddings - mean) @ axes
    width = min(perplexity or perplexity_for(n), (n - 1) / 3)
    search = NearestNeighbors(n_neighbors=int(3 * width), algorithm="brute").fit(points)
    distances, neighbors = search.kneighbors()
    affinities = _affinities(points, joint_probabilities_nn(neighbors, distances, [width], n_jobs=-1))
    if init == "spectral":
        start = initialization.spectral(affinities.P, 2, random_state=random_state)
    else:
        start = points[:, :2] if init == "pca" else np.random.default_rng(random_state).normal(size=(n, 2))
    model = openTSNE.TSNE(
        learning_rate=learning_rate,
        early_exaggeration=early_exaggeration,
        early_exaggeration_iter=min(EXAGGERATED, n_iter),
        n_iter=max(n_iter - EXAGGERATED, 0),
        theta=angle,
        random_state=random_state,
        n_jobs=-1,
    )
    start = start.astype(np.float64)
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    places = np.asarray(model.fit(affinities=affinities, initialization=start))
    return {"places": places, "mean": mean, "axes": axes, "points": points}


def place(embeddings: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
    """(m, 2): each row drawn to its neighbours in the fit, one by one; the fitted rows do not move."""
    import numpy as np

    if "points" not in fitted:
        return pca.place(embeddings, fitted)
    points = (embeddings - fitted["mean"]) @ fitted["axes"]
    with _PLACING:
        known, middle = built(fitted, _fitted_map)
        placed = known.transform(points, perplexity=min(5.0, (len(known) - 1) / 3), k=min(25, len(known)))
    return np.asarray(placed) + middle


def perplexity_for(n: int) -> float:
    """How many neighbours count, by the number of rows.

    >>> [perplexity_for(n) for n in (30, 90, 400, 2_000, 50_000)]
    [10.0, 18.0, 40.0, 20.0, 50.0]
    """
    if n < 50:
        return max(5.0, n / 3)
    if n < 100:
        return max(10.0, n / 5)
    if n < 500:
        return max(30.0, n / 10)
    return min(50.0, n / 100)


def _affinities(points: np.ndarray, probabilities: Any) -> Any:
    """Affinities from neighbours that are known already, in openTSNE's form; exact search serves new rows."""
    from openTSNE.affinity import Affinities, joint_probabilities_nn
    from sklearn.neighbors import NearestNeighbors

    class ExactNeighbors(Affinities):  # type: ignore[misc] # openTSNE is untyped
        def __init__(self) -> None:
            self.P = probabilities
            self.search = NearestNeighbors(algorithm="brute").fit(points)

        def to_new(self, data: np.ndarray, perplexity: float, return_distances: bool = False) -> Any:
            distances, neighbors = self.search.kneighbors(data, max(1, min(len(points), int(3 * perplexity))))
            settings = {"symmetrize": False, "normalization": "point-wise", "n_reference_samples": len(points), "n_jobs": -1}
            found = joint_probabilities_nn(neighbors, distances, [perplexity], **settings)
            return (found, neighbors, distances) if return_distances else found

    return ExactNeighbors()


def _fitted_map(fitted: Mapping[str, np.ndarray]) -> tuple[Any, np.ndarray]:
    """The fitted map as openTSNE's object, and the middle that it is moved by when it places rows."""
    import numpy as np
    from openTSNE import TSNEEmbedding
    from scipy.sparse import csr_matrix

    places = fitted["places"].astype(np.float64)
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    affinities = _affinities(fitted["points"], csr_matrix((len(places), len(places))))
    return TSNEEmbedding(places - middle, affinities, negative_gradient_method="fft", n_jobs=-1), middle
