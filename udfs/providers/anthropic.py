"""Anthropic's messages, and servers that speak them.

    {llm_id: claude, provider: anthropic, model: claude-..., max_tokens: 150}     # ANTHROPIC_API_KEY
    {llm_id: claude, provider: anthropic, model: claude-..., mode: batch}         # half the price, within a day

The interface has no log-probabilities, and newer models take no temperature. What a model refuses to take is left out from then
on, and what a filter refuses is an answer: ``udfs/_served.py``.

``reasoning_effort`` (low, medium, high) lets a model think as much as it finds good, ``thinking_tokens`` up to so many tokens
(older models); both count towards max_tokens.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bclust.functions import Answer, Context, Limits
from udfs._connection import Connection
from udfs._reasoning import shown, tokens_of
from udfs._sdk import said_beside
from udfs._served import Served
from udfs.providers._anthropic_batches import Batches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from udfs.providers import Chat

_OFFICIAL = ("https://api.anthropic.com", "ANTHROPIC_API_KEY")
_MOST_TOKENS = 1024  # the interface wants a number; this one where max_tokens is not set


class Provider(Served):
    """``extra_body`` is merged into every request. ``identity`` is that of ``udfs/providers/openai.py``."""

    path = "/v1/messages"

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
        thinking = {"type": "enabled", "budget_tokens": thinking_tokens} if thinking_tokens else {"type": "adaptive"}
        settings = {
            "top_p": top_p, "top_k": top_k, "thinking": thinking if thinking_tokens or reasoning_effort else None,
            "output_config": {"effort": reasoning_effort} if reasoning_effort else None, **(extra_body or {}),
        }  # fmt: skip
        connection = Connection(
            context, "anthropic.AsyncAnthropic", _OFFICIAL, base_url=base_url, identity=identity, api_key_env=api_key_env
        )
        super().__init__("anthropic", model, connection, settings)
        self.batches = Batches(self)
        self.limits = Limits(max_concurrency=32)

    def body(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """A message."""
        folded = "system" in dropped
        return {
            "model": self._model,
            "max_tokens": chat.max_tokens or _MOST_TOKENS,
            **self.optional(chat, dropped),
            "messages": [{"role": "user", "content": chat.folded if folded else chat.prompt}],
            **({"system": chat.system} if chat.system and not folded else {}),
        }

    def wished(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:  # noqa: ARG002 - nothing has another name
        """Sampling, and how it is to think."""
        return self._settings | ({} if chat.temperature is None else {"temperature": chat.temperature})

    def read(self, response: Mapping[str, Any], detail: dict[str, Any]) -> Answer:
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
