"""linkage: the tree of clusters, by Ward's method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import column

if TYPE_CHECKING:
    import numpy as np


@column(
    "(centroids FLOAT[][], sizes INTEGER[])"
    " -> STRUCT(node_id INTEGER, left_id INTEGER, right_id INTEGER, height DOUBLE, n INTEGER)[]"
)
def linkage(centroids: np.ndarray, sizes: np.ndarray) -> list[dict[str, Any]]:
    """Ward's tree over k centroids (k, dims): k - 1 merges. Leaves are 0 to k-1 in the order given, merges are k to 2k-2.

    ``height`` is Ward's distance between the two parts (scipy's), ``n`` the members of both. One centroid has no merge.

    Raises:
        FunctionError: not one size for each centroid, or a centroid with NaN.
    """
    import numpy as np
    from scipy.cluster import hierarchy

    k = len(centroids)
    if len(sizes) != k:
        raise FunctionError(f"{k} centroids but {len(sizes)} sizes")
    if not np.isfinite(centroids).all():
        raise FunctionError("a centroid holds NaN or infinity")
    if k < 2:
        return []
    n = [int(size) for size in sizes]
    merges = []
    for left, right, height, _ in hierarchy.ward(centroids.astype(np.float64)).tolist():
        n.append(n[int(left)] + n[int(right)])
        merges.append({"node_id": len(n) - 1, "left_id": int(left), "right_id": int(right), "height": height, "n": n[-1]})
    return merges
