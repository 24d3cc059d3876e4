"""What every clusterer promises, and what each adds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from bclust.errors import FunctionError
from bclust.functions import Context
from bclust.project.registry import load_functions
from bclust.warehouse.arrow_functions import arrow_function
from bclust.warehouse.database import Warehouse
from tests.conftest import ROOT

ALGORITHMS = sorted(p.stem for p in (ROOT / "udfs" / "clusterers").glob("*.py") if not p.name.startswith("_"))
TOPICS, EACH, DIMS = 6, 60, 48


def topics(rows: int = EACH, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around six directions, as texts on six topics have; and their topics."""
    directions = np.random.default_rng(99).normal(size=(TOPICS, DIMS))
    of = np.repeat(np.arange(TOPICS), rows)
    vectors = directions[of] + 0.6 * np.random.default_rng(seed).normal(size=(len(of), DIMS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), of


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(a, b))


@pytest.fixture(scope="module")
def functions() -> dict[str, Any]:
    return {name: function.target for name, function in load_functions(ROOT).items()}


@pytest.fixture(scope="module")
def fit(functions: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    def run(
        vectors: np.ndarray, algorithm: str, k: int | str = TOPICS, params: dict[str, Any] | None = None, seed: int = 42
    ) -> dict[str, Any]:
        found: dict[str, Any] = functions["fit_clusters"](vectors, algorithm, str(k), params, seed)
        return found

    return run


@pytest.fixture(scope="module")
def assign(functions: dict[str, Any]) -> Callable[..., np.ndarray]:
    run: Callable[..., np.ndarray] = functions["assign_cluster"]
    return run


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestEveryClusterer:
    def test_finds_planted_groups(self, fit: Callable[..., Any], algorithm: str) -> None:
        vectors, of = topics()
        labels = fit(vectors, algorithm)["labels"]
        assert agreement(of[labels >= 0], labels[labels >= 0]) > 0.95
        assert (labels < 0).mean() < 0.2

    def test_shuffled_rows_give_the_same_partition(self, fit: Callable[..., Any], algorithm: str) -> None:
        vectors, _ = topics()
        order = np.random.default_rng(1).permutation(len(vectors))
        assert (fit(vectors[order], algorithm)["labels"] == fit(vectors, algorithm)["labels"][order]).all()

    def test_equal_seeds_give_equal_labels(self, fit: Callable[..., Any], algorithm: str) -> None:
        vectors, _ = topics()
        first, second = fit(vectors, algorithm, seed=7), fit(vectors, algorithm, seed=7)
        assert (first["labels"] == second["labels"]).all()
        assert all((first["fitted"][key] == second["fitted"][key]).all() for key in first["fitted"])

    def test_rows_of_the_sample_are_assigned_the_labels_of_the_fit(
        self, fit: Callable[..., Any], assign: Callable[..., Any], algorithm: str
    ) -> None:
        vectors, _ = topics()
        found = fit(vectors, algorithm)
        assert (assign(vectors, found["fitted"]) == found["labels"]).all()

    def test_new_rows_join_the_group_they_belong_to(
        self, fit: Callable[..., Any], assign: Callable[..., Any], algorithm: str
    ) -> None:
        vectors, _ = topics()
        new, of = topics(rows=30, seed=5)
        labels = assign(new, fit(vectors, algorithm)["fitted"])
        assert agreement(of[labels >= 0], labels[labels >= 0]) > 0.95
        assert (labels < 0).mean() < 0.35

    def test_clusters_are_numbered_by_size(self, fit: Callable[..., Any], algorithm: str) -> None:
        vectors, of = topics()
        found = fit(vectors[(of > 0) | (np.arange(len(of)) < 20)], algorithm)
        sizes = np.bincount(found["labels"][found["labels"] >= 0])
        assert (np.diff(sizes) <= 0).all()
        assert sizes.tolist() == found["fitted"]["sizes"].tolist()
        assert found["n_clusters"] == len(sizes)

    def test_fitted_values_are_plain_arrays_with_unit_centroids(self, fit: Callable[..., Any], algorithm: str) -> None:
        fitted = fit(topics()[0], algorithm)["fitted"]
        assert all(isinstance(a, np.ndarray) and a.dtype.kind in "fiuU" for a in fitted.values())
        assert np.allclose(np.linalg.norm(fitted["centroids"], axis=1), 1, atol=1e-5)

    def test_one_row_is_one_cluster(self, fit: Callable[..., Any], algorithm: str) -> None:
        found = fit(topics()[0][:1], algorithm)
        assert (found["n_clusters"], found["labels"].tolist(), found["silhouette"]) == (1, [0], None)

    def test_equal_rows_are_one_cluster(self, fit: Callable[..., Any], assign: Callable[..., Any], algorithm: str) -> None:
        vectors = np.repeat(topics()[0][:1], 30, axis=0)
        found = fit(vectors, algorithm)
        assert (found["n_clusters"], set(found["labels"].tolist())) == (1, {0})
        assert set(assign(vectors, found["fitted"]).tolist()) == {0}

    @pytest.mark.parametrize("rows", [2, 3, 5, 9])
    def test_fewer_rows_than_clusters_give_at_most_one_cluster_a_row(
        self, fit: Callable[..., Any], algorithm: str, rows: int
    ) -> None:
        found = fit(topics()[0][:rows], algorithm, k=10)
        assert len(found["labels"]) == rows
        assert found["n_clusters"] <= rows
        assert found["labels"].max() < rows

    def test_many_equal_rows_do_not_stop_it(self, fit: Callable[..., Any], algorithm: str) -> None:
        vectors, of = topics()
        labels = fit(np.vstack([np.repeat(vectors[:1], 300, axis=0), vectors]), algorithm)["labels"]
        assert len(set(labels[:301].tolist())) == 1
        assert agreement(of[labels[300:] >= 0], labels[300:][labels[300:] >= 0]) > 0.5

    @pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
    def test_a_broken_vector_is_an_error_that_says_which(
        self, fit: Callable[..., Any], assign: Callable[..., Any], algorithm: str, value: float
    ) -> None:
        vectors, _ = topics()
        fitted = fit(vectors, algorithm)["fitted"]
        vectors[3] = value
        with pytest.raises(FunctionError, match=r"1 of 360 vectors .*the first is number 4"):
            fit(vectors, algorithm)
        with pytest.raises(FunctionError, match="1 of 360 vectors"):
            assign(vectors, fitted)

    def test_vectors_of_another_length_are_an_error(
        self, fit: Callable[..., Any], assign: Callable[..., Any], algorithm: str
    ) -> None:
        with pytest.raises(FunctionError, match="vectors of 10 numbers"):
            assign(np.ones((2, 10), np.float32), fit(topics()[0], algorithm)["fitted"])

    def test_an_unknown_parameter_names_the_algorithm(self, fit: Callable[..., Any], algorithm: str) -> None:
        with pytest.raises(FunctionError, match=f"clustering algorithm {algorithm} has no parameter 'nonsense'"):
            fit(topics()[0], algorithm, params={"nonsense": 1})
        with pytest.raises(FunctionError, match="has no parameter 'random_state'"):
            fit(topics()[0], algorithm, params={"random_state": 1})

    @pytest.mark.parametrize("method", ["pca", "spectral"])
    def test_rows_can_be_reduced_first(
        self, fit: Callable[..., Any], assign: Callable[..., Any], algorithm: str, method: str
    ) -> None:
        vectors, of = topics()
        found = fit(vectors, algorithm, params={"reduce": {"method": method, "dims": 5}})
        inside = found["labels"] >= 0
        assert agreement(of[inside], found["labels"][inside]) > 0.9
        assert inside.mean() > 0.4
        assert (assign(vectors, found["fitted"]) == found["labels"]).all()


def test_a_close_parameter_is_suggested(fit: Callable[..., Any]) -> None:
    with pytest.raises(FunctionError, match="did you mean n_init"):
        fit(topics()[0], "kmeans", params={"ninit": 3})


def test_a_close_algorithm_is_suggested(fit: Callable[..., Any]) -> None:
    with pytest.raises(FunctionError, match="did you mean kmeans"):
        fit(topics()[0], "kmean")


@pytest.mark.parametrize(
    ("algorithm", "params", "words"),
    [
        ("kmeans", {"n_init": "many"}, "clustering algorithm kmeans: The 'n_init' parameter"),
        ("spectral", {"n_landmarks": 0}, "clustering algorithm spectral: n_landmarks 0"),
        ("agglomerative", {"linkage": "wards"}, "did you mean ward"),
        ("hdbscan", {"cluster_selection_method": "leave"}, "clustering algorithm hdbscan: The 'cluster_selection_method'"),
        ("optics", {"xi": 7}, "clustering algorithm optics: The 'xi' parameter"),
        ("kmeans", {"reduce": {"method": "pcaa"}}, "did you mean pca"),
        ("kmeans", {"reduce": {"dim": 3}}, "did you mean dims"),
        ("kmeans", {"reduce": {"method": "pca", "dims": 0}}, "dims 0 cannot work"),
        ("kmeans", {"reduce": "pca"}, "reduce must be"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error_that_says_so(
    fit: Callable[..., Any], algorithm: str, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(FunctionError, match=words):
        fit(topics()[0], algorithm, params=params)


@pytest.mark.parametrize("k", ["0", "-3", "many", "auto", "2.5"])
def test_a_number_of_clusters_that_is_none_is_an_error(fit: Callable[..., Any], k: str) -> None:
    with pytest.raises(FunctionError, match="n_clusters"):
        fit(topics()[0], "kmeans", k)


def test_the_silhouette_finds_the_planted_number(fit: Callable[..., Any]) -> None:
    found = fit(topics()[0], "kmeans", "silhouette")
    assert found["n_clusters"] == TOPICS


def test_the_silhouette_is_the_one_of_scikit_learn(fit: Callable[..., Any]) -> None:
    from sklearn.metrics import silhouette_score

    vectors, _ = topics()
    found = fit(vectors, "kmeans")
    assert found["silhouette"] == pytest.approx(silhouette_score(vectors, found["labels"], metric="cosine"), abs=1e-5)


def test_a_row_far_from_every_group_is_noise(fit: Callable[..., Any], assign: Callable[..., Any]) -> None:
    vectors, _ = topics()
    far = -vectors[:1] - vectors[200:201]
    assert assign(far, fit(vectors, "hdbscan")["fitted"]).tolist() == [-1]
    assert assign(far, fit(vectors, "optics")["fitted"]).tolist() == [-1]


def test_all_noise_is_no_cluster(functions: dict[str, Any], fit: Callable[..., Any]) -> None:
    found = fit(np.eye(40, dtype=np.float32), "hdbscan")
    assert (found["n_clusters"], set(found["labels"].tolist()), found["silhouette"]) == (0, {-1}, None)
    assert functions["cluster_centroids"](found["fitted"]) == [[]]
    assert functions["assign_cluster"](np.eye(40, dtype=np.float32)[:3], found["fitted"]).tolist() == [-1, -1, -1]


def test_more_rows_than_can_be_merged_are_grouped_first(fit: Callable[..., Any]) -> None:
    vectors, of = topics(rows=100)
    for linkage in ("ward", "average"):
        found = fit(vectors, "agglomerative", params={"max_rows": 100, "linkage": linkage})
        assert agreement(of, found["labels"]) > 0.95


def test_more_rows_than_density_methods_see_follow_the_rows_seen(fit: Callable[..., Any]) -> None:
    vectors, of = topics(rows=600)
    labels = fit(vectors, "hdbscan")["labels"]
    assert len(labels) == 3600
    assert agreement(of[labels >= 0], labels[labels >= 0]) > 0.95


def test_umap_reduces_where_it_is_installed(fit: Callable[..., Any]) -> None:
    vectors, of = topics()
    assert agreement(of, fit(vectors, "kmeans", params={"reduce": {"method": "umap", "dims": 5}})["labels"]) > 0.95


def test_umap_says_how_to_install_it(fit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)  # as if it were not there
    with pytest.raises(FunctionError, match="pip install 'bclust\\[umap\\]'"):
        fit(topics()[0], "kmeans", params={"reduce": {"method": "umap", "dims": 5}})


class TestInSql:
    @pytest.fixture(scope="class")
    def warehouse(self) -> Iterator[Warehouse]:
        warehouse = Warehouse()
        warehouse.execute("create schema _bclust; create table _bclust.fitted (handle varchar, node varchar, value blob)")
        for function in load_functions(ROOT).values():
            if function.kind in ("scalar", "column"):
                warehouse.register(function, arrow_function(function, Context(ROOT), warehouse))
        vectors, _ = topics()
        rows = [{"id": i, "v": row} for i, row in enumerate(vectors.tolist())]
        warehouse.execute("create table v (id integer, v float[])")
        for row in rows:
            warehouse.execute("insert into v values (?, ?)", [row["id"], row["v"]])
        warehouse.run(
            "create table fits as ",
            "select fit_clusters(list(v order by id), 'kmeans', '6', {'n_init': 2}) as f from v",
        )
        yield warehouse
        warehouse.close()

    def test_a_fit_serves_every_row(self, warehouse: Warehouse) -> None:
        warehouse.run("create or replace table assigned as ", "select id, assign_cluster(v, f.fitted) as c from v, fits")
        assert warehouse.execute("select count(distinct c), min(c), max(c) from assigned") == [(6, 0, 5)]
        assert warehouse.execute("select f.n_clusters, f.n_sample, f.labels[1] from fits") == [
            (6, 360, warehouse.execute("select c from assigned where id = 0")[0][0])
        ]

    def test_centroids_become_rows_and_a_tree(self, warehouse: Warehouse) -> None:
        sql = "select unnest(cluster_centroids(f.fitted), recursive := true) from fits"
        warehouse.run("create or replace table c as ", sql)
        assert warehouse.execute("select count(*), sum(n), max(len(centroid)) from c") == [(6, 360, DIMS)]
        warehouse.run(
            "create or replace table tree as ",
            "select unnest(linkage(list(centroid order by cluster_id), list(n order by cluster_id)), recursive := true) from c",
        )
        assert warehouse.execute("select min(node_id), max(node_id), max(n) from tree") == [(6, 10, 360)]


def test_the_tree_of_clusters_is_wards(functions: dict[str, Any]) -> None:
    from sklearn.cluster import AgglomerativeClustering

    centroids = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    tree = functions["linkage"](centroids, np.arange(1, 10))
    model = AgglomerativeClustering(n_clusters=None, distance_threshold=0, compute_distances=True).fit(centroids)
    assert [merge["height"] for merge in tree] == pytest.approx(model.distances_.tolist(), rel=1e-5)
    assert [merge["node_id"] for merge in tree] == list(range(9, 17))
    assert {child for merge in tree for child in (merge["left_id"], merge["right_id"])} == set(range(16))
    assert tree[-1]["n"] == 45


def test_one_cluster_or_none_has_no_tree(functions: dict[str, Any]) -> None:
    assert functions["linkage"](np.ones((1, 3), np.float32), np.array([4])) == []
    assert functions["linkage"](np.zeros((0, 0), np.float32), np.array([], dtype=int)) == []
    with pytest.raises(FunctionError, match="2 centroids but 1 sizes"):
        functions["linkage"](np.ones((2, 3), np.float32), np.array([4]))


class TestStability:
    def repeated(self, functions: dict[str, Any], vectors: np.ndarray, k: int, algorithm: str = "kmeans") -> dict[str, Any]:
        found: dict[str, Any] = functions["fit_clusters"](vectors, algorithm, str(k), None, 42, 10)
        return found

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_planted_groups_come_back(self, functions: dict[str, Any], algorithm: str) -> None:
        vectors, _ = topics()
        found = self.repeated(functions, vectors, TOPICS, algorithm)
        assert found["stability"] > 0.8
        assert found["stability_low"] <= found["stability"] <= found["stability_high"] <= 1
        assert len(found["jaccards"]) == found["n_clusters"]
        assert np.median(found["jaccards"]) > 0.75

    def test_rows_without_groups_do_not(self, functions: dict[str, Any]) -> None:
        found = self.repeated(functions, np.random.default_rng(0).normal(size=(300, DIMS)).astype(np.float32), TOPICS)
        assert found["stability"] < 0.3
        assert found["jaccards"].max() < 0.6

    def test_the_halves_of_a_split_group_are_less_stable_than_whole_ones(self, functions: dict[str, Any]) -> None:
        vectors, of = topics()
        found = self.repeated(functions, vectors, TOPICS + 1)
        whole = [
            bool(len(set(of[found["labels"] == i])) == 1 and (found["labels"] == i).sum() >= EACH - 2) for i in range(TOPICS + 1)
        ]
        assert found["jaccards"][whole].min() > found["jaccards"][~np.array(whole)].max()

    def test_it_is_the_mean_ari_and_best_jaccard_of_the_repetitions(self, functions: dict[str, Any]) -> None:
        from sklearn.metrics import adjusted_rand_score, jaccard_score

        from udfs._stability import stability

        draw = np.random.default_rng(1)
        labels = draw.integers(-1, 4, 200)
        others = iter([draw.integers(-1, 3, 200) for _ in range(3)])
        kept: list[np.ndarray] = []

        def again(drawn: np.ndarray, seed: int) -> np.ndarray:
            assert len(drawn) == 200
            kept.append(next(others))
            return kept[-1]

        found = stability(draw.normal(size=(200, 3)), labels, again, 3, 0)
        assert found.ari.tolist() == [adjusted_rand_score(labels, other) for other in kept]
        best = [[max(jaccard_score(labels == i, other == j) for j in range(3)) for i in range(4)] for other in kept]
        assert found.jaccard == pytest.approx(np.mean(best, axis=0))

    def test_the_order_of_the_rows_does_not_matter(self, functions: dict[str, Any]) -> None:
        vectors, _ = topics()
        order = np.random.default_rng(1).permutation(len(vectors))
        first, second = self.repeated(functions, vectors, 5), self.repeated(functions, vectors[order], 5)
        assert first["stability"] == second["stability"]
        assert (first["jaccards"] == second["jaccards"]).all()

    def test_one_cluster_has_none(self, functions: dict[str, Any]) -> None:
        found = self.repeated(functions, topics()[0], 1)
        assert (found["stability"], found["jaccards"]) == (None, None)


def test_errors_name_the_clustering_and_what_to_set(functions: dict[str, Any]) -> None:
    with pytest.raises(FunctionError, match="clustering mine: clustering algorithm kmeans has no parameter 'ninit'") as caught:
        functions["fit_clusters"](topics()[0], "kmeans", "3", {"ninit": 3}, 42, 0, "mine")
    assert "did you mean n_init" in str(caught.value.hint)
    broken = topics()[0]
    broken[3] = np.nan
    with pytest.raises(FunctionError, match="clustering mine: 1 of 360 vectors are zero, NaN or infinite"):
        functions["fit_clusters"](broken, "kmeans", "3", None, 42, 0, "mine")
    with pytest.raises(FunctionError, match="clustering mine: there is no vector to cluster"):
        functions["fit_clusters"](np.zeros((0, 0), np.float32), "kmeans", "3", None, 42, 0, "mine")


@pytest.mark.parametrize(
    ("algorithm", "n_clusters", "params", "words"),
    [
        ("kmean", "auto", None, "clustering mine: there is no 'kmean'"),
        ("kmeans", "many", None, "clustering mine: n_clusters 'many' is not a number"),
        ("kmeans", "0", None, "clustering mine: n_clusters '0' is not a number above 0"),
        ("optics", "auto", '{"xo": 1}', "clustering mine: clustering algorithm optics has no parameter 'xo'"),
        ("kmeans", "auto", '{"reduce": {"method": "pcaa"}}', "clustering mine: reduce: method 'pcaa'"),
        ("kmeans", "auto", "3", "clustering mine: params of kmeans must be keys with values"),
    ],
)
def test_settings_are_checked_before_there_is_anything_to_cluster(
    functions: dict[str, Any], algorithm: str, n_clusters: str, params: str | None, words: str
) -> None:
    with pytest.raises(FunctionError, match=words):
        functions["checked_clustering"](["mine"], [algorithm], [n_clusters], [params])


def test_settings_that_can_work_are_passed_on(functions: dict[str, Any]) -> None:
    checked = functions["checked_clustering"](
        ["a", "b", "c"], ["kmeans", "hdbscan", "spectral"], ["auto", "auto", "7"], [None, None, "{}"]
    )
    assert checked == ["auto", "found", "7"]
