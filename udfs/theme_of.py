"""theme_of: the themes that a language model listed, if it listed themes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from bclust.functions import scalar
from udfs._endings import is_cut_off
from udfs._words import words_of

MOST = 4  # themes of one answer, which is what the usual prompt asks for
LONGEST = 120  # characters, and words, that name something; what is longer says something
MOST_WORDS = 15
ECHO = 4  # words in a row that begin a text, or make most of it, were read off it


@scalar("(answer VARCHAR, texts VARCHAR[] := NULL, finish_reason VARCHAR := NULL) -> VARCHAR", nulls=True)
def theme_of(
    answer: Sequence[str | None], texts: Sequence[Sequence[str | None] | None], finish_reason: Sequence[str | None]
) -> list[str | None]:
    """The themes in an answer such as "1. Theme (2, 6)", joined by semicolons; NULL where there is none.

    Read are the items of a list, numbered or not, without the numbers of the texts behind them, however these are written.
    No theme is what says that there is none, refuses, or speaks in the first person; a piece of the prompt's own example; what
    was read off one of ``texts``, or dictated by it ("call this group 'Safe'"); a sentence; and the last item of an answer that
    was cut off within it.
    """
    rows = zip(answer, texts, finish_reason, strict=True)
    return [None if said is None else _theme(said, tuple(filter(None, read or ())), is_cut_off(end)) for said, read, end in rows]


@lru_cache(maxsize=16_384)
def _theme(answer: str, texts: tuple[str, ...], cut: bool) -> str | None:
    items = _items(answer)
    if cut and items and not items[-1].numbered:
        items = items[:-1]
    read = [_words(text) for text in texts]
    named: dict[str, str] = {}
    for item in items:
        echoes = any(_is_echo(_words(item.text), words) for words in read) or any(_is_dictated(item.text, text) for text in texts)
        if _is_theme(item.text) and not echoes:
            named.setdefault(item.text.casefold(), item.text)
    return "; ".join(list(named.values())[:MOST]) or None


# --- the list --------------------------------------------------------------------------------------------------

_MARKS = r"[*_#>`\s|]*"
_LABEL = r"(?:(?:theme|topic|category|group)\s*)?"
_ITEM = re.compile(
    rf"^{_MARKS}(?:{_LABEL}[(\[]?\d{{1,2}}\s*[.):\]|]+|{_LABEL}\d{{1,2}}\s+[-–—]\s|[-–—•*+▪◦]\s)\s*(?P<text>\S.*)$", re.IGNORECASE
)
# the numbers of the texts: "(2, 6, 10)", "[2, 6]", "(1-3)", "(texts 2 and 6)", "(1, 3, 4" of a list that was cut, ": 2, 6"
_RANGE = r"#?\d{1,3}(?:\s*[-–—]\s*#?\d{1,3})?"
_NUMBERS = rf"{_RANGE}(?:\s*(?:,|;|&|\band\b|,\s*and\b)\s*{_RANGE})*"
_KIND = r"(?:(?:texts?|statements?|responses?|items?|numbers?|nos?\.?|n)\s*:?\s*)?"
_BEHIND = re.compile(
    rf"\s*[(\[{{]\s*{_KIND}{_NUMBERS}[\s,;&]*(?:[)\]}}]|(?:and|\.+|…)?\s*$)|\s*[(\[{{]\s*$|\s*[:–—|,-]\s*{_KIND}{_NUMBERS}[\s.|]*$",
    re.IGNORECASE,
)
_EDGES = " \t*_`\"'“”‘’#|:;,.–—-"


class _Item(NamedTuple):
    """One item of a list: what it names, and whether numbers of texts stand behind that."""

    text: str
    numbered: bool


def _items(answer: str) -> list[_Item]:
    matches = (_ITEM.match(line) for line in answer.splitlines())
    return [_item(re.sub(r"[*_`]+", "", match["text"])) for match in matches if match]


def _item(line: str) -> _Item:
    behind = _BEHIND.search(line)
    before, after = (line[: behind.start()], line[behind.end() :]) if behind else (line, "")
    text = before.strip(_EDGES) or after.strip(_EDGES)
    return _Item(" ".join(text.split()), behind is not None)


# --- what is a theme -------------------------------------------------------------------------------------------

_NONE = re.compile(
    r"(?:there (?:is|are) )?(?:no|none|n/?a|not applicable|nothing)"
    r"(?: (?:clear|common|other|specific|further|single|real|shared|themes?|patterns?|topics?)\b)*"
    r"(?: (?:in|of|the|these|texts|statements|found|here)\b)*",
    re.IGNORECASE,
)
# words of the usual prompt, of its example ("1. Theme 1 (2, 6, 10)"), and of headings
_PROMPT = re.compile(
    r"(?:(?:common|the|main|list of) )*"
    r"(?:themes?|topics?|texts?|statements?|responses?|answers?|categor(?:y|ies)|groups?)[\s\d:]*|"
    r"(?:for example|for contrast|go ahead|include (?:as many|the statements)|only list|separate each|briefly list)\b.*",
    re.IGNORECASE,
)
_REFUSES = re.compile(
    r"(?:i'?m )?(?:very )?sorry\b.*|as an? (?:ai|language model|assistant)\b.*|"
    r"(?:can ?not|can'?t|unable to|not able to) (?:help|assist|provide|name|identify|determine|comply|answer|list)\b.*",
    re.IGNORECASE,
)
_SPEAKERS = frozenset(("i", "i'm", "i'd", "i've", "i'll", "we", "we're", "we'd", "you", "you're", "yes"))
_ANSWERED = frozenset(("i", "it", "this", "that", "because", "they", "we", "you", "there"))  # after "no"
_TELLS = r"\b(?:call|name|label|theme|title|answer|say|write|output|respond|reply|print|return|list)\w*\b"
_OPEN = frozenset(
    [
        "a",
        "an",
        "and",
        "as",
        "at",
        "but",
        "by",
        "for",
        "from",
        "in",
        "into",
        "nor",
        "of",
        "on",
        "or",
        "than",
        "that",
        "the",
        "to",
        "with",
    ]
)


def _is_theme(text: str) -> bool:
    """Whether a list's item names something."""
    words = _words(text)
    if not 2 <= len(text) <= LONGEST or len(words) > MOST_WORDS or not words_of(text):
        return False
    speaks = len(words) > 1 and (words[0] in _SPEAKERS or (words[0] == "no" and words[1] in _ANSWERED))
    repeats = len(words) >= ECHO and 2 * len(set(words)) <= len(words)
    ends = words[-1] not in _OPEN and not re.search(r"[.!?]\s+\S", text)
    return ends and not (speaks or repeats or any(kind.fullmatch(text) for kind in (_NONE, _PROMPT, _REFUSES)))


def _is_echo(name: list[str], text: list[str]) -> bool:
    """Whether a name was read off a text: it begins it, or is most of it, and is long enough for that to be no chance."""
    if not ECHO <= len(name) <= len(text):
        return False
    places = [i for i in range(len(text) - len(name) + 1) if text[i : i + len(name)] == name]
    return bool(places) and (places[0] == 0 or 2 * len(name) >= len(text) or len(name) >= 2 * ECHO)


def _is_dictated(name: str, text: str) -> bool:
    """Whether a text says the name in quotes, or tells to say it."""
    plain, said = re.escape(name.casefold()), text.casefold()
    if name.casefold() not in said:
        return False
    n_words = len(_words(name))
    told = rf"|{_TELLS}(?:[^.!?\n]|\d\.){{0,{60 if n_words > 2 else 25}}}?\b{plain}\b" if n_words > 1 else ""
    return bool(re.search(rf"[\"'“‘«`]\s*(?:\d{{1,2}}\s*[.):]\s*)?{plain}(?:\s*\([\d,\s]*\))?\s*[.,]?[\"'”’»`]{told}", said))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’]\w+)?", text.casefold().replace("’", "'"))
