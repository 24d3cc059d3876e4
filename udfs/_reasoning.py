"""What a language model thought, apart from what it answered, in one text that holds both.

Servers that know how their model marks its thoughts give them in a field of their own; all others give one text. The marks, by
those who write them:

    <think> ... </think>                DeepSeek-R1, Qwen3, QwQ, GLM-4.5, MiniMax-M1, Phi-4-reasoning, Nemotron; often without the
                                        first one, since their chat templates end in it
    <thinking>, <thought>, <reasoning>  as asked for in prompts; EXAONE Deep, Gemini's compatible interface, Reka Flash
    <seed:think> ... </seed:think>      Seed-OSS
    [THINK] ... [/THINK]                Magistral
    ◁think▷ ... ◁/think▷                Kimi-VL
    <|START_THINKING|> ...              Command A Reasoning
    <|begin_of_thought|> ...            Sky-T1, OpenThinker
    <|inner_prefix|> ...                Apertus
    <unused94>thought ... <unused95>    MedGemma
    <|channel|>analysis<|message|> ...  gpt-oss (OpenAI's harmony format), or plain "analysis...assistantfinal"
    Here is my thought process: ...     Granite 3.2
    Thinking... ...done thinking.       what `ollama run` prints

A mark counts where it begins the text or a line: a model that writes about `<think>` does not think.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Said(NamedTuple):
    """One text, parted. ``reasoning`` is None where there is none; ``unfinished``: it ends before its thought does."""

    answer: str
    reasoning: str | None = None
    unfinished: bool = False


_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "seed:think", "analysis")
_NAMED = "|".join(map(re.escape, _TAGS))
# how a thought begins, and how the same one ends
_MARKS = (
    (rf"<(?P<tag>{_NAMED})>", r"</(?P=tag)>", rf"</(?:{_NAMED})>"),
    (r"\[THINK\]", r"\[/THINK\]", r"\[/THINK\]"),
    (r"◁think▷", r"◁/think▷", r"◁/think▷"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>", r"<\|inner_suffix\|>"),
    (r"<unused94>(?:thought\n)?", r"<unused95>", r"<unused95>"),
    (r"\AThinking\.\.\.$", r"^\.\.\.done thinking\.", r"^\.\.\.done thinking\."),
    (r"\A(?:Here is|Here's) my thought process:", r"(?:Here is|Here's) my response:", r"(?!)"),
)
_PAIRS = tuple(
    (
        re.compile(rf"^[ \t]*{begin}(?P<thought>.*?){end}", re.MULTILINE | re.DOTALL | re.IGNORECASE),
        re.compile(rf"^[ \t]*{begin}", re.MULTILINE | re.IGNORECASE),
        re.compile(rf"(?<![`'\"]){lone}(?![`'\"])", re.MULTILINE | re.IGNORECASE),
    )
    for begin, end, lone in _MARKS
)
_ANY = re.compile(
    rf"</?(?:{_NAMED})>|\[/?THINK\]|think▷|_THINKING\|>|_of_thought\|>|\|inner_|<unused9|\bthinking\.\.\.|"
    r"my thought process:|\|channel\|>|\Aanalysis",
    re.IGNORECASE,
)
_CHANNEL = re.compile(
    r"(?:<\|start\|>assistant)?<\|channel\|>\s*(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>(?P<text>.*?)"
    r"(?P<end><\|(?:end|return|call)\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
# the same with its special tokens gone; "analysis" runs into the first word, which no English sentence does
_CHANNEL_WORDS = re.compile(r"\Aanalysis(?=[A-Z\"'(])(?P<thought>.*?)(?:assistant\s*final(?P<answer>.*))?\Z", re.DOTALL)
# what some put around the answer itself
_AROUND = re.compile(
    r"\A\s*(?:<answer>|<response>|<\|START_RESPONSE\|>|<\|begin_of_solution\|>)?(.*?)"
    r"(?:</answer>|</response>|<\|END_RESPONSE\|>|<\|end_of_solution\|>)?\s*\Z",
    re.DOTALL | re.IGNORECASE,
)


def parted(text: str) -> Said:
    """A text without its thoughts, and these.

    >>> parted("<think>Some would say yes.</think> No")
    Said(answer='No', reasoning='Some would say yes.', unfinished=False)
    >>> parted("<think>Yes, that is what they ask me to")
    Said(answer='', reasoning='Yes, that is what they ask me to', unfinished=True)
    >>> parted("so yes, I see...</think>No").answer, parted("Yes.").reasoning
    ('No', None)
    """
    if not _ANY.search(text):
        return Said(text)
    if "<|channel|>" in text:
        return _by_channel(text)
    words = _CHANNEL_WORDS.match(text)
    if words:
        return _said(words["answer"] or "", [words["thought"]], unfinished=words["answer"] is None)
    thoughts: list[str] = []
    rest, unfinished = text, False
    for pair, begin, lone in _PAIRS:
        thoughts += [found["thought"] for found in pair.finditer(rest)]
        rest = pair.sub("\n", rest)
        ends = list(lone.finditer(rest))
        if ends:  # the thought had begun before the text did
            thoughts.insert(0, rest[: ends[-1].start()])
            rest = rest[ends[-1].end() :]
        opened = begin.search(rest)
        if opened:
            thoughts.append(rest[opened.end() :])
            rest, unfinished = rest[: opened.start()], True
    return _said(rest, thoughts, unfinished=unfinished) if thoughts else Said(text)


def _by_channel(text: str) -> Said:
    """The parts of OpenAI's harmony format: what is in the channel ``final`` is the answer."""
    parts = list(_CHANNEL.finditer(text))
    thoughts = [part["text"] for part in parts if part["name"].lower() != "final"]
    answers = [part["text"] for part in parts if part["name"].lower() == "final"]
    thoughts[:0] = [text[: parts[0].start()]] if parts else [text]
    return _said("\n".join(answers), thoughts, unfinished=not answers)


