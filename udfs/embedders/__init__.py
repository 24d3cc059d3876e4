"""Embedders: who turns a text into a vector. One file, one embedder; the name of the file is its ``provider`` in bclust.yml.

There are two kinds, and a file is of one of them:

* **fitted** (its vocabulary comes from the texts): functions ``fit`` and ``transform``, as ``FittedEmbedder`` says. SQL
  reaches it through ``fit_embedder`` and ``transform_text``.
* **called** (remote or heavy; each text on its own): a class ``Embedder``, as ``CalledEmbedder`` says. SQL reaches it
  through ``embed``, whose answers are kept in the call store.

Either way a text becomes a float32 vector of length 1, and a row ``{embedder: NAME, provider: FILE, ...}`` of the seed
``embedders`` holds its settings. A fitted embedder in full:

    def fit(texts, *, random_state, dims=64):
        return {"letters": np.array(sorted(set("".join(texts)))[:dims])}

    def transform(texts, fitted):
        counts = np.array([[t.count(c) for c in fitted["letters"]] for t in texts], np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bclust.functions import member

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from bclust.functions import Context, Limits


class FittedEmbedder(Protocol):
    """A module whose vectors depend on all texts: it is fitted once on a sample and applied to every text."""

    def fit(self, texts: Sequence[str], *, random_state: int, **params: Any) -> dict[str, np.ndarray]:
        """What ``transform`` needs, as numpy arrays of numbers or text. ``params`` are the row's other settings.

        The order of the texts does not matter. Raises FunctionError when nothing can be learned from them.
        """
        ...

    def transform(self, texts: Sequence[str], fitted: Mapping[str, np.ndarray]) -> np.ndarray:
        """float32 (n, dims), one unit row per text; the empty text has a row, too."""
        ...


@dataclass(frozen=True)
class Vectors:
    """What a called embedder answers: ``values`` is float32 (n, dims), one row per text, of any length but 0.

    ``input_tokens`` are counted per text; None where the embedder does not say.
    """

    values: np.ndarray
    input_tokens: Sequence[int | None]


class CalledEmbedder(Protocol):
    """The class ``Embedder`` of a called embedder's file.

    The constructor takes the row's settings by name; it is cheap, opens nothing, and needs no key. A file has one of
    ``embed`` and ``embed_batch``. With ``heavy = True`` it computes here: with ``executor: ray`` a cluster does it.
    """

    limits: Limits
    free: bool
    """No money is asked for an answer (it runs here)."""

    def __init__(self, context: Context, **settings: Any) -> None: ...

    def identity(self) -> dict[str, Any]:
        """The settings that decide the vector (they are part of the key), and no others."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed at most ``limits.batch_size`` texts. Raises CallError; a batch that fails is halved until the text is found."""
        ...

    def embed_batch(self, texts: Sequence[str]) -> Vectors:
        """The same for work that runs here; called in a thread."""
        ...

    async def close(self) -> None:
        """Give back connections; the embedder may be used again afterwards."""
        ...


def is_fitted(provider: str) -> bool:
    """Whether the embedder in ``udfs/embedders/PROVIDER.py`` is fitted (not called).

    Raises:
        FunctionError: there is no such file.
    """
    return hasattr(member("embedders", provider), "fit")
