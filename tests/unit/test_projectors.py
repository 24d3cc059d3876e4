"""What every projector promises, and what t-SNE adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bclust.errors import FunctionError
from bclust.project.registry import load_functions
from tests.conftest import ROOT

METHODS = sorted(p.stem for p in (ROOT / "udfs" / "projectors").glob("*.py") if not p.name.startswith("_"))


def topics(rows: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around four directions, and which."""
    directions = np.random.default_rng(99).normal(size=(4, 32))
    of = np.repeat(np.arange(4), rows)
    vectors = directions[of] + 0.3 * np.random.default_rng(seed).normal(size=(len(of), 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), of


class Maps:
    """The two functions, as SQL calls them."""

    def __init__(self, functions: dict[str, Any]) -> None:
        self._fit, self._place = functions["fit_map"].target, functions["place"].target

    def fit(self, vectors: np.ndarray, method: str, params: dict[str, Any] | None = None, seed: int = 42) -> dict[str, Any]:
        found: dict[str, Any] = self._fit(vectors, method, params, seed)
        return found

    def place(self, vectors: np.ndarray, fitted: Any) -> np.ndarray:
        places = self._place(vectors, fitted)
        return np.column_stack([places["x"], places["y"]])

    def map(self, vectors: np.ndarray, method: str, params: dict[str, Any] | None = None, seed: int = 42) -> np.ndarray:
        return self.place(vectors, self.fit(vectors, method, params, seed)["fitted"])


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps(load_functions(ROOT))


@pytest.mark.parametrize("method", METHODS)
class TestEveryProjector:
    def test_neighbours_stay_neighbours(self, maps: Maps, method: str) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        vectors, of = topics()
        places = maps.map(vectors, method)
        assert KNeighborsClassifier(5).fit(places, of).score(places, of) > 0.9

    def test_rows_of_the_sample_lie_where_the_fit_put_them(self, maps: Maps, method: str) -> None:
        vectors, _ = topics()
        found = maps.fit(vectors, method)
        places = {tuple(place) for place in found["fitted"]["places"].tolist()}
        assert {tuple(place) for place in maps.place(vectors, found["fitted"]).tolist()} == places
        assert (found["n_sample"], found["method"]) == (80, method)

    def test_shuffled_rows_give_the_same_map(self, maps: Maps, method: str) -> None:
        vectors, _ = topics()
        order = np.random.default_rng(3).permutation(len(vectors))
        assert (maps.map(vectors[order], method) == maps.map(vectors, method)[order]).all()

    def test_equal_seeds_give_equal_maps(self, maps: Maps, method: str) -> None:
        vectors, _ = topics()
        assert (maps.map(vectors, method, seed=5) == maps.map(vectors, method, seed=5)).all()

    def test_equal_rows_lie_at_one_place(self, maps: Maps, method: str) -> None:
        vectors, _ = topics()
        places = maps.map(np.vstack([vectors, np.repeat(vectors[:1], 50, axis=0)]), method)
        assert (places[80:] == places[0]).all()

    @pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 12])
    def test_few_rows_have_a_map(self, maps: Maps, method: str, rows: int) -> None:
        vectors, _ = topics()
        places = maps.map(vectors[:rows], method)
        assert places.shape == (rows, 2)
        assert np.isfinite(places).all()
        assert len(np.unique(places, axis=0)) == rows

    def test_rows_that_are_all_equal_have_a_map(self, maps: Maps, method: str) -> None:
        assert np.isfinite(maps.map(np.repeat(topics()[0][:1], 30, axis=0), method)).all()

    def test_new_rows_lie_among_their_kind(self, maps: Maps, method: str) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        vectors, of = topics()
        new, new_of = topics(seed=1)
        fitted = maps.fit(vectors, method)["fitted"]
        known = KNeighborsClassifier(5).fit(maps.place(vectors, fitted), of)
        assert known.score(maps.place(new, fitted), new_of) > 0.9

    def test_a_new_row_lies_where_it_lies_whatever_comes_with_it(self, maps: Maps, method: str) -> None:
        fitted = maps.fit(topics()[0], method)["fitted"]
        new, _ = topics(seed=1)
        together = maps.place(new, fitted)
        alone = np.vstack([maps.place(new[i : i + 1], fitted) for i in range(10)])
        assert np.allclose(together[:10], alone, atol=1e-5)

    def test_placing_rows_does_not_move_the_map(self, maps: Maps, method: str) -> None:
        vectors, _ = topics()
        fitted = maps.fit(vectors, method)["fitted"]
        before = maps.place(vectors, fitted)
        maps.place(topics(seed=1)[0], fitted)
        assert (maps.place(vectors, fitted) == before).all()

    def test_fitted_values_are_plain_arrays(self, maps: Maps, method: str) -> None:
        fitted = maps.fit(topics()[0], method)["fitted"]
        assert all(isinstance(a, np.ndarray) and a.dtype.kind in "fiuU" for a in fitted.values())

    @pytest.mark.parametrize("value", [0.0, np.nan])
    def test_a_broken_vector_is_an_error(self, maps: Maps, method: str, value: float) -> None:
        vectors, _ = topics()
        fitted = maps.fit(vectors, method)["fitted"]
        vectors[2] = value
        with pytest.raises(FunctionError, match="the first is number 3"):
            maps.fit(vectors, method)
        with pytest.raises(FunctionError, match="the first is number 3"):
            maps.place(vectors, fitted)

    def test_vectors_of_another_length_are_an_error(self, maps: Maps, method: str) -> None:
        with pytest.raises(FunctionError, match="vectors of 5 numbers"):
            maps.place(np.ones((1, 5), np.float32), maps.fit(topics()[0], method)["fitted"])

    def test_an_unknown_parameter_names_the_method(self, maps: Maps, method: str) -> None:
        with pytest.raises(FunctionError, match=f"map method {method} has no parameter 'nonsense'"):
            maps.fit(topics()[0], method, {"nonsense": 1})

    def test_settings_that_are_not_set_are_the_defaults(self, maps: Maps, method: str) -> None:
        vectors, _ = topics()
        assert (maps.map(vectors, method, {"perplexity": None}) == maps.map(vectors, method)).all()


