"""Why answers end, in the words that providers and other tools have for it (``finish_reason``)."""

from __future__ import annotations

# OpenAI, Anthropic; Gemini (ai.google.dev/api/generate-content, FinishReason); Bedrock (Converse, stopReason); Zhipu
REFUSED_BY_SERVER = {
    "content_filter", "refusal", "safety", "prohibited_content", "blocklist", "spii", "recitation", "guardrail_intervened",
    "content_filtered", "sensitive", "error_toxic",
}  # fmt: skip
CUT_OFF = {"length", "max_tokens", "model_length", "max_output_tokens", "token_limit"}  # as udfs/is_cut_off.sql


def is_cut_off(finish_reason: str | None) -> bool:
    """Whether an answer ended at a limit of tokens."""
    return (finish_reason or "").lower() in CUT_OFF


def is_refused_by_server(finish_reason: str | None) -> bool:
    """Whether an answer ended since a filter stopped it.

    >>> is_refused_by_server("SAFETY"), is_refused_by_server("content_filter: PROHIBITED_CONTENT"), is_refused_by_server("stop")
    (True, True, False)
    """
    return finish_reason is not None and finish_reason.lower().split(":")[0].strip() in REFUSED_BY_SERVER
