"""Words that set clusters apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bclust.errors import FunctionError
from bclust.registry import load_functions
from tests.conftest import ROOT

TEXTS = ["I love algebra and geometry", "Geometry is fun", "algebra, algebra!", "I love soup", "Soup with bread is fun", "bread"]
IDS = [0, 0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def keywords() -> Any:
    target = load_functions(ROOT)["cluster_keywords"].target

    def run(texts: list[str | None], ids: list[int | None], top: int = 5) -> dict[int, str]:
        return {row["cluster_id"]: row["keywords"] for row in target(texts, ids, top)}

    return run


def test_the_words_of_a_cluster_come_first_by_weight(keywords: Any) -> None:
    assert keywords(TEXTS, IDS, 2) == {0: "algebra, geometry", 1: "bread, soup"}


def test_weights_are_those_of_the_paper(keywords: Any) -> None:
    """Grootendorst 2022: tf in the class times log(1 + A / f), with A the mean number of words of a class."""
    counts = {"algebra": (3, 0), "geometry": (2, 0), "love": (1, 1), "fun": (1, 1), "soup": (0, 2), "bread": (0, 2)}
    words = np.array(list(counts.values()), dtype=float)
    weight = words / words.sum(0) * np.log(1 + words.sum() / 2 / words.sum(1, keepdims=True))
    order = [sorted(counts, key=lambda w, c=c: (-weight[list(counts).index(w), c], w)) for c in (0, 1)]
    expected = {c: ", ".join(w for w in order[c] if counts[w][c]) for c in (0, 1)}
    assert keywords(TEXTS, IDS) == expected


def test_the_order_of_rows_does_not_matter(keywords: Any) -> None:
    assert keywords(TEXTS[::-1], IDS[::-1]) == keywords(TEXTS, IDS)


def test_noise_is_named_like_a_cluster_and_rows_without_a_cluster_are_left_out(keywords: Any) -> None:
    assert keywords([*TEXTS, "zebra", "yak"], [*IDS, -1, None], 1) == {-1: "zebra", 0: "algebra", 1: "bread"}


def test_a_cluster_without_words_says_so(keywords: Any) -> None:
    assert keywords(["apples", "", None, "!?"], [0, 1, 2, 2]) == {0: "apples", 1: "(no words)", 2: "(no words)"}
    assert keywords(["", ""], [0, 1]) == {0: "(no words)", 1: "(no words)"}


def test_function_words_name_a_cluster_only_where_nothing_else_is_said(keywords: Any) -> None:
    assert keywords(["the and of", "of the"], [0, 1], 1) == {0: "and", 1: "of"}
    assert keywords(["the cat", "the dog"], [0, 1]) == {0: "cat", 1: "dog"}


def test_other_alphabets_have_words(keywords: Any) -> None:
    assert keywords(["математика рядом", "суп вкусный"], [0, 1], 1) == {0: "математика", 1: "вкусный"}


def test_no_rows_are_no_clusters(keywords: Any) -> None:
    assert keywords([], []) == {}


def test_lists_of_different_length_are_an_error(keywords: Any) -> None:
    with pytest.raises(FunctionError, match="2 texts and 1 ids"):
        keywords(["a", "b"], [0])
    with pytest.raises(FunctionError, match="top must be 1"):
        keywords(["a"], [0], 0)
