"""checked_clustering: whether a clustering's settings can work, asked before anything is paid for."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bclust.errors import FunctionError
from bclust.functions import scalar
from udfs.clusterers import check_clustering


@scalar("(name VARCHAR, algorithm VARCHAR, n_clusters VARCHAR, params JSON := NULL) -> VARCHAR", uses=["clusterers"])
def checked_clustering(
    name: Sequence[str], algorithm: Sequence[str], n_clusters: Sequence[str], params: Sequence[str | None]
) -> list[str]:
    """``n_clusters`` of each clustering: 'auto', 'silhouette', a number, or 'found' where the algorithm finds it itself.

    Raises:
        FunctionError: an unknown algorithm, parameter or reduction, or no number; the message names the clustering.
    """
    return [_checked(*row) for row in zip(name, algorithm, n_clusters, params, strict=True)]


def _checked(name: str, algorithm: str, n_clusters: str, params: str | None) -> str:
    try:
        return check_clustering(algorithm, n_clusters, json.loads(params) if params else None)
    except FunctionError as error:
        hint = f"{error.hint + '; ' if error.hint else ''}it is the row {name} of the seed clusterings"
        raise FunctionError(f"clustering {name}: {error.message}", hint=hint) from error