def _said(answer: str, thoughts: list[str], *, unfinished: bool) -> Said:
    around = _AROUND.match(answer)
    assert around is not None
    reasoning = "\n\n".join(filter(None, (thought.strip() for thought in thoughts)))
    return Said(around[1].strip(), reasoning or None, unfinished)


def may_hold_thoughts(text: str, detail: str | None) -> bool:
    """Whether ``read_answer`` may find some: a look at characters without which there is no mark. Nearly every answer has none.

    >>> may_hold_thoughts("Yes.", None), may_hold_thoughts("</think> Yes.", None)
    (False, True)
    """
    signs = "<" in text or "[" in text or ":" in text or "|" in text or "▷" in text or "..." in text
    return signs or text[:8].lower() == "analysis" or (detail is not None and '"reasoning"' in detail)


def read_answer(text: str, finish_reason: str | None, detail: str | None) -> tuple[str, str | None, str | None]:
    """An answer as it is stored: its text without thoughts, these, and why it ended ("length" where a thought has no end).

    ``detail`` has under "reasoning" what the server gave apart.

    >>> read_answer("No", "stop", '{"reasoning": "Lying is wrong."}')
    ('No', 'Lying is wrong.', 'stop')
    """
    said = parted(text)
    apart = None
    if detail and '"reasoning"' in detail:
        with contextlib.suppress(ValueError, AttributeError):  # a recorded answer's detail may be anything
            found = json.loads(detail).get("reasoning")
            apart = found if isinstance(found, str) else None
    thoughts = "\n\n".join(filter(None, (apart, said.reasoning)))
    return said.answer, thoughts or None, "length" if said.unfinished else finish_reason


# --- what servers give apart -----------------------------------------------------------------------------------

# DeepSeek, vLLM, SGLang, llama.cpp; OpenRouter, Groq, Cerebras, newer vLLM, Ollama; Ollama
_FIELDS = ("reasoning_content", "reasoning", "thinking")
_TEXTS = ("thinking", "reasoning", "text", "summary")


def shown(message: Mapping[str, Any]) -> str | None:
    """What a message shows of its thoughts in fields and parts of their own. Odd ones are left out: they are no answer's fault.

    >>> shown({"content": [{"type": "thinking", "thinking": "Is it?"}, {"type": "text", "text": "No"}]})
    'Is it?'
    """
    for name in _FIELDS:
        if isinstance(message.get(name), str) and message[name].strip():
            return str(message[name])
    return "\n\n".join(_thoughts(message.get("content")) or _thoughts(message.get("reasoning_details"))) or None


def _thoughts(parts: Any) -> list[str]:
    """The texts of those parts that are thoughts (Anthropic's and Mistral's blocks, OpenRouter's details, Inspect's logs)."""
    listed = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    kinds = [(part, str(part.get("type"))) for part in listed]
    return [text for part, kind in kinds if "think" in kind or kind.startswith("reasoning") for text in _texts(part)]


def _texts(part: Mapping[str, Any]) -> Iterator[str]:
    for value in (part.get(name) for name in _TEXTS):
        if isinstance(value, str) and value.strip():
            yield value
            return
        if isinstance(value, list):  # Mistral: a list of text parts
            yield from (one["text"] for one in value if isinstance(one, dict) and isinstance(one.get("text"), str))
            return


def tokens_of(usage: Mapping[str, Any]) -> int | None:
    """How many of the tokens of an answer were thoughts, where the server counts them.

    >>> tokens_of({"completion_tokens_details": {"reasoning_tokens": 64}}), tokens_of({"completion_tokens": 3})
    (64, None)
    """
    places = (usage, usage.get("completion_tokens_details"), usage.get("output_tokens_details"))
    counts = (place.get(name) for place in places if isinstance(place, dict) for name in ("reasoning_tokens", "thinking_tokens"))
    return next((n for n in counts if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**31), None)
