"""In which forms language models think, filters refuse, and servers know no system message; and what each means.

The forms of thoughts are those of udfs/_reasoning.py, where the language models that write them are named; errors are in the words of
the servers that say them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.functional.odd_replies import Body, Wire

SOME_YES = "Some would say yes. But lying is wrong."  # a thought that decides otherwise than the answer, "No"
NOT_MINE = "I am an AI, I cannot have opinions."


@dataclass(frozen=True)
class Form:
    """``reply`` makes it of a good answer and the request; then these stand in the table. ``text``: the same as one text, where it is."""

    reply: Callable[[Body, Body], Wire]
    answer: str = "No"
    reasoning: str | None = None
    decision: str = "disapproved"
    cut_off: bool = False
    folded: bool = False
    error: str | None = None
    only: str = ""
    text: str | None = None


def wire(body: Body, status: int = 200) -> Wire:
    """A body as JSON."""
    return Wire(json.dumps(body).encode(), status)


def _text(text: str, finish: str | None = None) -> Callable[[Body, Body], Wire]:
    def reply(good: Body, _: Body) -> Wire:
        body = deepcopy(good)
        if "choices" in body:
            body["choices"][0]["message"]["content"] = text
            body["choices"][0]["finish_reason"] = finish or "stop"
        else:
            body["content"] = [{"type": "text", "text": text}]
            body["stop_reason"] = {"length": "max_tokens", None: "end_turn"}.get(finish, finish)
        return wire(body)

    return reply


def thought(text: str, finish: str | None = None, **expected: Any) -> Form:
    """A form in which thoughts and answer come as one text."""
    return Form(_text(text, finish), **({"reasoning": SOME_YES} | expected), text=text)


def _message(content: Any, finish: str = "stop", **fields: Any) -> Callable[[Body, Body], Wire]:
    def reply(good: Body, _: Body) -> Wire:
        body = deepcopy(good)
        body["choices"][0]["message"] = {"role": "assistant", "content": content, **fields}
        body["choices"][0]["finish_reason"] = finish
        body["usage"]["completion_tokens_details"] = {"reasoning_tokens": 7}
        return wire(body)

    return reply


def apart(content: Any = "No", finish: str = "stop", **fields: Any) -> Form:
    """A form in which a server of OpenAI's interface gives the thoughts in a field of their own."""
    return Form(_message(content, finish, **fields), reasoning=SOME_YES, only="openai")


def _blocks(*blocks: Body, stop: str = "end_turn") -> Callable[[Body, Body], Wire]:
    return lambda good, _: wire({**good, "content": list(blocks), "stop_reason": stop})


def filtered(status: int, error: Any, only: str = "", **beside: Any) -> Form:
    """A refusal in the form of an error."""
    return Form(lambda _, __: wire({"error": error, **beside}, status), answer="", decision="refused", only=only)


def stopped(reason: str, only: str = "openai") -> Form:
    """A refusal by the reason for which an answer ended."""
    return Form(_text("", reason), answer="", decision="refused", only=only)


def no_system(status: int, error: Any, only: str = "openai") -> Form:
    """A server that takes one message and no other."""

    def reply(good: Body, request: Body) -> Wire:
        knows = "system" not in request and request["messages"][0]["role"] == "user"
        return _text("No")(good, request) if knows else wire({"error": error} if isinstance(error, dict) else error, status)

    return Form(reply, folded=True, only=only)


def _error(message: str, **parts: Any) -> Body:
    return {"message": message, "type": "invalid_request_error", "param": None, "code": None, **parts}


_HARMONY = f"<|channel|>analysis<|message|>{SOME_YES}<|end|><|start|>assistant<|channel|>final<|message|>No"

