"""mcnemar_midp: do two paired yes-or-no answers differ?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bclust.errors import FunctionError
from bclust.functions import scalar

if TYPE_CHECKING:
    import numpy as np


@scalar("(only_a BIGINT, only_b BIGINT) -> DOUBLE")
def mcnemar_midp(only_a: np.ndarray, only_b: np.ndarray) -> np.ndarray:
    """The mid-p value of McNemar's exact test, two-sided, from the two discordant counts; 1 where there are none.

    Fagerland, Lydersen and Laake 2013: close to the nominal level, where the exact test is too strict.

    Raises:
        FunctionError: a count below 0.
    """
    import numpy as np
    from scipy.stats import binom

    only_a, only_b = np.asarray(only_a), np.asarray(only_b)
    if (only_a < 0).any() or (only_b < 0).any():
        raise FunctionError("mcnemar_midp(only_a, only_b) needs counts of 0 or more")
    fewer, n = np.minimum(only_a, only_b), only_a + only_b
    at = binom.pmf(fewer, n, 0.5)
    p: np.ndarray = np.where(only_a == only_b, 1 - at / 2, 2 * binom.cdf(fewer, n, 0.5) - at)
    # below 1e-300 the two terms are rounded apart, and their difference may come out negative
    return np.where(n == 0, 1.0, np.clip(p, 0.0, 1.0))
