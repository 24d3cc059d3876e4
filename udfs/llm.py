"""llm(prompt, llm_id, ...): one answer of one language model, asked once and kept."""

from __future__ import annotations

import asyncio
import functools
import json
import math
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError, did_you_mean
from bclust.functions import Answer, CallError, Context, Estimate, Limits, Request, call
from udfs._batches import SETTINGS, half, in_batches
from udfs._endings import is_cut_off
from udfs._prices import Prices, price, prices, set_prices
from udfs._reasoning import may_hold_thoughts, read_answer
from udfs._settings import checked_number, construct, files_of
from udfs.providers import Chat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from udfs.providers import ChatProvider

_OVERHEAD = 8  # tokens that a chat format adds to a message, at most
_USUAL_OUTPUT, _MOST_OUTPUT = 256, 4096  # tokens assumed where max_tokens is not set, for an estimate and for a bound
_TAKEN = ("llm_id", "role", "replicate", "temperature", "max_tokens", "usd_per_mtok_in", "usd_per_mtok_out", *SETTINGS)


@call(
    """(prompt VARCHAR, llm_id VARCHAR, system VARCHAR := NULL, sample INTEGER := 0, temperature DOUBLE := NULL,
        max_tokens INTEGER := NULL, logprobs BOOLEAN := false, truth JSON := NULL)
    -> STRUCT(text VARCHAR, reasoning VARCHAR, error VARCHAR, finish_reason VARCHAR, input_tokens INTEGER, output_tokens INTEGER,
              latency_ms DOUBLE, cost_usd DOUBLE, answered_at TIMESTAMP, detail VARCHAR)""",
    version=1,
    reads=("llms",),
    uses=("providers",),
)
class Llm:
    """Ask a language model of the seed `llms` one question.

    ``text`` is what it answered, ``reasoning`` what it thought before, where server or text show that; a thought that was cut
    off leaves no text. ``temperature`` and ``max_tokens`` are the row's unless given. ``sample`` numbers repetitions of one
    question. ``detail`` is JSON with what came beside the text: the most likely first tokens where ``logprobs`` asks for them,
    tokens of thoughts, who answered. ``truth`` is for language models that are simulated or recorded, and goes to no other.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rows = {str(row.get("llm_id")): row for row in context.rows("llms")}
        self._models: dict[str, LanguageModel] = {}

    def request(
        self,
        prompt: str,
        llm_id: str,
        system: str | None,
        sample: int | None,
        temperature: float | None,
        max_tokens: int | None,
        logprobs: bool | None,
        truth: str | None,
    ) -> Request:
        """The payload holds all that decides the answer, with sorted keys; it is what a key is made of."""
        model = self._models.get(llm_id) or self._open(llm_id)
        head, tail = model.frames.get((temperature, max_tokens, logprobs)) or model.frame(temperature, max_tokens, logprobs)
        message = f'{{"content":{encode_basestring(prompt)},"role":"user"}}'
        if system:
            message = f'{{"content":{encode_basestring(system)},"role":"system"}},{message}'
        known = f',"truth":{truth}' if truth and model.sees_truth else ""
        return Request(llm_id, f'{head}{message}],"sample":{sample or 0},{tail}{known}}}')

    def read(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Answers as they came, parted into text and reasoning; where the thought has no end, the answer ended at a limit."""
        texts, ends, details = list(columns["text"]), list(columns["finish_reason"]), columns["detail"]
        reasoning: list[str | None] = [None] * len(texts)
        for i, (text, detail) in enumerate(zip(texts, details, strict=True)):
            if text is not None and may_hold_thoughts(text, detail):
                texts[i], reasoning[i], ends[i] = read_answer(text, ends[i], detail)
        return {"text": texts, "reasoning": reasoning, "finish_reason": ends}

    def outside(self) -> dict[str, str]:
        """Fingerprints of the files from which language models are made: weights, recorded answers."""
        return files_of(self._rows, lambda name: self.lane(name).provider)

    def lane(self, name: str) -> LanguageModel:
        """The language model of that name."""
        return self._models.get(name) or self._open(name)

    def _open(self, llm_id: str) -> LanguageModel:
        if llm_id not in self._rows:
            raise FunctionError(f"there is no llm {llm_id!r} in the seed llms", hint=did_you_mean(llm_id, self._rows))
        return self._models.setdefault(llm_id, LanguageModel(self._rows[llm_id], self._context))


