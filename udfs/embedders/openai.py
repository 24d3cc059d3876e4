"""Embeddings of OpenAI, and of every server that speaks its interface.

    {embedder: ada, provider: openai, model: text-embedding-3-small, dimensions: 512}     # OPENAI_API_KEY
    {embedder: here, provider: openai, model: ..., base_url: http://127.0.0.1:8000/v1}    # no key is sent

Texts go in batches (``batch_size``); one that the server refuses is found by halving its batch, and costs no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bclust.functions import Context, Limits
from udfs._connection import Connection
from udfs._sdk import SaidError, call_error, post, unreadable
from udfs.embedders import Vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

_OFFICIAL = ("https://api.openai.com/v1", "OPENAI_API_KEY")


class Embedder:
    """``dimensions`` shortens the vectors of models that can. ``identity`` is that of ``udfs/providers/openai.py``."""

    free = False

    def __init__(
        self,
        context: Context,
        *,
        model: str,
        base_url: str | None = None,
        identity: str | None = None,
        api_key_env: str | None = None,
        dimensions: int | None = None,
    ) -> None:
        self._model = model
        self._connection = Connection(
            context, "openai.AsyncOpenAI", _OFFICIAL, base_url=base_url, identity=identity, api_key_env=api_key_env
        )
        self._dimensions = dimensions
        self.limits = Limits(max_concurrency=8, batch_size=64)

    def identity(self) -> dict[str, Any]:
        """Model, server and length."""
        return {"provider": "openai", "model": self._model, "base_url": self._connection.name, "dimensions": self._dimensions}

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed a batch. The tokens that the server counted are shared out by length. Raises CallError."""
        import numpy as np

        # the interface refuses an empty text; a blank has no more meaning
        body: dict[str, Any] = {"model": self._model, "input": [text or " " for text in texts], "encoding_format": "float"}
        if self._dimensions:
            body["dimensions"] = self._dimensions
        try:
            response = await post(self._connection.client(), "/embeddings", body)
        except (self._connection.errors, SaidError) as error:
            raise call_error(error, model=self._model, variable=self._connection.variable) from error
        try:
            ordered = sorted(response["data"], key=lambda item: item["index"])
            values = np.array([item["embedding"] for item in ordered], dtype=np.float32)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise unreadable(f"no embeddings ({type(error).__name__}: {error})") from error
        if values.shape[:1] != (len(texts),) or values.ndim != 2 or not values.size:
            raise unreadable(f"{len(values)} vectors for {len(texts)} texts")
        if not np.isfinite(values).all() or not values.any(axis=1).all():
            raise unreadable("a vector that has no direction (zeros, or what is no number)")
        usage = response.get("usage")
        return Vectors(values, _shared_out(usage.get("prompt_tokens") if isinstance(usage, dict) else None, texts))

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()


def _shared_out(total: Any, texts: Sequence[str]) -> list[int | None]:
    """A whole number of tokens per text, in proportion to its length, which add up to ``total``; None where that is no number."""
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 <= total < 2**53:
        return [None] * len(texts)
    lengths = [len(text) + 1 for text in texts]
    shares: list[int | None] = []
    given, seen = 0, 0
    for length in lengths:
        seen += length
        upto = round(total * seen / sum(lengths))
        shares.append(upto - given)
        given = upto
    return shares
