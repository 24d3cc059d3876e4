"""Projectors: how vectors become points of a map. One file, one projector; the name of the file is the ``method`` of ``fit_map``.

A file has two functions, as ``Projector`` says. Everything around them is done here, once for all: equal rows become one
point, rows are put in an order that does not depend on how they came, and ``place`` finds the rows of the sample again by
their content, so that they lie exactly where the fit put them. A projector in full:

    def fit(embeddings, *, random_state):
        axes = np.random.default_rng(random_state).normal(size=(embeddings.shape[1], 2))
        return {"places": embeddings @ axes, "axes": axes}

    def place(embeddings, fitted):
        return embeddings @ fitted["axes"]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bclust.errors import FunctionError
from bclust.functions import member
from udfs._built import built
from udfs._parameters import check_parameters
from udfs._rows import canonical_order, unit_rows

if TYPE_CHECKING:
    import numpy as np


class Projector(Protocol):
    """A module in this folder."""

    def fit(self, embeddings: np.ndarray, *, random_state: int, **params: Any) -> dict[str, np.ndarray]:
        """Lay out float32 (n, dims) distinct unit rows; n may be 1.

        Returns ``places`` (n, 2) and whatever arrays ``place`` needs. Raises FunctionError or ValueError for settings that
        cannot work.
        """
        ...

    def place(self, embeddings: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
        """(m, 2): where unit rows that were not in the fit belong. Each row on its own: a map does not depend on chunks."""
        ...


def fit_projector(
    embeddings: np.ndarray, method: str, *, params: Mapping[str, Any] | None = None, random_state: int = 42
) -> dict[str, np.ndarray]:
    """Fit a map of (n, dims) vectors.

    Returns ``method``, ``places`` (distinct, 2), ``keys`` (distinct, 2), a hash of each distinct vector, and the method's arrays.

    Raises:
        FunctionError: the vectors are unusable, or a setting is unknown or cannot work; the message names the method.
    """
    import numpy as np

    module = member("projectors", method)
    settings = dict(params or {})
    check_parameters(settings, module.fit, f"map method {method}")
    rows = unit_rows(embeddings)
    if not len(rows):
        raise FunctionError("there is no vector to map", hint="is the table of embeddings empty, or every embedding NULL?")
    keys, first = np.unique(_keys(embeddings), axis=0, return_index=True)
    order = canonical_order(rows[first])
    try:
        found = module.fit(rows[first][order], random_state=random_state, **settings)
    except (TypeError, ValueError) as error:
        raise FunctionError(
            f"map method {method}: {error}", hint=f"settings given: {settings}, {len(first)} distinct rows"
        ) from error
    places = np.asarray(found["places"], dtype=np.float32)
    return {**found, "method": np.array(method), "keys": keys[order], "dims": np.array(rows.shape[1]), "places": places}


def place(embeddings: np.ndarray, fitted: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32 (m, 2): the place of each row in a fitted map; rows of the sample lie where the fit put them.

    Raises:
        FunctionError: a vector is zero or NaN, or of another length than those of the fit.
    """
    import numpy as np

    rows = unit_rows(embeddings)
    if rows.shape[1] != int(fitted["dims"]):
        raise FunctionError(
            f"vectors of {rows.shape[1]} numbers cannot go on a map of vectors of {int(fitted['dims'])}",
            hint="fit and place with the same embedder",
        )
    known = built(fitted, _by_key)
    at = np.array([known.get(key, -1) for key in map(tuple, _keys(embeddings).tolist())])
    places = np.empty((len(rows), 2), dtype=np.float32)
    places[at >= 0] = fitted["places"][at[at >= 0]]
    if (at < 0).any():
        places[at < 0] = member("projectors", str(fitted["method"])).place(rows[at < 0], fitted)
    return places


def _keys(embeddings: np.ndarray) -> np.ndarray:
    """uint64 (n, 2): a hash of the content of each row; -0.0 counts as 0.0."""
    import hashlib

    import numpy as np

    rows = np.ascontiguousarray(embeddings, dtype=np.float32) + np.float32(0)
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows)
    return np.frombuffer(digests, dtype=np.uint64).reshape(len(rows), 2)


def _by_key(fitted: Mapping[str, np.ndarray]) -> dict[tuple[int, int], int]:
    return {(a, b): i for i, (a, b) in enumerate(fitted["keys"].tolist())}
