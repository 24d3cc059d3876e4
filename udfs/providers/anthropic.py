"""Anthropic's messages, and servers that speak them.

    {llm_id: claude, provider: anthropic, model: claude-..., max_tokens: 150}     # ANTHROPIC_API_KEY
    {llm_id: claude, provider: anthropic, model: claude-..., mode: batch}         # half the price, within a day

The interface has no log-probabilities, and newer models take no temperature: one that refuses it is asked again without, and the
detail of its answers says so under ``dropped``. A server without system messages gets them in front of the prompt (``system:
folded``). What a content filter refuses is an answer, with finish_reason content_filter.

``reasoning_effort`` (low, medium, high) lets a model think as much as it finds good, ``thinking_tokens`` up to so many tokens
(older models); both count towards max_tokens.
"""

from __future__ import annotations

import json
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
from udfs.providers._anthropic_batches import Batches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from udfs.providers import Chat

_OFFICIAL = "https://api.anthropic.com"
_MOST_TOKENS = 1024  # the interface wants a number; this one where max_tokens is not set


class Provider:
    """``extra_body`` is merged into every request. ``identity`` is that of ``udfs/providers/openai.py``."""

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
        top_k: int | None = None,
        reasoning_effort: str | None = None,
        thinking_tokens: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        self._context = context
        self._model = model
        self._base_url = checked_url(base_url)
        self._named = identity or self._base_url
        self._variable = api_key_env or (None if base_url else "ANTHROPIC_API_KEY")
        thinking = {"type": "enabled", "budget_tokens": thinking_tokens} if thinking_tokens else {"type": "adaptive"}
        asked = {
            "top_p": top_p, "top_k": top_k, "thinking": thinking if thinking_tokens or reasoning_effort else None,
            "output_config": {"effort": reasoning_effort} if reasoning_effort else None, **(extra_body or {}),
        }  # fmt: skip
        self._settings = {k: v for k, v in asked.items() if v is not None}
        self.dropped: set[str] = set()
        self._client: Any = None
        self.batches = Batches(self)
        self.limits = Limits(max_concurrency=32)

    def identity(self) -> dict[str, Any]:
        """Model, server and sampling."""
        return {"provider": "anthropic", "model": self._model, "base_url": self._named, **self._settings}

    async def complete(self, chat: Chat) -> Answer:
        """Ask once. Raises CallError."""
        import anthropic

        dropped = frozenset(self.dropped)
        try:
            response = await post(self.connected(), "/v1/messages", self.body(chat, dropped))
        except (anthropic.APIError, SaidError) as error:
            refused = refusal(error)
            if refused is None:
                raise self.explained(error, self.sent(chat, dropped)) from error
            return refused
        return self.answer(response, chat, dropped)

    def body(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """The request, without the parameters that are dropped."""
        body = {"model": self._model, "max_tokens": chat.max_tokens or _MOST_TOKENS, **self._optional(chat, dropped)}
        folded = "system" in dropped
        body["messages"] = [{"role": "user", "content": chat.folded if folded else chat.prompt}]
        if chat.system and not folded:
            body["system"] = chat.system
        return body

    def answer(self, response: Mapping[str, Any], chat: Chat, dropped: Collection[str]) -> Answer:
        """The answer in a response to such a request. Raises CallError for one that is none."""
        missed = {k: v for k, v in self._wished(chat).items() if k in dropped}
        detail: dict[str, Any] = {"dropped": missed} if missed else {}
        if chat.system and "system" in dropped:
            detail["system"] = "folded"
        try:
            return _answer(response, detail)
        except (LookupError, TypeError, AttributeError) as error:
            raise unreadable(f"no message ({type(error).__name__}: {error})") from error

    def explained(self, error: Exception, sent: Mapping[str, Any]) -> CallError:
        """What an error means; where it refuses one of the optional parameters that were sent, none is sent from then on."""
        refused = refused_parameter(error, sent)
        if refused is None:
            return call_error(error, model=self._model, variable=self._variable)
        self.dropped.add(refused)
        return CallError(f"{self._model} does not take {refused}", retry=True, after=0.001)

    def sent(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """What was sent that a model may refuse."""
        return {**self._optional(chat, dropped), **({"system": chat.system} if chat.system and "system" not in dropped else {})}

    def _optional(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        return {k: v for k, v in self._wished(chat).items() if k not in dropped}

    def _wished(self, chat: Chat) -> dict[str, Any]:
        return self._settings | ({} if chat.temperature is None else {"temperature": chat.temperature})

    def connected(self) -> Any:
        """The SDK's client. Raises CallError when there is no key."""
        if self._client is None:
            import anthropic

            self._client = anthropic.AsyncAnthropic(
                api_key=api_key(self._context, self._variable),
                base_url=self._base_url or _OFFICIAL,
                max_retries=0,
                timeout=None,
                http_client=http_client(anthropic),
            )
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()


def _answer(response: Mapping[str, Any], detail: dict[str, Any]) -> Answer:
    """The text blocks, joined. A refusal (stop_reason "refusal") is an answer, and so is no text."""
    content = response["content"]
    texts = [content] if isinstance(content, str) else [block["text"] for block in content or () if block["type"] == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"a text is a {type(next(t for t in texts if not isinstance(t, str))).__name__}")
    usage = response.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    read = [usage.get(k) for k in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    odd = [n for n in read if n is not None and (isinstance(n, bool) or not isinstance(n, int | float) or not 0 <= n < 2**63)]
    detail |= said_beside(reasoning=shown(response), reasoning_tokens=tokens_of(usage), model=response.get("model"))
    return Answer(
        "".join(texts),
        response.get("stop_reason"),
        odd[0] if odd else sum(n or 0 for n in read) if any(n is not None for n in read) else None,
        usage.get("output_tokens"),
        detail=json.dumps(detail, ensure_ascii=False) if detail else None,
    )
