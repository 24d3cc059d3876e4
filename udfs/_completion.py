"""Chat completions, the form in which OpenAI and most others are asked and answer."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from bclust.functions import Answer
from udfs._reasoning import shown, tokens_of
from udfs._sdk import said_beside

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from udfs.providers import Chat

RENAMED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def asked(
    chat: Chat, settings: Mapping[str, Any], limit_name: str, top_logprobs: int, dropped: Collection[str] = ()
) -> dict[str, Any]:
    """The optional parameters of a chat. ``limit_name`` is what the most tokens are called, if the model takes that name."""
    optional = dict(settings)
    if chat.temperature is not None:
        optional["temperature"] = chat.temperature
    if chat.max_tokens is not None:
        optional[RENAMED[limit_name] if limit_name in dropped else limit_name] = chat.max_tokens
    if chat.logprobs:
        optional |= {"logprobs": True, "top_logprobs": top_logprobs}
    if "seed" in optional:
        optional["seed"] += chat.draw
    return optional


def messages(chat: Chat, dropped: Collection[str]) -> list[dict[str, str]]:
    """A system message and the prompt, or both in one where the model knows no system message."""
    return [{"role": "user", "content": chat.folded}] if "system" in dropped else chat.messages


def read_completion(response: Mapping[str, Any], detail: dict[str, Any]) -> Answer:
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
