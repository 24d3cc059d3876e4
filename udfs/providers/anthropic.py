"""Anthropic's messages, and servers that speak them.

    {llm_id: claude, provider: anthropic, model: claude-..., max_tokens: 150}     # ANTHROPIC_API_KEY

The interface has no log-probabilities, and newer models take no temperature: one that refuses it is asked again without, and the
detail of its answers says so under ``dropped``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bclust.functions import Answer, CallError, Context, Limits
from udfs._sdk import api_key, call_error, checked_url, http_client, post, refused_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from udfs.providers import Chat

_OFFICIAL = "https://api.anthropic.com"
_MOST_TOKENS = 1024  # the interface wants a number; this one where max_tokens is not set


class Provider:
    """``extra_body`` is merged into every request."""

    free = False

    def __init__(
        self,
        context: Context,
        *,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        self._context = context
        self._model = model
        self._base_url = checked_url(base_url)
        self._variable = api_key_env or (None if base_url else "ANTHROPIC_API_KEY")
        asked = {"top_p": top_p, "top_k": top_k, **(extra_body or {})}
        self._settings = {k: v for k, v in asked.items() if v is not None}
        self._dropped: set[str] = set()
        self._client: Any = None
        self.limits = Limits(max_concurrency=32)

    def identity(self) -> dict[str, Any]:
        """Model, server and sampling."""
        return {"provider": "anthropic", "model": self._model, "base_url": self._base_url, **self._settings}

    async def complete(self, chat: Chat) -> Answer:
        """Ask once. Raises CallError."""
        import anthropic

        optional = dict(self._settings)
        if chat.temperature is not None:
            optional["temperature"] = chat.temperature
        sent = {k: v for k, v in optional.items() if k not in self._dropped}
        body = {"model": self._model, "max_tokens": chat.max_tokens or _MOST_TOKENS, **sent}
        body["messages"] = [{"role": "user", "content": chat.prompt}]
        if chat.system:
            body["system"] = chat.system
        try:
            response = await post(self._connected(), "/v1/messages", body)
        except anthropic.APIError as error:
            refused = refused_parameter(error, sent)
            if refused is None:
                raise call_error(error, model=self._model, variable=self._variable) from error
            self._dropped.add(refused)
            raise CallError(f"{self._model} does not take {refused}", retry=True, after=0.001) from error
        try:
            return _answer(response, {k: v for k, v in optional.items() if k in self._dropped})
        except (LookupError, TypeError, AttributeError) as error:
            raise CallError(f"malformed answer: no message ({type(error).__name__}: {error})", retry=True) from error

    def _connected(self) -> Any:
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


def _answer(response: Mapping[str, Any], dropped: Mapping[str, Any]) -> Answer:
    """The text blocks, joined. A refusal (stop_reason "refusal") is an answer, and so is no text."""
    text = "".join(block["text"] for block in response["content"] if block["type"] == "text")
    usage = response.get("usage") or {}
    read = [usage.get(k) for k in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    return Answer(
        text,
        response.get("stop_reason"),
        sum(n or 0 for n in read) if usage else None,
        usage.get("output_tokens"),
        detail=json.dumps({"dropped": dict(dropped)}) if dropped else None,
    )
