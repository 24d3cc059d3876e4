"""How far a clustering, and each of its clusters, comes back when the rows are drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_ROWS = 10_000  # rows drawn and compared, at most: fewer than a fit has, so what they say errs to the low side


@dataclass(frozen=True)
class Stability:
    """``ari`` between the clustering and each of its repetitions (resamples,), and ``jaccard`` of each cluster (k,)."""

    ari: np.ndarray
    jaccard: np.ndarray


def stability(
    rows: np.ndarray, labels: np.ndarray, again: Callable[[np.ndarray, int], np.ndarray], resamples: int, random_state: int
) -> Stability:
    """Bootstrap a clustering (Hennig 2007): draw as many rows with replacement, group those, assign all rows, compare.

    ``rows`` (n, dims) in an order that does not depend on how they came, ``labels`` (n,) their clusters, -1 is noise.
    ``again(drawn, seed)`` groups the drawn rows and returns a label for each of ``rows``. A cluster's Jaccard index is that with
    the most similar cluster of a repetition, averaged: above .75 it is stable, below .6 not to be trusted, at .5 dissolved.
    """
    import numpy as np
    from sklearn.metrics import adjusted_rand_score

    draw = np.random.default_rng(random_state)
    scores, jaccards = [], []
    for _ in range(resamples):
        seed = int(draw.integers(2**31))
        found = again(rows[np.sort(draw.integers(0, len(rows), len(rows)))], seed)
        scores.append(adjusted_rand_score(labels, found))
        jaccards.append(_best_jaccard(labels, found))
    return Stability(np.array(scores), np.mean(jaccards, axis=0))


def _best_jaccard(labels: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(k,): for each cluster of ``labels``, its Jaccard index with the cluster of ``found`` that it shares most with."""
    import numpy as np

    k, m = int(labels.max()) + 1, int(found.max()) + 1
    both = (labels >= 0) & (found >= 0)
    shared = np.bincount(labels[both] * np.int64(m) + found[both], minlength=k * m).reshape(k, m)
    sizes = np.bincount(labels[labels >= 0], minlength=k)[:, None]
    others = np.bincount(found[found >= 0], minlength=m)[None, :]
    best: np.ndarray = (shared / np.maximum(sizes + others - shared, 1)).max(axis=1, initial=0.0)
    return best
