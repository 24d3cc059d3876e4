"""PCA: the two directions of most variance. Linear, immediate, and the same for every seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def fit(embeddings: np.ndarray, *, random_state: int) -> dict[str, np.ndarray]:  # noqa: ARG001 - nothing is drawn
    """Project (n, dims) rows on their first two principal axes."""
    mean, axes = principal_axes(embeddings, 2)
    return {"places": (embeddings - mean) @ axes, "mean": mean, "axes": axes}


def place(embeddings: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
    """(m, 2): the rows on the axes of the fit."""
    places: np.ndarray = (embeddings - fitted["mean"]) @ fitted["axes"]
    return places


def principal_axes(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean (dims,) and the first principal axes (dims, count), strongest first; zeros where there are fewer.

    From the covariance matrix, so that the cost in rows is one product; the largest entry of each axis is positive.
    """
    import numpy as np

    mean = rows.mean(axis=0)
    centred = (rows - mean).astype(np.float64)
    variances, vectors = np.linalg.eigh(centred.T @ centred)
    strongest = np.argsort(variances)[::-1][: min(count, *rows.shape)]
    real = strongest[variances[strongest] > 1e-12 * max(variances.max(), 1e-12)]
    chosen = vectors[:, real]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(len(real))])
    axes = np.zeros((rows.shape[1], count), dtype=np.float32)
    axes[:, : len(real)] = chosen
    return mean, axes