class LanguageModel:
    """A lane: payloads to a provider and back, priced. With ``mode: batch`` they go in batches, at half the price."""

    def __init__(self, row: Mapping[str, Any], context: Context) -> None:
        self._row = row
        self._what = f"llm {row['llm_id']}"
        self.provider: ChatProvider
        self.limits: Limits
        self.provider, self.limits = construct("providers", "Provider", self._what, row, context, taken=_TAKEN)
        self.heavy = bool(getattr(self.provider, "heavy", False))
        self.sees_truth = bool(getattr(self.provider, "sees_truth", False))
        self._temperature = checked_number(self._what, "temperature", row.get("temperature"))
        max_tokens = checked_number(self._what, "max_tokens", row.get("max_tokens"), low=1)
        self._max_tokens = None if max_tokens is None else int(max_tokens)
        self.batching = in_batches(self._what, row, self.provider, _chat, lambda: self._list_prices, _most_input)
        replicate = checked_number(self._what, "replicate", row.get("replicate"))
        apart = {"replicate": int(replicate)} if replicate else {}  # asked apart from another row of the same language model
        self._identity = json.dumps(
            {**self.provider.identity(), **apart}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        self.frames: dict[tuple[float | None, int | None, bool | None], tuple[str, str]] = {}

    def frame(self, temperature: float | None, max_tokens: int | None, logprobs: bool | None) -> tuple[str, str]:
        """What stands before and behind the messages and the sample in a payload."""
        degrees = self._temperature if temperature is None else float(temperature)
        most = self._max_tokens if max_tokens is None else max_tokens
        head = f'{{"llm":{self._identity},"logprobs":{json.dumps(bool(logprobs))},"max_tokens":{json.dumps(most)},"messages":['
        return self.frames.setdefault((temperature, max_tokens, logprobs), (head, f'"temperature":{json.dumps(degrees)}'))

    @functools.cached_property
    def _list_prices(self) -> Prices | None:
        return prices(self._what, self._row, free=self.provider.free, sold_as=getattr(self.provider, "sold_as", None))

    @functools.cached_property
    def _rates(self) -> Prices | None:
        batched = self.batching is not None and not self.batching.limits.collect_only
        return half(self._list_prices) if batched else self._list_prices

    async def answer(self, payloads: Sequence[str]) -> Sequence[Answer | CallError]:
        """Ask the provider; a price that it does not name follows from the tokens."""
        chats = [_chat(payload) for payload in payloads]
        if self.limits.batch_size == 1 and hasattr(self.provider, "complete"):
            results: Sequence[Answer | CallError] = [await self.provider.complete(chats[0])]
        elif hasattr(self.provider, "complete_batch"):
            results = await asyncio.to_thread(self.provider.complete_batch, chats)
        else:
            results = await asyncio.gather(*(self.provider.complete(chat) for chat in chats))
        for payload, result in zip(payloads, results, strict=False):
            if isinstance(result, Answer):
                set_prices(result, self._rates, functools.partial(_most_input, payload))
        return results

    def needs(self) -> str:
        """What this machine must have for it, in words; "" for what runs elsewhere."""
        said = getattr(self.provider, "needs", None)
        return said() if said else ""

    def remark(self, payload: str, answer: Answer) -> str | None:
        """That an answer was cut off, and what to raise."""
        if not is_cut_off(answer.finish_reason):
            return None
        most = json.loads(payload)["max_tokens"]
        return f"were cut at max_tokens ({most or 'not set'}): raise it; thoughts, where there are some, count towards it"

    def estimate(self, payload: str) -> Estimate:
        """About four characters are a token; the cost is an upper bound: a token has at least one byte."""
        chat = json.loads(payload)
        texts = [message["content"] for message in chat["messages"]]
        output, most_output = chat["max_tokens"] or _USUAL_OUTPUT, chat["max_tokens"] or _MOST_OUTPUT
        overhead = _OVERHEAD * (len(texts) + 1)
        most = price(self._rates, _most_tokens(texts), most_output)
        return Estimate(math.ceil(sum(map(len, texts)) / 4) + overhead // 2, output, most)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """US dollars for so many tokens; None where the price is unknown."""
        return price(self._rates, input_tokens, output_tokens)

    async def close(self) -> None:
        """Give back connections."""
        await self.provider.close()


def _most_input(payload: str) -> int:
    return _most_tokens([message["content"] for message in json.loads(payload)["messages"]])


def _most_tokens(texts: Sequence[str]) -> int:
    """Tokens of messages, at most: each token has at least one byte."""
    return sum(len(text.encode()) for text in texts) + _OVERHEAD * (len(texts) + 1)


def _chat(payload: str) -> Chat:
    asked = json.loads(payload)
    contents = {message["role"]: message["content"] for message in asked["messages"]}
    return Chat(
        contents["user"],
        contents.get("system"),
        asked["sample"],
        asked["temperature"],
        asked["max_tokens"],
        asked["logprobs"],
        asked.get("truth"),
        asked["llm"].get("replicate", 0),
    )
