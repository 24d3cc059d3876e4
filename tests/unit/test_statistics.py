"""Statistics, against scipy, statsmodels, scikit-learn and published tables."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from bclust.build.session import macros_in_order
from bclust.errors import FunctionError
from bclust.functions import Context
from bclust.project.registry import load_functions
from bclust.warehouse.arrow_functions import arrow_function
from bclust.warehouse.database import Warehouse
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def functions() -> dict[str, Any]:
    return {name: function.target for name, function in load_functions(ROOT).items()}


@pytest.fixture(scope="module")
def sql() -> Any:
    """Run a query with the project's functions and macros."""
    warehouse = Warehouse()
    functions = load_functions(ROOT)
    for function in functions.values():
        if function.kind in ("scalar", "column"):
            warehouse.register(function, arrow_function(function, Context(ROOT), warehouse))
    for function in macros_in_order(functions):
        warehouse.register(function, None)
    yield warehouse.execute
    warehouse.close()


# --- shares ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_is_the_one_of_scipy(functions: dict[str, Any], level: float) -> None:
    from scipy.stats import binomtest

    pairs = [(k, n) for n in (1, 2, 7, 30, 400) for k in sorted({0, 1, n // 2, n - 1, n}) if k <= n]
    k, n = np.array(pairs).T
    found = functions["wilson"](k, n, np.full(len(k), level))
    for row, (successes, trials) in enumerate(pairs):
        expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
        assert (found["low"][row], found["high"][row]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_is_the_one_newcombe_printed(sql: Any) -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81/263, 15/148, 0/20, 1/29
    rows = sql(
        "select round(w.low, 4), round(w.high, 4) from (select wilson(k, n) as w from (values (81, 263), (15, 148), (0, 20), (1, 29)) t(k, n))"
    )
    assert rows == [(0.2553, 0.3662), (0.0624, 0.1605), (0.0, 0.1611), (0.0061, 0.1718)]


def test_nothing_is_known_of_no_trials(sql: Any) -> None:
    assert sql("select wilson(0, 0)") == [({"low": 0.0, "high": 1.0},)]
    assert sql("select wilson(null, 3)") == [(None,)]


def test_wilson_covers_the_true_share(functions: dict[str, Any]) -> None:
    from scipy.stats import binom

    n = 60
    k = np.arange(n + 1)
    found = functions["wilson"](k, np.full(n + 1, n), np.full(n + 1, 0.95))
    shares = np.linspace(0.05, 0.95, 181)
    covered = [binom.pmf(k, n, p)[(found["low"] <= p) & (p <= found["high"])].sum() for p in shares]
    assert 0.94 < float(np.mean(covered)) < 0.96


@pytest.mark.parametrize(("k", "n", "level"), [(5, 4, 0.95), (-1, 4, 0.95), (1, 4, 1.0)])
def test_wilson_refuses_what_is_no_share(functions: dict[str, Any], k: int, n: int, level: float) -> None:
    with pytest.raises(FunctionError, match="0 <= k <= n"):
        functions["wilson"](np.array([k]), np.array([n]), np.array([level]))


# --- pairs -----------------------------------------------------------------------------------------------------


def test_kappa_and_phi_are_those_of_other_libraries(sql: Any) -> None:
    from sklearn.metrics import cohen_kappa_score

    for both, only_a, only_b, neither in ((20, 5, 10, 15), (1, 2, 3, 4), (50, 0, 3, 7), (0, 5, 5, 0)):
        a = [1] * (both + only_a) + [0] * (only_b + neither)
        b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
        kappa, phi = sql(
            f"select cohen_kappa({both}, {only_a}, {only_b}, {neither}), phi({both}, {only_a}, {only_b}, {neither})"
        )[0]
        assert kappa == pytest.approx(cohen_kappa_score(a, b))
        assert phi == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_kappa_and_phi_are_null_where_nothing_varies(sql: Any) -> None:
    assert sql("select cohen_kappa(7, 0, 0, 0), phi(7, 0, 0, 0), phi(0, 0, 0, 0), cohen_kappa(0, 0, 0, 0)") == [(None,) * 4]


def test_counts_too_large_for_an_integer_product_work(sql: Any) -> None:
    assert sql("select phi(n, 0, 0, n), cohen_kappa(n, 0, 0, n) from (select 3000000000 as n)") == [(1.0, 1.0)]


# --- many tests ------------------------------------------------------------------------------------------------


def test_q_values_are_those_of_statsmodels(functions: dict[str, Any]) -> None:
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).uniform(size=200) ** 3
    assert functions["adjust_p"](p) == pytest.approx(multipletests(p, method="fdr_bh")[1].tolist())


def test_q_values_are_those_of_benjamini_and_hochberg(sql: Any) -> None:
    # Benjamini and Hochberg 1995, section 3.2: of these 15 p-values the first four are found at 0.05
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    q = sql(f"select adjust_p({p})")[0][0]
    assert [value <= 0.05 for value in q] == [True] * 4 + [False] * 11


def test_p_values_that_are_null_stay_null_and_do_not_count(sql: Any) -> None:
    assert sql("select adjust_p([0.01, null, 0.04])") == [([0.02, None, 0.04],)]
    assert sql("select adjust_p([null::double])") == [([None],)]
    assert sql("select adjust_p([]::double[])") == [([],)]


# --- labellings ------------------------------------------------------------------------------------------------


def test_agreement_is_counted_over_pairs_of_rows(functions: dict[str, Any]) -> None:
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 4, 60), draw.integers(0, 3, 60)
    b[:30] = a[:30] % 3
    pairs = list(itertools.combinations(range(60), 2))
    same_a, same_b = (np.array([labels[i] == labels[j] for i, j in pairs]) for labels in (a, b))
    expected = same_a.sum() * same_b.sum() / len(pairs)
    ari = ((same_a & same_b).sum() - expected) / ((same_a.sum() + same_b.sum()) / 2 - expected)
    found = functions["cluster_agreement"]([str(x) for x in a], [str(x) for x in b])
    assert found["ari"] == pytest.approx(ari)
    joint = np.array([[((a == i) & (b == j)).mean() for j in range(3)] for i in range(4)])
    seen = joint[joint > 0]
    entropy = [-(m @ np.log(m)) for m in (joint.sum(1), joint.sum(0))]
    assert found["nmi"] == pytest.approx((sum(entropy) + seen @ np.log(seen)) / (sum(entropy) / 2))


def test_rows_without_a_label_do_not_count(sql: Any) -> None:
    assert sql("select cluster_agreement(['a', 'a', 'b', null], ['1', '1', '2', '3'])") == [({"ari": 1.0, "nmi": 1.0},)]
    assert sql("select cluster_agreement([null::varchar], ['1'])") == [({"ari": None, "nmi": None},)]


def test_auto_clusters_keeps_the_rule(sql: Any) -> None:
    sql("set variable n_clusters_ratio = 0.04; set variable min_clusters = 10; set variable max_clusters = 500")
    rows = sql("select auto_clusters(n) from (values (60), (250), (275), (2500), (12500), (1000000)) t(n)")
    assert rows == [(10,), (10,), (11,), (100,), (500,), (500,)]


# --- two language models ---------------------------------------------------------------------------------------


def answers(n: int, shift: float, seed: int, dims: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of two language models' answers to n statements: what the statement brings, and a shift of one of them."""
    draw = np.random.default_rng(seed)
    statement = draw.normal(size=(n, dims)) * np.linspace(2, 0.2, dims)
    a, b = (statement + 0.7 * draw.normal(size=(n, dims)) for _ in range(2))
    a[:, 5] += shift
    return a.astype(np.float32), b.astype(np.float32)


def test_separability_grows_with_the_difference(functions: dict[str, Any]) -> None:
    found = [functions["separability"](*answers(200, shift, 1), 200, 42) for shift in (0, 1, 5)]
    aucs = [f["auc"] for f in found]
    assert 0.4 < aucs[0] < 0.6 < aucs[1] < 0.9 < aucs[2] <= 1
    assert found[0]["p_value"] > 0.05
    assert found[2]["p_value"] < 1e-6  # no permutation separates as well: the tail of their distribution
    assert found[1]["p_value"] <= 1 / 201
    assert all(f["ci_low"] <= f["auc"] <= f["ci_high"] for f in found)


def test_separability_nears_the_best_linear_rule(functions: dict[str, Any]) -> None:
    """With many statements the cross-validated AUC is that of Fisher's rule with the true parameters."""
    from scipy.stats import norm

    draw = np.random.default_rng(0)
    n, dims = 6000, 4
    a, b = (draw.normal(size=(n, dims)).astype(np.float32) for _ in range(2))
    # Rows of length 1 lie on a sphere: add a large constant coordinate, so that the sphere is flat where they are.
    a, b = (np.column_stack([side * 0.01, np.ones(n)]).astype(np.float32) for side in (a, b))
    a[:, 0] += 0.01
    found = functions["separability"](a, b, 0, 1)
    assert found["auc"] == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.01)
    assert found["p_value"] is None


def test_separability_does_not_find_what_is_not_there(functions: dict[str, Any]) -> None:
    p = [functions["separability"](*answers(40, 0, seed, dims=8), 59, seed)["p_value"] for seed in range(120)]
    assert np.mean(np.array(p) <= 0.05) <= 0.1
    assert 0.4 < np.mean(p) < 0.6


def test_the_interval_of_separability_covers_chance(functions: dict[str, Any]) -> None:
    found = [functions["separability"](*answers(80, 0, seed, dims=8), 40, seed) for seed in range(120)]
    assert np.mean([f["ci_low"] <= 0.5 <= f["ci_high"] for f in found]) > 0.88


def test_equal_answers_cannot_be_told_apart(functions: dict[str, Any]) -> None:
    a, _ = answers(60, 0, 0)
    assert functions["separability"](a, a, 99, 1)["auc"] == pytest.approx(0.5)
    assert functions["separability"](a, a, 99, 1)["p_value"] == 1.0


def test_separability_is_the_same_for_the_same_seed_and_the_other_way_round(functions: dict[str, Any]) -> None:
    a, b = answers(60, 0.5, 3)
    assert functions["separability"](a, b, 50, 7) == functions["separability"](a, b, 50, 7)
    assert functions["separability"](a, b, 0, 7)["auc"] == pytest.approx(functions["separability"](b, a, 0, 7)["auc"])


def test_a_statement_is_never_on_both_sides(functions: dict[str, Any]) -> None:
    """Each statement has its own direction and language models differ by nothing: memory of a statement would show."""
    found = []
    for seed in range(5):
        draw = np.random.default_rng(seed)
        statement = draw.normal(size=(60, 200))
        a, b = ((statement + 0.05 * draw.normal(size=(60, 200))).astype(np.float32) for _ in range(2))
        found.append(functions["separability"](a, b, 99, 1)["p_value"])
    assert float(np.median(found)) > 0.1


def test_near_duplicates_that_are_answered_alike_are_one_unit(functions: dict[str, Any]) -> None:
    """Groups of four, each answered in one way by either side, which differ by nothing: as single statements they seem to."""
    names = np.repeat([f"g{i}" for i in range(30)], 4).tolist()
    alone, grouped = [], []
    for seed in range(12):
        draw = np.random.default_rng(seed)
        a, b = (
            (np.repeat(draw.normal(size=(30, 20)), 4, axis=0) + 0.01 * draw.normal(size=(120, 20))).astype(np.float32)
            for _ in range(2)
        )
        alone.append(functions["separability"](a, b, 99, seed)["p_value"])
        grouped.append(functions["separability"](a, b, 99, seed, names)["p_value"])
    assert sum(p <= 0.05 for p in alone) >= 4
    assert sum(p <= 0.05 for p in grouped) <= 2


def test_too_few_statements_say_nothing(functions: dict[str, Any]) -> None:
    assert set(functions["separability"](*answers(9, 5, 0), 20, 1).values()) == {None}
    assert functions["separability"](*answers(10, 9, 0), 99, 1)["auc"] > 0.9


def test_more_vectors_than_statements_work(functions: dict[str, Any]) -> None:
    assert functions["separability"](*answers(30, 8, 0, dims=300), 99, 1)["auc"] > 0.8


def test_unpaired_rows_are_an_error(functions: dict[str, Any]) -> None:
    a, b = answers(20, 0, 0)
    with pytest.raises(FunctionError, match="paired rows"):
        functions["separability"](a, b[:-1], 10, 1)


def test_permutations_share_the_work(functions: dict[str, Any]) -> None:
    import time

    a, b = answers(1000, 0, 0, dims=128)
    start = time.process_time()
    functions["separability"](a, b, 200, 1)
    assert time.process_time() - start < 8


# --- probabilities ---------------------------------------------------------------------------------------------


def test_p_approve_sums_the_spellings_of_yes_and_no(sql: Any) -> None:
    tokens = [("Yes", 0.5), (" yes", 0.1), ("**Yes", 0.05), ("▁YES", 0.05), ("No", 0.1), ("Ġno", 0.1), ("Not", 0.06), ("I", 0.04)]
    logprobs = [f'{{"token": "{token}", "logprob": {np.log(p)}}}' for token, p in tokens]
    detail = '{"top_logprobs": [' + ", ".join(logprobs) + "]}"
    assert sql(f"select p_approve('{detail}')")[0][0] == pytest.approx(0.7 / 0.9)


@pytest.mark.parametrize(
    "detail",
    [
        "null",
        "'{}'",
        "'not json'",
        "'[1]'",
        """'{"top_logprobs": []}'""",
        """'{"top_logprobs": [{"token": "I", "logprob": -1}]}'""",
    ],
)
def test_p_approve_is_null_without_a_yes_or_no(sql: Any, detail: str) -> None:
    assert sql(f"select p_approve({detail})") == [(None,)]
