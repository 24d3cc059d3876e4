"""Chat completions: OpenAI, and every server that speaks its interface (vLLM, Ollama, llama.cpp, OpenRouter, ...).

    {llm_id: gpt, provider: openai, model: gpt-..., temperature: 0, max_tokens: 150}                # OPENAI_API_KEY
    {llm_id: gpt, provider: openai, model: gpt-..., mode: batch}                 # half the price, within a day
    {llm_id: here, provider: openai, model: ..., base_url: http://127.0.0.1:8000/v1}                # no key is sent
    {llm_id: routed, provider: openai, model: ..., base_url: https://openrouter.ai/api/v1, api_key_env: OPENROUTER_API_KEY}

A model that refuses a parameter (temperature or max_tokens, as reasoning models do) is asked again without it, and not with it
from then on; the detail of its answers says so under ``dropped``. One that knows no system message gets it in front of the prompt
(``system: folded``). Such a refusal costs nothing. What a content filter refuses is an answer, with finish_reason content_filter.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from bclust.functions import Answer, CallError, Context, Limits
from udfs._reasoning import shown, tokens_of
from udfs._sdk import (
    SaidError,
    api_key,
    call_error,
    checked_url,
    http_client,
    post,
    refusal,
    refused_parameter,
    said_beside,
    unreadable,
)  # fmt: skip
from udfs.providers._openai_batches import Batches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from udfs.providers import Chat

_OFFICIAL = "https://api.openai.com/v1"
_SWAPPED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


class Provider:
    """``extra_body`` is merged into every request. ``top_logprobs`` is how many first tokens are asked for where they are.

    ``identity`` takes the place of ``base_url`` in what an answer is stored by: a server that moves to another port or host under
    the same identity is asked nothing twice. (The address that it had before is an identity, too.)
    """

    free = False

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
        self._context = context
        self._model = model
        self._base_url = checked_url(base_url)
        self._named = identity or self._base_url
        # another server is never shown OpenAI's key: only one that is named for it
        self._variable = api_key_env or (None if base_url else "OPENAI_API_KEY")
        asked: dict[str, Any] = {
            "top_p": top_p, "seed": seed, "frequency_penalty": frequency_penalty, "presence_penalty": presence_penalty,
            "reasoning_effort": reasoning_effort, **(extra_body or {}),
        }  # fmt: skip
        self._settings = {k: v for k, v in asked.items() if v is not None}
        self._top_logprobs = top_logprobs
        self._limit_name = "max_tokens" if base_url else "max_completion_tokens"
        self.dropped: set[str] = set()
        self._client: Any = None
        self.batches = Batches(self)
        self.limits = Limits(max_concurrency=64)

    def identity(self) -> dict[str, Any]:
        """Model, server and sampling."""
        return {"provider": "openai", "model": self._model, "base_url": self._named, **self._settings}

    async def complete(self, chat: Chat) -> Answer:
        """Ask once. Raises CallError."""
        import openai

        dropped = frozenset(self.dropped)
        try:
            response = await post(self.connected(), "/chat/completions", self.body(chat, dropped))
        except (openai.APIError, SaidError) as error:
            refused = refusal(error)
            if refused is None:
                raise self.explained(error, self.sent(chat, dropped)) from error
            return refused
        return self.answer(response, chat, dropped)

    def body(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """The request, without the parameters that are dropped."""
        folded = [{"role": "user", "content": chat.folded}]
        messages = folded if "system" in dropped else chat.messages
        return {"model": self._model, "messages": messages, **self._optional(chat, dropped)}

    def answer(self, response: Mapping[str, Any], chat: Chat, dropped: Collection[str]) -> Answer:
        """The answer in a response to such a request. Raises CallError for one that is none."""
        missed = {k: v for k, v in self._wished(chat, dropped).items() if k in dropped and k not in _SWAPPED}
        detail: dict[str, Any] = {"dropped": missed} if missed else {}
        if chat.system and "system" in dropped:
            detail["system"] = "folded"
        try:
            return _answer(response, detail)
        except (LookupError, TypeError, AttributeError) as error:
            raise unreadable(f"no chat completion ({type(error).__name__}: {error})") from error

    def explained(self, error: Exception, sent: Mapping[str, Any]) -> CallError:
        """What an error means; where it refuses one of the optional parameters that were sent, none is sent from then on."""
        refused = refused_parameter(error, sent)
        if refused is None:
            return call_error(error, model=self._model, variable=self._variable)
        self._adapt(refused)
        return CallError(f"{self._model} does not take {refused}", retry=True, after=0.001)

    def sent(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """What was sent that a model may refuse."""
        return {**self._optional(chat, dropped), **({"system": chat.system} if chat.system and "system" not in dropped else {})}

    def _optional(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        return {k: v for k, v in self._wished(chat, dropped).items() if k not in dropped}

    def _wished(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        optional = dict(self._settings)
        if chat.temperature is not None:
            optional["temperature"] = chat.temperature
        if chat.max_tokens is not None:
            optional[_SWAPPED[self._limit_name] if self._limit_name in dropped else self._limit_name] = chat.max_tokens
        if chat.logprobs:
            optional |= {"logprobs": True, "top_logprobs": self._top_logprobs}
        if "seed" in optional:
            optional["seed"] += chat.draw
        return optional

    def _adapt(self, refused: str) -> None:
        self.dropped.add(refused)
        if refused in ("logprobs", "top_logprobs"):
            self.dropped |= {"logprobs", "top_logprobs"}

    def connected(self) -> Any:
        """The SDK's client. Raises CallError when there is no key."""
        if self._client is None:
            import openai

            self._client = openai.AsyncOpenAI(
                api_key=api_key(self._context, self._variable),
                base_url=self._base_url or _OFFICIAL,
                max_retries=0,
                timeout=None,
                http_client=http_client(openai),
            )
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()


def _answer(response: Mapping[str, Any], detail: dict[str, Any]) -> Answer:
    """The text, or the refusal, of the first choice. Raises LookupError, TypeError or AttributeError for anything else."""
    choice = response["choices"][0]
    message = choice["message"]
    refused = message.get("refusal")
    refused = refused if isinstance(refused, str) else None
    text = message.get("content") or refused or ""
    if isinstance(text, list):  # parts, as some servers give them; thinking is none of the answer
        text = "".join(part["text"] for part in text if part["type"] == "text")
    if not isinstance(text, str):
        raise TypeError(f"the content is a {type(text).__name__}, not a text")
    usage = response.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    detail |= said_beside(
        refusal=refused,
        reasoning=shown(message),
        reasoning_tokens=tokens_of(usage),
        model=response.get("model"),
        fingerprint=response.get("system_fingerprint"),
        top_logprobs=_top_logprobs(choice.get("logprobs")),
    )
    return Answer(
        text,
        choice.get("finish_reason"),
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        usage.get("cost"),  # OpenRouter says what it charged
        detail=json.dumps(detail, ensure_ascii=False) if detail else None,
    )


def _top_logprobs(logprobs: Any) -> list[dict[str, Any]]:
    """The likely first tokens, as far as the server gave them: an answer without them, or with odd ones, is an answer."""
    try:
        listed = logprobs["content"][0]["top_logprobs"]
        return [{"token": top["token"], "logprob": top["logprob"]} for top in listed if _is_logprob(top)]
    except (LookupError, TypeError, OverflowError):
        return []


def _is_logprob(top: Any) -> bool:
    known = isinstance(top.get("token"), str) and isinstance(top.get("logprob"), int | float) if isinstance(top, dict) else False
    return known and math.isfinite(top["logprob"])
