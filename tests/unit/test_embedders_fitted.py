"""What every embedder that is fitted to texts promises."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from bclust.errors import FunctionError
from bclust.functions import Context
from bclust.project.registry import load_functions
from tests.conftest import ROOT

FITTED = sorted(
    path.stem
    for path in (ROOT / "udfs" / "embedders").glob("*.py")
    if not path.name.startswith("_") and "\ndef transform(" in path.read_text(encoding="utf-8")
)
TEXTS = [f"I {verb} {thing} {when}." for verb in ("like", "fear", "study") for thing in ("mathematics", "guitar music", "cooking soup",
         "football games") for when in ("today", "every day", "with my friends", "at home")]  # fmt: skip


class Embedder:
    """The two functions, as SQL calls them."""

    def __init__(self, provider: str) -> None:
        functions = load_functions(ROOT)
        self._fit, self._transform = functions["fit_embedder"].target, functions["transform_text"].target
        self.context = Context(ROOT, seeds={"embedders": [{"embedder": "default", "provider": provider}]})

    def fit(self, texts: list[str | None], seed: int = 42, **settings: Any) -> dict[str, Any]:
        rows = [{**self.context.rows("embedders")[0], **settings}]
        found: dict[str, Any] = self._fit(texts, "default", seed, context=Context(ROOT, seeds={"embedders": rows}))
        return found

    def transform(self, texts: list[str], fitted: Any) -> np.ndarray:
        vectors: np.ndarray = self._transform(texts, ["default"] * len(texts), fitted, context=self.context)
        return vectors

    def vectors(self, texts: list[str]) -> np.ndarray:
        return self.transform(texts, self.fit([*texts])["fitted"])


@pytest.fixture(params=FITTED)
def embedder(request: pytest.FixtureRequest) -> Embedder:
    return Embedder(request.param)


def test_there_is_a_fitted_embedder() -> None:
    assert "lexical" in FITTED


def test_vectors_are_float32_of_length_one(embedder: Embedder) -> None:
    found = embedder.fit([*TEXTS])
    vectors = embedder.transform(TEXTS, found["fitted"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), found["dims"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert found["n"] == len(TEXTS)


def test_texts_with_common_words_are_nearer(embedder: Embedder) -> None:
    vectors = embedder.vectors(TEXTS)
    of = np.array([next(i for i, word in enumerate(("math", "guitar", "soup", "football")) if word in text) for text in TEXTS])
    cosine = vectors @ vectors.T
    same = of[:, None] == of
    assert cosine[same].mean() > cosine[~same].mean() + 0.3


def test_the_order_and_repetition_of_texts_do_not_matter(embedder: Embedder) -> None:
    once, more = embedder.fit([*TEXTS])["fitted"], embedder.fit([*reversed(TEXTS), *TEXTS[:9]])["fitted"]
    assert all((once[key] == more[key]).all() for key in once)


def test_equal_seeds_give_equal_vectors(embedder: Embedder) -> None:
    assert (embedder.vectors(TEXTS) == embedder.vectors(TEXTS)).all()


def test_another_process_finds_the_same_vectors(embedder: Embedder) -> None:
    if embedder.context.rows("embedders")[0]["provider"] != "lexical":
        pytest.skip("written for lexical")
    code = (
        "from udfs.embedders import lexical; import hashlib; t = [f'text {i} about {i % 7}' for i in range(50)];"
        "print(hashlib.md5(lexical.transform(t, lexical.fit(t, random_state=1)).round(4).tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_a_text_is_embedded_alike_alone_and_among_others(embedder: Embedder) -> None:
    fitted = embedder.fit([*TEXTS])["fitted"]
    assert np.allclose(embedder.transform(TEXTS, fitted)[5], embedder.transform([TEXTS[5]], fitted)[0], atol=1e-6)


def test_a_text_of_unknown_words_is_far_from_every_known_one(embedder: Embedder) -> None:
    fitted = embedder.fit([*TEXTS])["fitted"]
    vectors = embedder.transform([*TEXTS, "", "   ", "ζωή", "?!", "12"], fitted)
    unknown = vectors[len(TEXTS) :]
    assert np.allclose(np.linalg.norm(unknown, axis=1), 1, atol=1e-6)
    assert np.abs(unknown @ vectors[: len(TEXTS)].T).max() < 1e-5


@pytest.mark.parametrize(
    "texts", [["one text"], ["same words"] * 20, ["a b", ""], ["好的", "不好", "好"], ["x" * 100_000, "short text"]]
)
def test_few_equal_foreign_and_very_long_texts_have_vectors(embedder: Embedder, texts: list[str]) -> None:
    vectors = embedder.vectors(texts)
    assert len(vectors) == len(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nul_characters_are_spaces(embedder: Embedder) -> None:
    assert np.isfinite(embedder.vectors(["a\0b", "ab\0", "ab", "abc\0\0d"])).all()


def test_null_texts_do_not_count(embedder: Embedder) -> None:
    found = embedder.fit([*TEXTS, None, None])
    assert found["n"] == len(TEXTS)


@pytest.mark.parametrize("texts", [[], [None], [""], ["", "  "]])
def test_texts_without_a_word_are_an_error(embedder: Embedder, texts: list[str | None]) -> None:
    with pytest.raises(FunctionError, match=r"there is no text|none of the"):
        embedder.fit(texts)


def test_an_unknown_setting_names_the_embedder(embedder: Embedder) -> None:
    with pytest.raises(FunctionError, match=r"embedder default \(.*\) has no parameter 'nonsense'"):
        embedder.fit([*TEXTS], nonsense=1)


def test_an_unknown_embedder_is_an_error_with_a_hint(embedder: Embedder) -> None:
    with pytest.raises(FunctionError, match="did you mean default"):
        embedder._fit(TEXTS, "defalt", 42, context=embedder.context)


def test_fitted_values_are_plain_arrays(embedder: Embedder) -> None:
    fitted = embedder.fit([*TEXTS])["fitted"]
    assert all(isinstance(a, np.ndarray) and a.dtype.kind in "fiuU" for a in fitted.values())


def test_embedders_that_need_no_fit_have_none() -> None:
    embedder = Embedder("transformers")
    assert embedder.fit([*TEXTS]) == {"fitted": None, "n": len(TEXTS), "dims": None}


def test_the_dims_of_lexical_are_a_setting() -> None:
    embedder = Embedder("lexical")
    assert embedder.fit([*TEXTS], dims=10)["dims"] == 10
    with pytest.raises(FunctionError, match="dims >= 2"):
        embedder.fit([*TEXTS], dims=1)


def test_lexical_is_quick() -> None:
    import time

    embedder = Embedder("lexical")
    texts = [f"Statement {i}: I {'would' if i % 2 else 'would not'} do {i % 97} things in {i % 89} days" for i in range(4000)]
    fitted = embedder.fit([*texts])["fitted"]
    embedder.transform(texts[:10], fitted)
    start = time.process_time()
    for i in range(0, 4000, 1000):
        embedder.transform(texts[i : i + 1000], fitted)
    assert time.process_time() - start < 4000 * 0.0005