@pytest.mark.parametrize(
    ("n", "perplexity"),
    [
        (10, 5),
        (48, 16),
        (49, 49 / 3),
        (50, 10),
        (99, 19.8),
        (100, 30),
        (499, 49.9),
        (500, 5),
        (2000, 20),
        (5000, 50),
        (90000, 50),
    ],
)
def test_the_perplexity_follows_the_number_of_rows(maps: Maps, n: int, perplexity: float) -> None:
    from bclust.functions import member

    assert maps
    assert member("projectors", "tsne").perplexity_for(n) == pytest.approx(perplexity)


@pytest.mark.parametrize(
    "params",
    [
        {"perplexity": 30, "learning_rate": 200.0, "n_iter": 400, "init": "pca"},
        {"perplexity": 500, "n_iter": 300},
        {"init": "random", "n_iter": 300},
        {"init": "spectral", "n_iter": 300},
        {"angle": 0.8, "early_exaggeration": 4, "pca_components": 2, "n_iter": 100},
        {"pca_components": 1000, "n_iter": 300},
    ],
)
def test_every_setting_of_tsne_works(maps: Maps, params: dict[str, Any]) -> None:
    from sklearn.manifold import trustworthiness

    vectors, _ = topics()
    places = maps.map(vectors, "tsne", params)
    assert np.isfinite(places).all()
    assert trustworthiness(vectors, places, n_neighbors=5) > 0.6


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"init": "pcs"}, "did you mean pca"),
        ({"perplexity": -1}, "perplexity -1"),
        ({"n_iter": -5}, "n_iter -5"),
        ({"learning_rate": "fast"}, "map method tsne"),
        ({"perplexty": 3}, "did you mean perplexity"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error_that_says_so(maps: Maps, params: dict[str, Any], words: str) -> None:
    with pytest.raises(FunctionError, match=words):
        maps.fit(topics()[0], "tsne", params)


def test_a_close_method_is_suggested(maps: Maps) -> None:
    with pytest.raises(FunctionError, match="did you mean tsne"):
        maps.fit(topics()[0], "tsnee")


def test_pca_is_the_one_of_scikit_learn(maps: Maps) -> None:
    from sklearn.decomposition import PCA

    vectors, _ = topics()
    assert np.allclose(np.abs(maps.map(vectors, "pca")), np.abs(PCA(2).fit_transform(vectors)), atol=1e-4)


def test_tsne_is_as_trustworthy_as_scikit_learns(maps: Maps) -> None:
    from sklearn.manifold import TSNE, trustworthiness

    vectors = np.random.default_rng(0).normal(size=(250, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    theirs = TSNE(perplexity=25, random_state=0).fit_transform(vectors)
    ours = maps.map(vectors, "tsne", {"perplexity": 25})
    assert trustworthiness(vectors, ours, n_neighbors=10) > trustworthiness(vectors, theirs, n_neighbors=10) - 0.02
