"""rank_auc: how well scores tell members from others, with an interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bclust.functions import column

if TYPE_CHECKING:
    import numpy as np


@column("(scores DOUBLE[], members BOOLEAN[]) -> STRUCT(auc DOUBLE, low DOUBLE, high DOUBLE)")
def rank_auc(scores: np.ndarray, members: list[bool]) -> dict[str, float] | None:
    """Area under the ROC curve of ``scores`` (n numbers) for ``members`` (n flags), ties counting one half.

    The 95 % interval is DeLong's (DeLong, DeLong and Clarke-Pearson 1988), cut to 0 and 1; where no pair is out of order its
    variance is 0, and Wilson's with the smaller of the two numbers serves (van Dantzig's bound of the variance). NULL without
    both a member and another.
    """
    import numpy as np

    flags = np.asarray(members, dtype=bool)
    inside, outside = np.asarray(scores)[flags], np.asarray(scores)[~flags]
    if not len(inside) or not len(outside):
        return None
    wins = (inside[:, None] > outside).astype(float) + 0.5 * (inside[:, None] == outside)
    auc = float(wins.mean())
    spread = 0.0
    for placements in (wins.mean(axis=1), wins.mean(axis=0)):
        if len(placements) > 1:
            spread += float(placements.var(ddof=1)) / len(placements)
    if spread == 0.0:
        from scipy.stats import binomtest

        few = min(len(inside), len(outside))
        interval = binomtest(round(auc * few), few).proportion_ci(method="wilson")
        return {"auc": auc, "low": float(interval.low), "high": float(interval.high)}
    margin = 1.959964 * spread**0.5
    return {"auc": auc, "low": max(0.0, auc - margin), "high": min(1.0, auc + margin)}
