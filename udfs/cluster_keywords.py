"""cluster_keywords: the words that set each cluster of texts apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import column

if TYPE_CHECKING:
    import numpy as np

NO_WORDS = "(no words)"
WORD = r"\b[^\W\d_][\w'-]*\w\b"


@column("(texts VARCHAR[], cluster_ids INTEGER[], top INTEGER := 5) -> STRUCT(cluster_id INTEGER, keywords VARCHAR)[]")
def cluster_keywords(texts: Sequence[str | None], cluster_ids: Any, top: int) -> list[dict[str, Any]]:
    """The ``top`` words of each cluster by class-based TF-IDF (Grootendorst 2022), joined by ', ', in the order of the ids.

    A word counts by its share of the cluster's words, times log(1 + words of an average cluster / its count over all).
    English function words are left out, unless nothing else is said. A cluster without any word is named '(no words)'.

    Raises:
        FunctionError: the lists differ in length, or ``top`` is below 1.
    """
    import numpy as np

    if len(texts) != len(cluster_ids):
        raise FunctionError(
            f"cluster_keywords got {len(texts)} texts and {len(cluster_ids)} ids", hint="list both from the same rows"
        )
    if top < 1:
        raise FunctionError(f"top must be 1 or more, not {top}")
    documents: dict[int, list[str]] = defaultdict(list)
    for i, text in zip(cluster_ids, texts, strict=True):
        if i is not None:
            documents[int(i)].append(text or "")
    ids = sorted(documents)
    words, counts = _counts([" \n ".join(documents[i]) for i in ids])
    if not len(words):
        return [{"cluster_id": i, "keywords": NO_WORDS} for i in ids]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    weights = share * np.log(1 + counts.sum() / len(ids) / counts.sum(axis=0))
    best = [np.lexsort((words, -row))[:top] for row in weights]
    keywords = [", ".join(words[w] for w in chosen if row[w] > 0) for chosen, row in zip(best, weights, strict=True)]
    return [{"cluster_id": i, "keywords": k or NO_WORDS} for i, k in zip(ids, keywords, strict=True)]


def _counts(documents: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The words (sorted) and how often each document has each of them (documents, words)."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    for stop_words in ("english", None):
        counter = CountVectorizer(stop_words=stop_words, token_pattern=WORD)
        try:
            counts = counter.fit_transform(documents)
        except ValueError:  # scikit-learn's word for an empty vocabulary
            continue
        return counter.get_feature_names_out().astype(str), counts.toarray().astype(np.float64)
    return np.zeros(0, dtype="U1"), np.zeros((len(documents), 0))
