"""cluster_agreement: how much two labellings of the same rows agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bclust.errors import FunctionError
from bclust.functions import column

if TYPE_CHECKING:
    import numpy as np


@column("(labels_a VARCHAR[], labels_b VARCHAR[], counts BIGINT[] := NULL) -> STRUCT(ari DOUBLE, nmi DOUBLE)")
def cluster_agreement(
    labels_a: Sequence[str | None], labels_b: Sequence[str | None], counts: np.ndarray | None = None
) -> dict[str, float | None]:
    """Adjusted Rand index (Hubert and Arabie 1985; 0 by chance, 1 equal) and normalised mutual information (arithmetic mean).

    ``counts`` says how many rows have each pair of labels, where the pairs were counted before (one each by default). Pairs with
    NULL on either side are left out; both are NULL where no row is left.

    Raises:
        FunctionError: the lists differ in length.
    """
    import numpy as np
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    weights = np.ones(len(labels_a), dtype=np.int64) if counts is None else np.asarray(counts, dtype=np.int64)
    if not len(labels_a) == len(labels_b) == len(weights):
        raise FunctionError(
            f"cluster_agreement got {len(labels_a)} labels, {len(labels_b)} and {len(weights)} counts",
            hint="list all from the same rows",
        )
    known = np.array([a is not None and b is not None for a, b in zip(labels_a, labels_b, strict=True)], dtype=bool)
    if not weights[known].sum():
        return {"ari": None, "nmi": None}
    a, b = (
        np.repeat(np.unique([x for x, k in zip(labels, known, strict=True) if k], return_inverse=True)[1], weights[known])
        for labels in (labels_a, labels_b)
    )
    return {"ari": float(adjusted_rand_score(a, b)), "nmi": float(normalized_mutual_info_score(a, b))}
