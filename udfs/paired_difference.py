"""paired_difference: the interval of the difference of two shares that were measured on the same items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import scalar

if TYPE_CHECKING:
    import numpy as np


@scalar("(only_a BIGINT, only_b BIGINT, n BIGINT, level DOUBLE := 0.95) -> STRUCT(low DOUBLE, high DOUBLE)")
def paired_difference(only_a: np.ndarray, only_b: np.ndarray, n: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    """Tango's score interval of the share of a minus the share of b over n pairs (Tango 1998).

    It needs the discordant counts alone, keeps to -1 and 1, and does not collapse where there are none. From -1 to 1 for n = 0.

    Raises:
        FunctionError: counts that are negative or exceed n, or a level not between 0 and 1.
    """
    import numpy as np
    from scipy.special import ndtri

    a, b, n, level = (np.asarray(values, dtype=np.float64) for values in (only_a, only_b, n, level))
    if ((a < 0) | (b < 0) | (a + b > n)).any() or not ((level > 0) & (level < 1)).all():
        raise FunctionError(
            "paired_difference(only_a, only_b, n, level) needs counts with only_a + only_b <= n and 0 < level < 1"
        )
    z = ndtri((1 + level) / 2)
    estimate = (a - b) / np.maximum(n, 1)
    low = _crossing(a, b, n, z, estimate, -np.ones_like(n))
    high = _crossing(a, b, n, -z, estimate, np.ones_like(n))
    return {"low": np.where(n > 0, low, -1.0), "high": np.where(n > 0, high, 1.0)}


def _crossing(
    a: np.ndarray, b: np.ndarray, n: np.ndarray, target: np.ndarray, inside: np.ndarray, outside: np.ndarray
) -> np.ndarray:
    """Where the score falls to ``target`` between the estimate (score 0) and the end of the scale, by bisection."""
    import numpy as np

    for _ in range(60):
        middle = (inside + outside) / 2
        within = np.abs(_score(a, b, n, middle)) < np.abs(target)
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return inside


def _score(a: np.ndarray, b: np.ndarray, n: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Tango's statistic for a true ``difference``: the discordant share is its maximum-likelihood value under it."""
    import numpy as np

    linear = -a - b + (2 * n - a + b) * difference
    constant = -b * difference * (1 - difference)
    share_b = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0)) - linear) / (4 * np.maximum(n, 1))
    variance = n * (2 * share_b + difference * (1 - difference))
    shift = a - b - n * difference
    with np.errstate(divide="ignore", invalid="ignore"):
        score = shift / np.sqrt(np.maximum(variance, 0))
    return np.where(shift == 0, 0.0, score)
