"""Words that set clusters apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bclust.errors import FunctionError
from bclust.project.registry import load_functions
from tests.conftest import ROOT

TEXTS = ["I love algebra and geometry", "Geometry is fun", "algebra, algebra!", "I love soup", "Soup with bread is fun", "bread"]
IDS = [0, 0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def found() -> Any:
    target = load_functions(ROOT)["cluster_keywords"].target

    def run(texts: list[str | None], ids: list[int | None], top: int = 5) -> dict[int, dict[str, Any]]:
        return {row["cluster_id"]: row for row in target(texts, ids, top)}

    return run


@pytest.fixture(scope="module")
def keywords(found: Any) -> Any:
    def run(texts: list[str | None], ids: list[int | None], top: int = 5) -> dict[int, str]:
        return {i: row["keywords"] for i, row in found(texts, ids, top).items()}

    return run


def test_the_words_of_a_cluster_come_first_by_weight(keywords: Any) -> None:
    assert keywords(TEXTS, IDS, 2) == {0: "algebra, geometry", 1: "bread, soup"}
    assert keywords(TEXTS, IDS, 1) == {0: "algebra", 1: "bread"}


def test_weights_are_shares_of_texts_times_how_rare_they_are(found: Any) -> None:
    """Grootendorst 2022 with shares of texts for counts of words: s(word, cluster) * log(1 + clusters / s summed over clusters)."""
    texts = {"algebra": (2, 0), "geometry": (2, 0), "love": (1, 1), "fun": (1, 1), "soup": (0, 2), "bread": (0, 2)}
    shares = np.array(list(texts.values()), dtype=float) / 3
    weight = shares * np.log(1 + 2 / shares.sum(1, keepdims=True))
    for c, row in found(TEXTS, IDS).items():
        order = sorted((w for w in texts if texts[w][c]), key=lambda w, c=c: (-weight[list(texts).index(w), c], w))
        assert row["words"] == order
        assert row["keywords"] == ", ".join(order)
        assert row["supports"] == pytest.approx([texts[w][c] / 3 for w in order])


def test_a_word_that_many_texts_hold_comes_before_one_that_a_single_text_repeats(keywords: Any) -> None:
    texts = [
        "caution is safe",
        "caution keeps us safe",
        "caution: basil basil basil basil basil basil",
        "soup",
        "bread",
        "cheese",
    ]
    assert keywords(texts, [0, 0, 0, 1, 1, 1], 2)[0] == "caution, safe"


def test_a_large_cluster_does_not_hide_the_words_of_a_small_one(keywords: Any) -> None:
    texts = ["sorry, refused", "sorry, refused", *["sorry, thanks"] * 10, *["soup"] * 88]
    assert keywords(texts, [0, 0, *[1] * 98], 1)[0] == "refused"


def test_negations_and_refusals_are_words_and_what_is_left_of_i_am_is_none(keywords: Any) -> None:
    texts = [
        "I'm sorry, I cannot",
        "I can't: it's not safe",
        "that’s no use, I’d never",
        "we won't; nor without you",
        "you're unable",
    ]
    words = keywords(texts, [0] * 5, 50)[0].split(", ")
    assert {"sorry", "cannot", "can't", "not", "no", "never", "won't", "nor", "without", "unable"} <= set(words)
    assert not {"i'm", "it's", "that's", "i'd", "you're", "we", "that", "the"} & set(words)


def test_the_order_of_rows_does_not_matter(keywords: Any) -> None:
    assert keywords(TEXTS[::-1], IDS[::-1]) == keywords(TEXTS, IDS)


def test_noise_is_named_like_a_cluster_and_rows_without_a_cluster_are_left_out(keywords: Any) -> None:
    assert keywords([*TEXTS, "zebra", "yak"], [*IDS, -1, None], 1) == {-1: "zebra", 0: "algebra", 1: "bread"}


def test_a_cluster_without_words_says_so(found: Any, keywords: Any) -> None:
    assert found(["apples", "!?"], [0, 1])[1] == {"cluster_id": 1, "keywords": "(no words)", "words": [], "supports": []}
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


def test_names_and_texts_are_read_as_the_same_words() -> None:
    read = load_functions(ROOT)["content_words"].target
    texts = ["Dignity, innocent and KEEPS (2)", "It’s NOT a well-known 'tide', is it?", "", "and of the"]
    assert read(texts, [False] * 4) == [["dignity", "innocent", "keeps"], ["not", "well-known", "tide"], [], []]
    assert read(texts[1:], [True] * 3) == [["it's", "not", "well-known", "tide", "is", "it"], [], ["and", "of", "the"]]


def test_words_that_no_text_says_are_told() -> None:
    unsaid = load_functions(ROOT)["unsaid_words"].target
    assert unsaid(["dignity", "keeps", "cannot"], ["Caution keeps us safe", None, "upkeep; we CANNOT"]) == ["dignity"]
    assert unsaid(["keep"], ["Caution keeps us safe", "in-keep"]) == ["keep"]
    assert unsaid([], ["a"]) == []
    assert unsaid(["the"], ["The end"]) == []