FORMS: dict[str, Form] = {
    # one text
    "think": thought(f"<think>{SOME_YES}</think> No"),
    "think_lines": thought(f"<think>\n{SOME_YES}\n</think>\n\nNo"),
    "think_upper": thought(f"<THINK>{SOME_YES}</THINK>\nNo"),
    "think_opened_by_the_template": thought(f"{SOME_YES}\n</think>\n\nNo"),
    "think_unfinished": thought(f"<think>{SOME_YES}", "length", answer="", decision="unparsable", cut_off=True),
    "think_unfinished_yes_no": thought(
        "<think>This goes on and on, yes no yes", "length", answer="", decision="unparsable", cut_off=True,
        reasoning="This goes on and on, yes no yes",
    ),
    "think_unfinished_and_stopped": thought(f"<think>{SOME_YES}", answer="", decision="unparsable", cut_off=True),
    "think_nothing": thought("<think>\n\n</think>\n\nNo", reasoning=None),
    "think_without_opinion": thought(f"<think>{NOT_MINE}</think>Yes", answer="Yes", decision="approved", reasoning=NOT_MINE),
    "think_twice": thought(
        "<think>Some would say yes.</think>\n<think>But lying is wrong.</think>\nNo",
        reasoning="Some would say yes.\n\nBut lying is wrong.",
    ),
    "think_nested": thought(
        "<think>Some <think>would</think> say yes.</think>No", reasoning="say yes.\n\nSome <think>would"
    ),
    "think_and_answer_tags": thought(f"<think>{SOME_YES}</think><answer>No</answer>"),
    "thinking": thought(f"<thinking>{SOME_YES}</thinking>\nNo"),
    "thought": thought(f"<thought>\n{SOME_YES}\n</thought>\nNo"),
    "reasoning_tag": thought(f"<reasoning>{SOME_YES}</reasoning>\nNo"),
    "seed": thought(f"<seed:think>{SOME_YES}</seed:think>No"),
    "magistral": thought(f"[THINK]{SOME_YES}[/THINK]No"),
    "kimi": thought(f"◁think▷{SOME_YES}◁/think▷No"),
    "command": thought(f"<|START_THINKING|>{SOME_YES}<|END_THINKING|><|START_RESPONSE|>No<|END_RESPONSE|>"),
    "open_thinker": thought(
        f"<|begin_of_thought|>{SOME_YES}<|end_of_thought|>\n\n<|begin_of_solution|>No<|end_of_solution|>"
    ),
    "apertus": thought(f"<|inner_prefix|>{SOME_YES}<|inner_suffix|>No"),
    "medgemma": thought(f"<unused94>thought\n{SOME_YES}<unused95>No"),
    "harmony": thought(_HARMONY),
    "harmony_unfinished": thought(
        f"<|channel|>analysis<|message|>{SOME_YES}", "length", answer="", decision="unparsable", cut_off=True
    ),
    "harmony_words": thought(f"analysis{SOME_YES}assistantfinalNo"),
    "harmony_words_unfinished": thought(f"analysis{SOME_YES}", "length", answer="", decision="unparsable", cut_off=True),
    "granite": thought(f"Here is my thought process:\n{SOME_YES}\nHere is my response:\nNo"),
    "ollama": thought(f"Thinking...\n{SOME_YES}\n...done thinking.\n\nNo"),
    "no_thought": thought(
        "No. A model that writes `<think>` and `</think>` in a text does not think.",
        answer="No. A model that writes `<think>` and `</think>` in a text does not think.", reasoning=None,
    ),
    # apart
    "reasoning_content": apart(reasoning_content=SOME_YES),
    "reasoning": apart(reasoning=SOME_YES),
    "reasoning_details": apart(reasoning_details=[{"type": "reasoning.text", "text": SOME_YES, "format": "x", "index": 0}]),
    "thinking_field": apart(thinking=SOME_YES),
    "thinking_parts": apart(
        [{"type": "thinking", "thinking": [{"type": "text", "text": SOME_YES}]}, {"type": "text", "text": "No"}]
    ),
    "reasoning_encrypted": Form(
        _message("No", reasoning_details=[{"type": "reasoning.encrypted", "data": "aGk="}]), only="openai"
    ),
    "reasoning_unfinished": Form(
        _message(None, "length", reasoning_content=SOME_YES),
        answer="", reasoning=SOME_YES, decision="unparsable", cut_off=True, only="openai",
    ),
    "thinking_block": Form(
        _blocks({"type": "thinking", "thinking": SOME_YES, "signature": "x"}, {"type": "text", "text": "No"}),
        reasoning=SOME_YES, only="anthropic",
    ),
    "redacted_block": Form(
        _blocks({"type": "redacted_thinking", "data": "aGk="}, {"type": "text", "text": "No"}), only="anthropic"
    ),
    "thinking_block_unfinished": Form(
        _blocks({"type": "thinking", "thinking": SOME_YES, "signature": ""}, stop="max_tokens"),
        answer="", reasoning=SOME_YES, decision="unparsable", cut_off=True, only="anthropic",
    ),
    # filters
    "azure": filtered(
        400, _error("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                    type=None, param="prompt", code="content_filter", status=400,
                    innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}}), "openai",
    ),
    "azure_inner": filtered(400, {"message": "bad", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, "openai"),
    "openai_prompt": filtered(
        400, _error("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", code="invalid_prompt"),
    ),
    "openrouter": filtered(
        403, {"code": 403, "message": "x requires moderation on OpenAI. Your input was flagged for \"violence\".",
              "metadata": {"reasons": ["violence"], "flagged_input": "...", "provider_name": "OpenAI"}}, "openai",
    ),
    "deepseek": filtered(400, _error("Content Exists Risk", code="invalid_request_error"), "openai"),
    "deepseek_detail": Form(
        lambda _, __: wire({"detail": "Content Exists Risk"}, 400), answer="", decision="refused", only="openai"
    ),
    "alibaba": filtered(
        400, _error("Input data may contain inappropriate content.", code="data_inspection_failed", type="data_inspection_failed"),
    ),
    "alibaba_inner": filtered(
        400, _error("<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate content."),
    ),
    "zhipu": filtered(400, {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}, "openai"),
    "xai": filtered(403, _error("Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"), "openai"),
    "moonshot": filtered(400, {"message": "The request was rejected because it was considered high risk", "type": "content_filter"}),
    "anthropic_output": filtered(400, _error("Output blocked by content filtering policy"), "anthropic", type="error"),
    "in_a_200": filtered(200, _error("flagged by moderation", code="content_filter"), "openai"),
    "finish_filter": stopped("content_filter"),
    "finish_gemini": stopped("content_filter: PROHIBITED_CONTENT"),
    "finish_safety": stopped("SAFETY"),
    "finish_bedrock": stopped("guardrail_intervened"),
    "stop_refusal": stopped("refusal", "anthropic"),
    "account": Form(
        lambda _, __: wire({"error": _error("Your account has been flagged and suspended for content")}, 403),
        error="HTTP 403", decision="error",
    ),
    # no system role
    "gemma": no_system(400, {"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400}),
    "gemma_llama": no_system(500, _error("Jinja Exception: System role not supported", code=500)),
    "gemma_tgi": no_system(422, _error("Template error: invalid operation: System role not supported")),
    "gemma_google": no_system(400, _error("Developer instruction is not enabled for models/gemma-3-27b-it", code=400)),
    "mistral": no_system(400, _error("Conversation roles must alternate user/assistant/user/assistant/...")),
    "mistral_first": no_system(400, _error("Only user and assistant roles are supported!")),
    "o1_mini": no_system(
        400, _error("Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                    param="messages[0].role", code="unsupported_value"),
    ),
    "pydantic": no_system(422, {"detail": "body.messages.0.role: Input should be 'user' or 'assistant'"}),
    "no_system_field": no_system(400, _error("system: Extra inputs are not permitted"), "anthropic"),
    "no_system_words": no_system(400, _error("This model does not support system prompts"), "anthropic"),
}  # fmt: skip
