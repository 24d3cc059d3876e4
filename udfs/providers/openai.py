"""Chat completions: OpenAI, and every server that speaks its interface (vLLM, Ollama, llama.cpp, OpenRouter, ...).

    {llm_id: gpt, provider: openai, model: gpt-..., temperature: 0, max_tokens: 150}                # OPENAI_API_KEY
    {llm_id: gpt, provider: openai, model: gpt-..., mode: batch}                 # half the price, within a day
    {llm_id: here, provider: openai, model: ..., base_url: http://127.0.0.1:8000/v1}                # no key is sent
    {llm_id: routed, provider: openai, model: ..., base_url: https://openrouter.ai/api/v1, api_key_env: OPENROUTER_API_KEY}

What a model refuses to take is left out from then on, and what a filter refuses is an answer: ``udfs/_served.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bclust.functions import Answer, Context, Limits
from udfs._completion import RENAMED, asked, messages, read_completion
from udfs._connection import Connection
from udfs._served import Served
from udfs.providers._openai_batches import Batches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from udfs.providers import Chat

_OFFICIAL = ("https://api.openai.com/v1", "OPENAI_API_KEY")


class Provider(Served):
    """``extra_body`` is merged into every request. ``top_logprobs`` is how many first tokens are asked for where they are.

    ``identity`` takes the place of ``base_url`` in what an answer is stored by (``udfs/_connection.py``).
    """

    path = "/chat/completions"
    renamed = RENAMED

    def __init__(
        self,
        context: Context,
        *,
        model: str,
        base_url: str | None = None,
        identity: str | None = None,
        api_key_env: str | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        frequency_penalty: float | None = None,
        presence_penalty: float | None = None,
        reasoning_effort: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        top_logprobs: int = 20,
    ) -> None:
        settings = {
            "top_p": top_p, "seed": seed, "frequency_penalty": frequency_penalty, "presence_penalty": presence_penalty,
            "reasoning_effort": reasoning_effort, **(extra_body or {}),
        }  # fmt: skip
        connection = Connection(
            context, "openai.AsyncOpenAI", _OFFICIAL, base_url=base_url, identity=identity, api_key_env=api_key_env
        )
        super().__init__("openai", model, connection, settings)
        self._top_logprobs = top_logprobs
        self._limit_name = "max_tokens" if base_url else "max_completion_tokens"
        self.batches = Batches(self)
        self.limits = Limits(max_concurrency=64)

    def body(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """A chat completion."""
        return {"model": self._model, "messages": messages(chat, dropped), **self.optional(chat, dropped)}

    def wished(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """Sampling, the most tokens, log-probabilities."""
        return asked(chat, self._settings, self._limit_name, self._top_logprobs, dropped)

    def read(self, response: Mapping[str, Any], detail: dict[str, Any]) -> Answer:
        """A chat completion's first choice."""
        return read_completion(response, detail)
