"""The loopback server of the tests, answering in the form that each peer asks for: a name, a summary, a label, JSON.

    python -m benchmarks._peers.server '{"latency_ms": [100, 200]}'      # prints its port; GET /stats tells the counts

What it says is made of words of the prompt, so that names differ between clusters and repeat between runs.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

from tests.functional.loopback import Behavior, Loopback, _draw


class PeerServer(Loopback):
    """As Loopback; tool calls are answered with arguments that fit their schema."""

    def _answer(self, path: str, body: dict[str, Any], echo: str | None) -> dict[str, Any]:
        answer = super()._answer(path, body, echo)
        if not path.endswith("/chat/completions") or body.get("logprobs"):
            return answer  # vectors, and a judge's yes or no
        prompt = str(body["messages"][-1]["content"])
        message = answer["choices"][0]["message"]
        if body.get("tools"):
            function = body["tools"][0]["function"]
            arguments = {name: _value(rule, prompt, name) for name, rule in _required(function["parameters"]).items()}
            called = {"name": function["name"], "arguments": json.dumps(arguments)}
            message |= {"content": None, "tool_calls": [{"id": "call", "type": "function", "function": called}]}
        else:
            message["content"] = _says(prompt)
        return answer


def _says(prompt: str) -> str:
    """What a namer, a matcher or an extractor would answer to this prompt."""
    if prompt.startswith("Fine-grained properties:"):  # StringSight wants shorter lists of names
        lines = list(dict.fromkeys(line for line in prompt.split("\n")[1:] if line.strip()))
        return "\n".join(f"{i}. {_name(line, 'coarse')}" for i, line in enumerate(lines[:30], start=1))
    if "Fine grained property:" in prompt:  # StringSight matches a text with one name of a list
        names = re.findall(r"^- (.+)$", prompt, re.MULTILINE)
        return names[int(_draw(prompt, "match") * len(names))]
    if "CONVERSATION TO ANAZLYZE" in prompt:  # StringSight extracts behaviors: here one, the response itself
        said = prompt.rsplit("Output Trace:\n", maxsplit=1)[-1].rsplit("## END", 1)[0] if "Output Trace:\n" in prompt else prompt
        said = re.sub(r"^\W*assistant\W*", "", said.rsplit("**assistant:**", 1)[-1].rsplit("## END", 1)[0]).strip()
        extracted = {"behavior_type": "Style", "property_description": said, "category": "stance", "evidence": said[:60]}
        extracted |= {"reason": "it is what was said", "contains_errors": "False", "unexpected_behavior": "False"}
        return json.dumps([extracted])
    return f"1. {_name(prompt)}"


def _name(text: str, *salt: str) -> str:
    """Three words of a text."""
    words = sorted(set(re.findall(r"[a-z]{5,}", text[-1500:].lower()))) or ["nothing"]
    return " ".join(words[int(_draw(text, i, *salt) * len(words))] for i in range(3))


def _required(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: schema["properties"][name] for name in schema.get("required", [])}


def _value(rule: dict[str, Any], prompt: str, name: str) -> Any:
    """A value that fits a property's schema; where the prompt lists what may be answered, twice or more, one of these."""
    if rule.get("type") == "array":
        return [_name(prompt, name, str(i)) for i in range(3)]
    if rule.get("type") in ("integer", "number"):
        return rule.get("minimum", 1)
    allowed = re.findall(rf"<{name}>(.+?)</{name}>", prompt)
    return allowed[int(_draw(prompt, name) * len(allowed))] if len(allowed) > 1 else _name(prompt, name)


if __name__ == "__main__":
    asyncio.run(PeerServer(Behavior(**json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))).serve(announce=True))
