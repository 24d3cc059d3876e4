"""Lexical vectors: TF-IDF of words and of character n-grams, reduced by singular value decomposition (latent semantic analysis).

Nothing is downloaded and no word list is needed, so any language with an alphabet works. Texts are near each other when they
share words or parts of words; synonyms are not known. Deerwester et al. 1990; the two vocabularies are joined as in
scikit-learn's FeatureUnion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from udfs._built import built

if TYPE_CHECKING:
    import numpy as np

# Longest word that counts: one endless token must not widen the whole stored vocabulary.
ANALYZERS: dict[str, dict[str, Any]] = {
    "words": {"ngram_range": (1, 2), "token_pattern": r"\b\w{2,40}\b"},
    "ngrams": {"analyzer": "char_wb", "ngram_range": (3, 4)},
}


def fit(
    texts: Sequence[str], *, random_state: int, dims: int = 64, max_words: int = 20_000, max_ngrams: int = 20_000
) -> dict[str, np.ndarray]:
    """Learn the vocabulary, its weights and the directions of most variance from distinct texts, in any order.

    Returns ``words``, ``ngrams`` (the terms), ``words_idf``, ``ngrams_idf`` and ``components`` (terms, at most dims - 1).
    A vector has one coordinate more than there are components: the last one is for texts without any known term.

    Raises:
        FunctionError: no text holds a word, or a setting is out of range.
    """
    import numpy as np
    from sklearn.utils.extmath import randomized_svd

    if dims < 2 or max_words < 0 or max_ngrams < 0:
        raise FunctionError(f"lexical: dims {dims}, max_words {max_words}, max_ngrams {max_ngrams} cannot work", hint="dims >= 2")
    distinct = sorted(set(_clean(texts)))
    fitted: dict[str, np.ndarray] = {}
    for part, limit in (("words", max_words), ("ngrams", max_ngrams)):
        fitted[part], fitted[f"{part}_idf"] = _vocabulary(distinct, part, limit)
    if not len(fitted["words"]) + len(fitted["ngrams"]):
        raise FunctionError(f"lexical: none of the {len(distinct)} distinct texts holds a word", hint="are the texts empty?")
    weights = _weights(distinct, fitted)
    rank = min(dims - 1, *weights.shape)
    _, strength, components = randomized_svd(weights, rank, random_state=random_state)
    keep = strength > 1e-6 * strength[0]
    return {**fitted, "components": np.ascontiguousarray(components[keep].T, dtype=np.float32)}


def transform(texts: Sequence[str], fitted: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32 (n, components + 1), unit rows. A text without any known term is the last unit vector, far from all others."""
    import numpy as np

    projected = _weights(_clean(texts), fitted) @ fitted["components"]
    length = np.linalg.norm(projected, axis=1, keepdims=True)
    unknown = length < 1e-6
    known = np.where(unknown, 0.0, projected / np.where(unknown, 1.0, length))
    return np.hstack([known, unknown]).astype(np.float32)


def _clean(texts: Sequence[str]) -> list[str]:
    return [text.replace("\0", " ") for text in texts]  # numpy text cannot end in NUL


def _vocabulary(texts: Sequence[str], part: str, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Terms (the most frequent, at most ``limit``) and their smooth idf; a term of one text alone says nothing of others."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    nothing = np.zeros(0, dtype="U1"), np.zeros(0)
    if limit == 0 or not texts:
        return nothing
    counter = CountVectorizer(**ANALYZERS[part], min_df=2 if len(texts) >= 20 else 1, max_features=limit)
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # scikit-learn's word for an empty vocabulary
        return nothing
    found = np.bincount(counts.indices, minlength=counts.shape[1])
    return counter.get_feature_names_out().astype(str), np.log((1 + len(texts)) / (1 + found)) + 1


def _weights(texts: Sequence[str], fitted: Mapping[str, np.ndarray]) -> Any:
    """Sparse float32 (n, words + ngrams): both TF-IDF matrices side by side, each row of each of length 1 or 0."""
    import numpy as np
    from scipy.sparse import csr_matrix, hstack

    parts = [vectorizer.transform(texts) for vectorizer in built(fitted, _vectorizers)]
    return hstack(parts, format="csr", dtype=np.float32) if parts else csr_matrix((len(texts), 0), dtype=np.float32)


def _vectorizers(fitted: Mapping[str, np.ndarray]) -> list[Any]:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizers = []
    for part, options in ANALYZERS.items():
        if len(fitted[part]):
            vectorizer = TfidfVectorizer(**options, vocabulary=fitted[part].tolist(), sublinear_tf=True, dtype=np.float32)
            vectorizer.idf_ = fitted[f"{part}_idf"].astype(np.float32)
            vectorizers.append(vectorizer)
    return vectorizers
