"""The one paired test and its interval, against scipy, statsmodels, published tables, brute force and planted truth."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from bclust.errors import FunctionError
from bclust.project.registry import load_functions
from tests.conftest import ROOT

FUNCTIONS = {name: function.target for name, function in load_functions(ROOT).items()}


def compare(rows: Iterable[Any], looks: int = 1, null_variance: float | None = None) -> dict[str, np.ndarray]:
    """The test of each row of differences."""
    values, counts, sizes = [], [], []
    for row in rows:
        distinct, times = np.unique(np.round(np.asarray(row, dtype=float), 9), return_counts=True)
        values.append(distinct.tolist())
        counts.append(times.tolist())
        sizes.append(len(row))
    settings = [looks] * len(sizes), [0.95] * len(sizes), [null_variance] * len(sizes)
    found = FUNCTIONS["sign_flip_test"](values, counts, sizes, *settings)
    return {name: np.array(column, dtype=float) for name, column in found.items()}


def pairs(only_a: int, only_b: int, n: int) -> list[float]:
    return [1.0] * only_a + [-1.0] * only_b + [0.0] * (n - only_a - only_b)


# --- one yes or no a unit: McNemar's test and Tango's interval ----------------------------------------------------


def test_with_one_decision_a_unit_it_is_the_midp_that_fagerland_printed() -> None:
    # Fagerland, Lydersen and Laake 2013: airway hyper-responsiveness before and after transplantation, 1 and 7 of 21
    assert compare([pairs(1, 7, 21)])["p_value"][0] == pytest.approx(0.0391, abs=5e-5)


def test_with_one_decision_a_unit_it_is_statsmodels_exact_test_less_half_of_what_was_seen() -> None:
    from scipy.stats import binom
    from statsmodels.stats.contingency_tables import mcnemar

    cases = [(a, b) for a, b in itertools.product(range(9), repeat=2) if a != b]
    found = compare([pairs(a, b, 20) for a, b in cases])["p_value"]
    for p, (a, b) in zip(found, cases, strict=True):
        exact = mcnemar([[5, a], [b, 5]], exact=True).pvalue
        assert p == pytest.approx(exact - binom.pmf(min(a, b), a + b, 0.5))


def test_extreme_counts_give_a_probability() -> None:
    found = FUNCTIONS["sign_flip_test"](
        [[-1.0, 1.0]] * 40, [[1079, k] for k in range(40)], [2000] * 40, [1] * 40, [0.95] * 40, [None] * 40
    )
    assert all(0 <= p <= 1 for p in found["p_value"])  # at 1 against 1079 the formula alone gives -8e-323


def test_no_difference_is_no_evidence_and_the_interval_does_not_collapse() -> None:
    found = compare([pairs(0, 0, 44), pairs(3, 3, 6)])
    assert found["p_value"].tolist() == [1.0, pytest.approx(1 - 0.3125 / 2)]
    assert (found["low"][0], found["high"][0]) == pytest.approx((-0.0803, 0.0803), abs=5e-5)  # by hand: z^2 / (n + z^2)


def test_with_one_decision_a_unit_the_interval_is_tangos() -> None:
    # Fagerland, Lydersen and Laake 2014, airway hyper-responsiveness
    found = compare([pairs(1, 7, 21)])
    assert (found["low"][0], found["high"][0]) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_the_interval_ends_where_the_constrained_score_test_rejects() -> None:
    from scipy.optimize import minimize_scalar

    def z(a: int, b: int, n: int, difference: float) -> float:
        """The score by brute force: the likelihood over the discordant share is maximised numerically."""

        def loss(q: float) -> float:
            cells = np.array([q + difference, q, 1 - 2 * q - difference])
            return -float(np.array([a, b, n - a - b]) @ np.log(np.clip(cells, 1e-300, None)))

        bounds = (max(0, -difference), (1 - difference) / 2)
        q = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x
        return (a - b - n * difference) / np.sqrt(n * (2 * q + difference * (1 - difference)))

    for a, b, n in ((12, 3, 50), (5, 9, 30), (40, 20, 160)):
        found = compare([pairs(a, b, n)])
        assert z(a, b, n, found["low"][0]) == pytest.approx(1.96, abs=2e-3)
        assert z(a, b, n, found["high"][0]) == pytest.approx(-1.96, abs=2e-3)


# --- shares: wordings, samples, groups ---------------------------------------------------------------------------


def test_few_shares_are_tested_exactly_as_scipy_permutes_them() -> None:
    from scipy.stats import permutation_test

    draw = np.random.default_rng(0)
    for n in (6, 9, 12):
        row = 0.9 * draw.integers(-4, 5, n) / 4 + draw.uniform(-0.01, 0.01, n)
        exact = permutation_test((row,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided")
        ties = (np.abs(np.abs(exact.null_distribution) - abs(row.mean())) < 1e-12).mean()
        assert compare([row])["p_value"][0] == pytest.approx(exact.pvalue - ties / 2, abs=1e-9)


def test_many_shares_come_close_to_all_signings() -> None:
    draw = np.random.default_rng(1)
    for n in (13, 16, 40):
        for _ in range(10):
            row = np.clip(draw.normal(draw.uniform(0, 0.3), 0.3, n), -1, 1)
            every = list(itertools.product([-1, 1], repeat=n)) if n < 20 else None
            signs = np.array(every) if every else draw.choice([-1, 1], size=(100_000, n))
            sums = np.abs(signs @ np.abs(row))
            p = (sums > abs(row.sum()) + 1e-12).mean() + (np.abs(sums - abs(row.sum())) <= 1e-12).mean() / 2
            if p > 1e-3:
                assert compare([row])["p_value"][0] == pytest.approx(p, rel=0.25, abs=0.004)


def test_where_all_differences_have_one_sign_nothing_is_rarer_than_that() -> None:
    row = np.linspace(0.1, 0.9, 20)
    assert compare([row])["p_value"][0] == pytest.approx(0.5**20)


SHAPES = [
    # n, share of a, share of b, answers a unit
    (20, 0.5, 0.5, 1), (20, 0.7, 0.7, 2), (20, 0.5, 0.7, 4), (50, 0.85, 0.85, 1), (50, 0.5, 0.7, 2), (100, 0.7, 0.7, 4),
    (100, 0.5, 0.7, 1), (100, 0.5, 0.7, 30), (100, 0.2, 0.9, 2), (200, 0.05, 0.02, 1),
]  # fmt: skip


@pytest.mark.parametrize(("n", "p_a", "p_b", "answers"), SHAPES)
def test_the_interval_covers_the_true_difference_and_the_test_keeps_its_level(
    n: int, p_a: float, p_b: float, answers: int
) -> None:
    draw = np.random.default_rng(n + answers)
    a, b = (draw.binomial(answers, p, (2000, n)) / answers for p in (p_a, p_b))
    found = compare(a - b)
    covered = ((found["low"] <= p_a - p_b) & (p_a - p_b <= found["high"])).mean()
    assert 0.935 < covered < 0.98
    if p_a == p_b:
        assert (found["p_value"] <= 0.05).mean() < 0.062


@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize("share", [0.7, 0.85])
def test_coherent_against_incoherent_answers_make_no_difference_of_nothing(n: int, share: float) -> None:
    draw = np.random.default_rng(n)
    a, b = draw.binomial(1, share, (3000, n)), draw.binomial(2, share, (3000, n)) / 2
    found = compare(a - b)
    assert (found["p_value"] <= 0.05).mean() < 0.062
    assert ((found["low"] <= 0) & (found["high"] >= 0)).mean() > 0.938


def test_the_interval_excludes_no_difference_exactly_where_the_p_value_is_small() -> None:
    draw = np.random.default_rng(2)
    rows = [
        draw.binomial(2, 0.5, n) / 2 - draw.binomial(2, q, n) / 2
        for n in (6, 11, 20, 60)
        for q in (0.5, 0.7, 0.8)
        for _ in range(150)
    ]
    rows += [pairs(a, b, n) for n in (6, 12, 20) for a in range(n + 1) for b in range(n - a + 1)]
    found = compare(rows)
    assert ((found["low"] > 0) | (found["high"] < 0)).tolist() == (found["p_value"] <= 0.05).tolist()
    assert (found["low"] <= found["estimate"]).all() and (found["estimate"] <= found["high"]).all()


def test_it_turns_round_with_the_sides_and_keeps_to_the_scale() -> None:
    row = np.array([0.5, 1, 0.25, 0, -0.5, 1, 0.75, 0.5, 0.5, 1, 0, 0, 0.25, 0.5])
    there, back = compare([row]), compare([-row])
    assert there["p_value"] == pytest.approx(back["p_value"])
    assert (there["low"][0], there["high"][0]) == pytest.approx((-back["high"][0], -back["low"][0]))
    found = compare([[1.0] * 20, [-1.0] * 20])
    assert found["high"].tolist() == [1.0, pytest.approx(-0.68, abs=0.2)]
    assert found["low"].tolist() == [pytest.approx(0.68, abs=0.2), -1.0]


def test_differences_of_one_size_may_be_larger_where_they_were_not_drawn() -> None:
    found = compare([[0.5] * 5])
    assert found["high"][0] == pytest.approx(0.5 + 0.5 * 3.8415 / (5 + 3.8415), abs=1e-3)  # Wilson's interval of 0 of 5
    assert found["estimate"][0] == 0.5


def test_zeros_may_be_left_out_where_their_number_is_given() -> None:
    whole = FUNCTIONS["sign_flip_test"]([[-1.0, 0.0, 0.5]], [[2, 30, 9]], [41], [1], [0.95], [None])
    assert FUNCTIONS["sign_flip_test"]([[-1.0, 0.5]], [[2, 9]], [41], [1], [0.95], [None]) == whole


def test_no_unit_has_no_test() -> None:
    found = FUNCTIONS["sign_flip_test"]([[], None], [[], None], [0, None], [1, 1], [0.95, 0.95], [None, None])
    assert all(values == [None, None] for values in found.values())


@pytest.mark.parametrize(
    ("differences", "counts", "n", "looks", "message"),
    [
        ([0.5], [1, 2], 3, 1, "as many counts"),
        ([1.5], [1], 3, 1, "from -1 to 1"),
        ([0.5], [4], 3, 1, "more differences than n"),
        ([0.5], [1], 3, 0, "looks must be 1 or more"),
    ],
)
def test_what_is_no_comparison_is_refused(differences: list[float], counts: list[int], n: int, looks: int, message: str) -> None:
    with pytest.raises(FunctionError, match=message):
        FUNCTIONS["sign_flip_test"]([differences], [counts], [n], [looks], [0.95], [None])


# --- looking again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("looks", "z"), [(2, 2.178), (3, 2.289), (5, 2.413), (10, 2.555)])
def test_the_critical_values_of_several_looks_are_pococks(looks: int, z: float) -> None:
    # Pocock 1977, as tabled by Jennison and Turnbull 1999, table 2.1 (two-sided, alpha 0.05)
    from udfs._looks import critical_value

    assert critical_value(np.array([0.95]), np.array([looks]))[0] == pytest.approx(z, abs=2e-3)


def test_five_looks_at_growing_data_find_nothing_more_often_than_one_look_should() -> None:
    draw = np.random.default_rng(5)
    steps = draw.binomial(1, 0.5, (1500, 100)) - draw.binomial(1, 0.5, (1500, 100))
    once, five = (np.zeros(1500, dtype=bool) for _ in range(2))
    for n in (20, 40, 60, 80, 100):
        once |= compare(steps[:, :n])["p_value"] <= 0.05
        found = compare(steps[:, :n], looks=5)
        five |= found["p_value"] <= 0.05
        assert (((found["low"] > 0) | (found["high"] < 0)) == (found["p_value"] <= 0.05)).all()
    assert once.mean() > 0.1
    assert five.mean() < 0.062


# --- what can be shown -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "alpha"), [(60, 0.05), (240, 0.05), (100, 0.005)])
def test_the_detectable_difference_is_found_in_four_of_five_simulated_studies(n: int, alpha: float) -> None:
    [difference] = FUNCTIONS["detectable_difference"]([n], [alpha], [0.8])
    draw = np.random.default_rng(0)
    a, b = (draw.binomial(1, 0.5 + sign * difference / 2, (3000, n)) for sign in (1, -1))
    assert (compare(a - b)["p_value"] <= alpha).mean() == pytest.approx(0.8, abs=0.05)


def test_where_nothing_can_be_shown_the_detectable_difference_is_null_and_it_is_never_above_one() -> None:
    found = FUNCTIONS["detectable_difference"]([0, 3, 5, 8, 12, 20, 1000], [0.001] * 7, [0.8] * 7)
    assert found[:4] == [None] * 4
    assert all(d is None or 0 < d <= 1 for d in found)


def test_units_needed_is_the_detectable_difference_the_other_way_round() -> None:
    [n] = FUNCTIONS["units_needed"]([0.3], [0.01], [0.8])
    just, short = FUNCTIONS["detectable_difference"]([n, n - 1], [0.01] * 2, [0.8] * 2)
    assert just <= 0.3 < short


# --- differences that lean to one side ----------------------------------------------------------------------------


def one_coherent(rate: float, answers: int, units: int, studies: int) -> np.ndarray:
    """Differences between one answer that is repeated and ``answers`` that are drawn anew, at the same rate."""
    draw = np.random.default_rng(11)
    return (draw.random((studies, units)) < rate) - draw.binomial(answers, rate, (studies, units)) / answers


def test_one_who_is_coherent_does_not_differ_from_one_who_is_not() -> None:
    found = compare(one_coherent(0.85, 10, 100, 6000))
    first_of_twelve = (found["p_value"] <= 0.05 / 12).mean()
    assert first_of_twelve <= 0.004  # signs alone: 0.012
    assert 0.94 <= ((found["low"] <= 0) & (found["high"] >= 0)).mean() <= 0.98


def test_the_skewness_is_taken_out_as_in_halls_paper() -> None:
    from scipy.stats import norm, skew

    d = one_coherent(0.85, 10, 100, 40)
    g, t = skew(d, axis=1), d.mean(axis=1) / d.std(axis=1)
    g *= np.maximum(0, 1 - 0.06 / g**2)  # where nothing is skewed its variance is 6 / n
    unskewed = 2 * norm.sf(10 * np.abs(t + g * t**2 / 3 + g**2 * t**3 / 27 + g / 600))
    flipped = np.random.default_rng(1).choice([-1, 1], (20_000, 100)) @ np.abs(d).T
    signs = (np.abs(flipped) >= np.abs(d.sum(axis=1))).mean(axis=0)
    found = compare(d)["p_value"]
    assert (unskewed > signs + 0.02).sum() >= 5  # both happen
    assert (signs > unskewed + 0.02).sum() >= 5
    assert found == pytest.approx(np.maximum(unskewed, signs), abs=0.02)


def test_no_p_value_of_differences_in_part_is_below_that_of_the_variance_without_a_difference() -> None:
    from scipy.stats import t

    parts, whole = [0.1, 0.2, 0.1, 0.3, 0.1, 0.2, 0.1], [1.0] * 7
    for d in (parts, [0.25] * 7):
        bounded, free = compare([d], null_variance=0.09), compare([d])
        assert free["p_value"][0] == pytest.approx(2 / 2**8)
        assert bounded["p_value"][0] == pytest.approx(2 * t.sf(np.mean(d) / (0.3 / np.sqrt(7)), 6))
        assert (bounded["low"][0] <= 0) == (bounded["p_value"][0] > 0.05)
        assert free["low"][0] > 0
    assert compare([whole], null_variance=0.09)["p_value"][0] == pytest.approx(2 / 2**8)
    assert compare([parts], null_variance=1e-6)["p_value"][0] == pytest.approx(2 / 2**8)


# --- what was selected ------------------------------------------------------------------------------------------


def test_intervals_of_what_was_selected_hold_for_what_was_selected() -> None:
    from scipy.stats import norm

    draw = np.random.default_rng(7)
    true = np.repeat([0.5, 1.0, 1.5, 2.0, 3.0], 8000)
    z = true + draw.normal(size=len(true))
    threshold = 0.005
    seen = 2 * norm.sf(np.abs(z)) <= threshold
    z, true = z[seen], true[seen]
    usual = (np.abs(z - true) <= 1.959964).mean()
    p = 2 * norm.sf(np.abs(z))
    ends = FUNCTIONS["selected_interval"](z, z - 1.959964, z + 1.959964, p, np.full(len(z), threshold))
    assert usual < 0.93
    assert ((ends["low"] <= true) & (true <= ends["high"])).mean() == pytest.approx(0.95, abs=0.01)


def test_far_beyond_the_threshold_the_interval_is_the_usual_one() -> None:
    ends = FUNCTIONS["selected_interval"](*(np.array([x]) for x in (0.5, 0.3, 0.7, 1e-12, 0.001)))
    assert (ends["low"][0], ends["high"][0]) == pytest.approx((0.3, 0.7), abs=2e-3)
