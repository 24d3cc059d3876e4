"""sign_flip_test: is the mean of paired differences zero, and in which interval does it lie?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bclust.errors import FunctionError
from bclust.functions import scalar
from udfs._looks import critical_value, over_looks
from udfs._score_interval import paired_score_interval

if TYPE_CHECKING:
    import numpy as np

ENUMERATED = 14  # all ways to sign the differences are counted where they have up to 2^14 different sums
VARIED = 12  # differences that are not zero from which on their own variance is relied upon
TIED = 1e-6  # sums that are nearer to each other are equal but for rounding


@scalar(
    "(differences DOUBLE[], counts BIGINT[], n BIGINT, looks INTEGER := 1, level DOUBLE := 0.95, null_variance DOUBLE := NULL)"
    " -> STRUCT(estimate DOUBLE, low DOUBLE, high DOUBLE, p_value DOUBLE, standard_error DOUBLE)",
    nulls=True,
)
def sign_flip_test(
    differences: Sequence[Sequence[float] | None],
    counts: Sequence[Sequence[int] | None],
    n: Sequence[int | None],
    looks: Sequence[int],
    level: Sequence[float],
    null_variance: Sequence[float | None],
) -> dict[str, Any]:
    """The mean of ``n`` paired differences in -1 to 1, with the two-sided p-value of flipping their signs and its interval.

    ``differences`` are the distinct values and ``counts`` how often each occurs; zeros may be left out (``n`` counts them).

    * The p-value (mid-p: half of what ties with the observed sum) is exact where the differences that are not zero are few, or
      of few sizes: up to 2^14 different sums. Where all are equal in size it is McNemar's mid-p. Else it is the saddlepoint
      approximation.
    * Flipping signs takes for granted that differences are as likely to one side as to the other. They are not where one side
      is coherent and the other is not, both near 0 or 1: 12 behaviors at .85 show something false in 10 to 14 of 100
      studies. So where more than 12 differences vary, the p-value is the larger of that of the signs and that of the t
      statistic with the skewness taken out (Hall 1992, "On the removal of skewness by transformation").
    * The interval inverts the same statistics, sum(d) / sqrt(sum(d^2)) with Tango's (1998) variance where all that is not zero
      is equal in size (it does not collapse where hardly anything differs), with the sample's and Hall's where more than 12
      differences vary, and the wider of both variances between (Tango's for as many discordant pairs as have the same sum and
      sum of squares).
      It excludes 0 exactly where the p-value is at most 1 - ``level``.
    * ``null_variance``: the variance of a difference if both sides had the same rate, where the caller knows it. A side that is
      near 0 or 1 by chance varies little by chance, too. So where not all differences are whole (those that are have only one
      variance, if there is no difference), the p-value is no less than that of the mean by this variance (a score test, with
      Student's distribution for n - 1).
    * ``looks``: how often a growing study is looked at. The p-value and the interval hold over that many equally spaced looks
      (Pocock 1977; repeated intervals of Jennison and Turnbull 1989).

    All NULL for n = 0.

    Raises:
        FunctionError: lists that differ in length, a difference outside -1 to 1, more differences than n, or looks below 1.
    """
    import numpy as np

    pairs = _flat(differences, counts, n)
    if min(looks, default=1) < 1:
        raise FunctionError(f"looks must be 1 or more, not {min(looks)}")
    moments = pairs.moments()
    p = np.maximum(_p_values(pairs, moments), _score_p(moments, np.array(null_variance, dtype=np.float64)))
    by_signs = over_looks(p, np.asarray(looks))
    z = critical_value(np.asarray(level, dtype=np.float64), np.asarray(looks))
    low, high = _interval(moments, z)
    low, high = _agreeing(low, high, moments, by_signs, 1 - np.asarray(level, dtype=np.float64))
    known = moments.n > 0
    columns = {"estimate": moments.mean, "low": low, "high": high, "p_value": by_signs, "standard_error": moments.error}
    return {name: [float(v) if k else None for v, k in zip(values, known, strict=True)] for name, values in columns.items()}


class _Moments(NamedTuple):
    """What the statistic needs, one number a row: the sums of d, d^2, d^3, d^4 and |d|, and how many d there are."""

    n: np.ndarray
    nonzero: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    cubes: np.ndarray
    fourths: np.ndarray
    sizes: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        import numpy as np

        return self.total / np.maximum(self.n, 1)

    @property
    def deviations(self) -> np.ndarray:
        """The sum of squared deviations from the mean."""
        import numpy as np

        return np.maximum(self.squares - self.n * self.mean**2, 0.0)

    @property
    def varied(self) -> np.ndarray:
        """Whether the differences that are not zero differ in size (where they do not, Cauchy and Schwarz's sides are equal)."""
        return self.squares**2 < self.nonzero * self.fourths * (1 - 1e-6)

    @property
    def many(self) -> np.ndarray:
        """Whether so many differ in size that their own variance and skewness are relied upon."""
        return self.varied & (self.nonzero > VARIED)

    @property
    def skewness(self) -> np.ndarray:
        """The third central moment by the cube of the standard deviation, shrunk by what chance alone makes (James and Stein)."""
        import numpy as np

        n, spread = np.maximum(self.n, 1), self.spread
        third = self.cubes / n - 3 * self.mean * self.squares / n + 2 * self.mean**3
        skewness = np.where(spread > 0, third / np.where(spread > 0, spread, 1.0) ** 3, 0.0)
        return skewness * np.maximum(0.0, 1 - (6 / n) / np.maximum(skewness**2, 1e-12))

    @property
    def spread(self) -> np.ndarray:
        """The standard deviation about the mean, of n."""
        import numpy as np

        return np.sqrt(self.deviations / np.maximum(self.n, 1))

    @property
    def error(self) -> np.ndarray:
        """The standard error of the mean; 0 where nothing varies."""
        import numpy as np

        return np.sqrt(self.deviations / np.maximum(self.n * (self.n - 1), 1))


class _Pairs(NamedTuple):
    """All rows in one: value, how often, and the row that each belongs to."""

    values: np.ndarray
    counts: np.ndarray
    row: np.ndarray
    n: np.ndarray

    def moments(self) -> _Moments:
        import numpy as np

        def per_row(weights: np.ndarray) -> np.ndarray:
            return np.bincount(self.row, weights=weights, minlength=len(self.n))

        v, c = self.values, self.counts
        sums = (
            per_row(c * (v != 0)),
            per_row(c * v),
            per_row(c * v**2),
            per_row(c * v**3),
            per_row(c * v**4),
            per_row(c * np.abs(v)),
        )
        return _Moments(self.n, *sums)


def _flat(
    differences: Sequence[Sequence[float] | None], counts: Sequence[Sequence[int] | None], n: Sequence[int | None]
) -> _Pairs:
    import numpy as np

    lengths = np.array([len(values or ()) for values in differences])
    values = np.fromiter((v for row in differences for v in row or ()), dtype=np.float64, count=int(lengths.sum()))
    weights = [c for row in counts for c in row or ()]
    if len(weights) != len(values) or [len(c or ()) for c in counts] != lengths.tolist():
        raise FunctionError("sign_flip_test needs as many counts as differences")
    if (np.abs(values) > 1 + 1e-9).any():
        raise FunctionError("sign_flip_test needs differences from -1 to 1")
    pairs = _Pairs(
        values,
        np.array(weights, dtype=np.float64),
        np.repeat(np.arange(len(lengths)), lengths),
        np.array([0 if k is None else k for k in n], dtype=np.float64),
    )
    if (np.bincount(pairs.row, weights=pairs.counts, minlength=len(pairs.n)) > pairs.n).any():
        raise FunctionError("sign_flip_test got more differences than n")
    return pairs


# --- the p-value -----------------------------------------------------------------------------------------------


def _p_values(pairs: _Pairs, moments: _Moments) -> np.ndarray:
    import numpy as np

    varied = moments.varied
    p = np.ones(len(pairs.n))
    equal = ~varied & (moments.nonzero > 0)
    jumps = moments.nonzero[equal]
    p[equal] = _mcnemar_p(jumps, moments.total[equal] / np.sqrt(moments.squares[equal] / jumps))
    order = np.lexsort((np.abs(pairs.values), pairs.row))
    starts = np.searchsorted(pairs.row[order], np.arange(len(pairs.n) + 1))
    many = np.zeros(len(p), dtype=bool)
    for row in np.flatnonzero(varied):
        part = order[starts[row] : starts[row + 1]]
        sizes, counts = _sizes(np.abs(pairs.values[part]), pairs.counts[part])
        if np.log2(counts + 1).sum() <= ENUMERATED:
            p[row] = _enumerated_p(sizes, counts.astype(int), abs(moments.total[row]))
        else:
            many[row] = True
    if many.any():
        p[many] = _saddlepoint_p(pairs, moments, many)
    return np.where(moments.many, np.maximum(p, _unskewed_p(moments)), p)


def _unskewed_p(moments: _Moments) -> np.ndarray:
    """The normal p-value of Hall's (1992) transformation of t, which has hardly any skewness left."""
    import numpy as np
    from scipy.special import ndtr

    n, g = np.maximum(moments.n, 1), moments.skewness
    t = moments.mean / np.where(moments.spread > 0, moments.spread, 1.0)
    transformed = t + g * t**2 / 3 + g**2 * t**3 / 27 + g / (6 * n)
    return np.asarray(2 * ndtr(-np.sqrt(n) * np.abs(transformed)))


def _score_p(moments: _Moments, variance: np.ndarray) -> np.ndarray:
    """The p-value of the mean, given the variance of a difference; 0 where that is NaN or all differences are whole."""
    import numpy as np
    from scipy.special import stdtr

    n = np.maximum(moments.n, 1)
    part = moments.squares < moments.nonzero * (1 - 1e-9)
    t = moments.mean / np.sqrt(np.maximum(variance, 1e-300) / n)
    return np.where(part & ~np.isnan(variance), 2 * stdtr(np.maximum(n - 1, 1), -np.abs(t)), 0.0)


def _mcnemar_p(jumps: np.ndarray, balance: np.ndarray) -> np.ndarray:
    """McNemar's mid-p of ``jumps`` discordant pairs, one side with ``balance`` more (Fagerland, Lydersen and Laake 2013)."""
    import numpy as np
    from scipy.stats import binom

    fewer = np.rint((jumps - np.abs(balance)) / 2)
    at = binom.pmf(fewer, jumps, 0.5)
    p = np.where(2 * fewer == jumps, 1 - at / 2, 2 * binom.cdf(fewer, jumps, 0.5) - at)
    # below 1e-300 the two terms are rounded apart, and their difference may come out negative
    return np.asarray(np.clip(p, 0.0, 1.0))


def _sizes(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct sizes that are not zero (in ascending order given), and how often each occurs with either sign."""
    import numpy as np

    new = np.flatnonzero(np.diff(values, prepend=-1.0) > TIED)
    kept = values[new] > 0
    return values[new][kept], np.add.reduceat(counts, new)[kept]


def _enumerated_p(sizes: np.ndarray, counts: np.ndarray, observed: float) -> float:
    """The share of all signings whose sum is further from 0 than the observed one; those that tie count half."""
    import numpy as np
    from scipy.stats import binom

    sums, chances = np.zeros(1), np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        negative = np.arange(count + 1)
        sums = (sums[:, None] + size * (count - 2 * negative)).ravel()
        chances = (chances[:, None] * binom.pmf(negative, count, 0.5)).ravel()
    beyond = np.abs(sums) - observed
    # differences are means of a few answers, rounded to nine digits
    return float(chances[beyond > TIED].sum() + 0.5 * chances[np.abs(beyond) <= TIED].sum())


def _saddlepoint_p(pairs: _Pairs, moments: _Moments, rows: np.ndarray) -> np.ndarray:
    """The tail of the flipped sum by Lugannani and Rice (1980): its cumulants are those of sum(log cosh(t d)).

    Without a correction for continuity the formula counts half of what ties, as mid-p does.
    """
    import numpy as np
    from scipy.special import ndtr

    place = np.cumsum(rows) - 1
    kept = rows[pairs.row] & (pairs.values != 0)
    row, size, count = place[pairs.row[kept]], np.abs(pairs.values[kept]), pairs.counts[kept]
    k = int(rows.sum())
    observed, most = np.abs(moments.total[rows]), moments.sizes[rows]
    scale = np.sqrt(moments.squares[rows])

    def per_row(weights: np.ndarray) -> np.ndarray:
        return np.bincount(row, weights=weights, minlength=k)

    inside = observed < most * (1 - 1e-9)
    target = np.where(inside, observed, 0.0)
    low, high = np.zeros(k), np.full(k, 1.0) / scale
    for _ in range(60):  # double until the mean under the tilt is beyond the observed sum
        short = per_row(count * size * np.tanh(high[row] * size)) < target
        if not short.any():
            break
        high = np.where(short, 2 * high, high)
    for _ in range(60):
        tilt = (low + high) / 2
        short = per_row(count * size * np.tanh(tilt[row] * size)) < target
        low, high = np.where(short, tilt, low), np.where(short, high, tilt)
    tilt = (low + high) / 2
    x = tilt[row] * size
    cumulant = per_row(count * (x + np.log1p(np.exp(-2 * x)) - np.log(2)))  # log cosh x, which must not overflow
    variance = per_row(count * size**2 / np.cosh(np.minimum(x, 300)) ** 2)
    w = np.sqrt(np.maximum(2 * (tilt * target - cumulant), 0.0))
    u = tilt * np.sqrt(variance)
    normal = np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi)
    near = (w < 1e-2) | (u < 1e-2)  # both terms grow without bound and cancel
    tail = np.where(near, ndtr(-observed / scale), ndtr(-w) + normal * (1 / np.where(near, 1, u) - 1 / np.where(near, 1, w)))
    p = np.where(inside, 2 * tail, 0.0)
    return np.clip(p, 0.5 ** moments.nonzero[rows], 1.0)  # nothing is rarer than half of the two most extreme signings


# --- the interval ----------------------------------------------------------------------------------------------


def _interval(moments: _Moments, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The score interval where all that is not zero is equal in size, the inverted t statistic where much varies, else both."""
    import numpy as np

    n = np.maximum(moments.n, 1)
    # jumps of one size with the same sum and sum of squares
    size = np.where(moments.sizes > 0, moments.squares / np.maximum(moments.sizes, 1e-300), 1.0)
    jumps, balance = moments.sizes / size, moments.total / size
    low, high = (end * size for end in paired_score_interval((jumps + balance) / 2, (jumps - balance) / 2, n, z))
    # where all are of one size and sign, some may be larger that were not drawn: as many as Wilson's interval of 0 of n allows
    unseen = np.where(np.abs(balance) > n * (1 - 1e-9), (1 - size) * z**2 / (n + z**2), 0.0)
    low, high = low - unseen * (balance < 0), high + unseen * (balance > 0)
    enough = n > z**2
    half = np.where(enough, z * np.sqrt(moments.deviations / (n * np.where(enough, n - z**2, 1.0))), 2.0)
    fine = moments.many
    low = np.where(fine, 1.0, low)
    high = np.where(fine, -1.0, high)
    low = np.where(moments.varied, np.minimum(low, moments.mean - half), low)
    high = np.where(moments.varied, np.maximum(high, moments.mean + half), high)
    below, above = _unskewed_interval(moments, z)
    low, high = np.where(fine, np.minimum(low, below), low), np.where(fine, np.maximum(high, above), high)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def _unskewed_interval(moments: _Moments, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both means at which Hall's transformed t is ``z`` from zero; the transformation is a cube, and so is undone by a root."""
    import numpy as np

    n, g = np.maximum(moments.n, 1), moments.skewness
    flat = np.abs(g) < 1e-6  # the root of hardly more than 1 would be rounded away

    def mean_at(distance: np.ndarray) -> np.ndarray:
        root = np.cbrt(1 + g * (distance - g / (6 * n)))
        return moments.mean - moments.spread * np.where(flat, distance, 3 * (root - 1) / np.where(flat, 1.0, g))

    return mean_at(z / np.sqrt(n)), mean_at(-z / np.sqrt(n))


def _agreeing(
    low: np.ndarray, high: np.ndarray, moments: _Moments, p: np.ndarray, alpha: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move the end that lies towards 0 so that the interval excludes 0 exactly where p <= alpha.

    The two statistics are equal at 0; what moves the end is that the exact p-value is not quite the normal one.
    """
    import numpy as np
    from scipy.special import ndtri

    mean = moments.mean
    shown = (p <= alpha) & (mean != 0)
    z, z_alpha = -ndtri(np.maximum(p, 1e-300) / 2), -ndtri(alpha / 2)
    barely = mean * (1 - z_alpha / np.maximum(z, z_alpha + 1e-9))
    low = np.where(shown & (mean > 0) & (low <= 0), barely, np.where(~shown, np.minimum(low, 0.0), low))
    high = np.where(shown & (mean < 0) & (high >= 0), barely, np.where(~shown, np.maximum(high, 0.0), high))
    return low, high
