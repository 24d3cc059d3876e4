"""embed(text, embedder): the vector of one text, computed or bought once and kept."""

from __future__ import annotations

import asyncio
import functools
import json
import math
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError, did_you_mean
from bclust.functions import Answer, CallError, Context, Estimate, Limits, Request, call
from udfs._prices import Prices, price, prices
from udfs._settings import construct, files_of
from udfs.embedders import CalledEmbedder, Vectors, is_fitted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TAKEN = ("embedder", "usd_per_mtok_in", "usd_per_mtok_out")


@call(
    """(text VARCHAR, embedder VARCHAR)
    -> STRUCT(vector FLOAT[], error VARCHAR, input_tokens INTEGER, latency_ms DOUBLE, cost_usd DOUBLE, answered_at TIMESTAMP)""",
    version=1,
    reads=("embedders",),
    uses=("embedders",),
)
class Embed:
    """The unit vector of a text by a called embedder of the seed `embedders`.

    NULL for an embedder that is fitted: ``fit_embedder`` and ``transform_text`` serve those.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rows = {str(row.get("embedder")): row for row in context.rows("embedders")}
        self._embedders: dict[str, EmbedderLane | None] = {}

    def request(self, text: str, embedder: str) -> Request | None:
        """The payload is the embedder's identity and the text."""
        lane = self._embedders[embedder] if embedder in self._embedders else self._open(embedder)
        return Request(embedder, f"{lane.head}{encode_basestring(text)}}}") if lane else None

    def outside(self) -> dict[str, str]:
        """Fingerprints of the files from which embedders are made."""
        return files_of(self._rows, lambda name: getattr(self._open(name), "embedder", None))

    def lane(self, name: str) -> EmbedderLane:
        """The embedder of that name."""
        lane = self._open(name)
        if lane is None:
            raise FunctionError(f"the embedder {name} is fitted; embed() does not serve it")
        return lane

    def _open(self, name: str) -> EmbedderLane | None:
        if name in self._embedders:
            return self._embedders[name]
        if name not in self._rows:
            raise FunctionError(f"there is no embedder {name!r} in the seed embedders", hint=did_you_mean(name, self._rows))
        row = self._rows[name]
        fitted = bool(row.get("provider")) and is_fitted(str(row["provider"]))
        return self._embedders.setdefault(name, None if fitted else EmbedderLane(row, self._context))


class EmbedderLane:
    """A lane: payloads to an embedder and unit vectors back, priced."""

    def __init__(self, row: Mapping[str, Any], context: Context) -> None:
        self._row = row
        self._what = f"embedder {row['embedder']}"
        self.embedder: CalledEmbedder
        self.limits: Limits
        self.embedder, self.limits = construct("embedders", "Embedder", self._what, row, context, taken=_TAKEN)
        self.heavy = bool(getattr(self.embedder, "heavy", False))
        identity = json.dumps(self.embedder.identity(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self.head = f'{{"embedder":{identity},"text":'

    @functools.cached_property
    def _rates(self) -> Prices | None:
        return prices(self._what, self._row, free=self.embedder.free)

    async def answer(self, payloads: Sequence[str]) -> Sequence[Answer | CallError]:
        """Embed, scale to length 1, price."""
        texts = [json.loads(payload)["text"] for payload in payloads]
        if hasattr(self.embedder, "embed"):
            vectors = await self.embedder.embed(texts)
        else:
            vectors = await asyncio.to_thread(self.embedder.embed_batch, texts)
        return _answers(vectors, len(texts), self._rates)

    def estimate(self, payload: str) -> Estimate:
        """About four characters are a token; the cost is an upper bound: a token has at least one byte."""
        text = json.loads(payload)["text"]
        return Estimate(math.ceil(len(text) / 4), 0, price(self._rates, len(text.encode()) + 8, 0))

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """US dollars for so many tokens; None where the price is unknown."""
        return price(self._rates, input_tokens, output_tokens)

    async def close(self) -> None:
        """Give back connections."""
        await self.embedder.close()


def _answers(vectors: Vectors, n: int, rates: Prices | None) -> list[Answer | CallError]:
    """One answer per row: float32 bytes of the vector scaled to length 1. A row of zeros or without numbers is an error."""
    import numpy as np

    values = np.asarray(vectors.values, dtype=np.float32)
    if values.ndim != 2 or len(values) != n:
        raise CallError(f"{n} texts were sent, vectors of shape {values.shape} came back")
    lengths = np.linalg.norm(values.astype(np.float64), axis=1)
    answers: list[Answer | CallError] = []
    for row, length, tokens in zip(values, lengths, vectors.input_tokens, strict=True):
        if not np.isfinite(length) or length == 0:
            answers.append(CallError("the vector has no direction: it is zero or not finite"))
            continue
        unit = (row / length).astype(np.float32)
        answers.append(Answer(unit.tobytes(), input_tokens=tokens, cost_usd=price(rates, tokens, 0)))
    return answers
