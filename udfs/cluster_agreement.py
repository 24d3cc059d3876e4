"""cluster_agreement: how much two labellings of the same rows agree."""

from __future__ import annotations

from collections.abc import Sequence

from bclust.errors import FunctionError
from bclust.functions import column


@column("(labels_a VARCHAR[], labels_b VARCHAR[]) -> STRUCT(ari DOUBLE, nmi DOUBLE)")
def cluster_agreement(labels_a: Sequence[str | None], labels_b: Sequence[str | None]) -> dict[str, float | None]:
    """Adjusted Rand index (Hubert and Arabie 1985; 0 by chance, 1 equal) and normalised mutual information (arithmetic mean).

    Rows with NULL on either side are left out; both are NULL where no row is left.

    Raises:
        FunctionError: the lists differ in length.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    if len(labels_a) != len(labels_b):
        raise FunctionError(
            f"cluster_agreement got {len(labels_a)} labels and {len(labels_b)}", hint="list both from the same rows"
        )
    pairs = [(a, b) for a, b in zip(labels_a, labels_b, strict=True) if a is not None and b is not None]
    if not pairs:
        return {"ari": None, "nmi": None}
    a, b = zip(*pairs, strict=True)
    return {"ari": float(adjusted_rand_score(a, b)), "nmi": float(normalized_mutual_info_score(a, b))}
