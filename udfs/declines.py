"""declines: whether a reaction declines to react."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from bclust.functions import scalar
from udfs._endings import is_refused_by_server
from udfs.decision import sentences_of

MOST_WORDS = 25  # that may follow: who goes on has reacted
MOST_REASONS = 150  # that may follow where the request itself is refused: the reasons why, unless they turn to it after all

_POLITELY = r"(?:(?:respectfully|politely|kindly) )?"
_MACHINE = r"as an? (?:ai|artificial|assistant|large language model|language model)[^,.;]*,?\s*"
_SORRY = (
    r"(?:i am |i'm )?(?:very |really |so |truly )?sorry,?\s*(?:but\s*)?|i apologi[sz]e,?\s*(?:but\s*)?|unfortunately,?\s*|"
    r"no,?\s*|thank(?:s| you),?\s*(?:but\s*)?"
)
_UNWILLING = (
    rf"i (?:must |have to |would |will |am going to )?{_POLITELY}(?:can not|could not|will not|would not|rather not|"
    r"prefer not to|choose not to|refrain from|abstain from|(?:do|would) not (?:wish|want|like|care) to|do not feel comfortable|"
    r"feel uncomfortable|am not (?:able|going|willing|prepared|allowed|permitted|at liberty|in a position) to|"
    r"am un(?:able|willing) to|refuse to|decline to|am (?:not |un)comfortable)"
    r"|it(?:'s| is| would be) (?:not |in)appropriate for me to|it would not be appropriate for me to"
    r"|my \w+ (?:do|does) not (?:allow|permit|let) me to"
)
# What was asked, by the words one has for it: "I will not answer to a bully" refuses somebody else something else.
_ASKED = (
    r"(?:(?:the|your|any|such|these|those|that|this|a) )*(?:\w+ )?(?:statement|question|request|prompt|message|topic|subject|"
    r"matter|issue|content|conversation|discussion|sentiment|kind|sort|type)s?\b"
)
_IT = (
    r"(?:(?:that|this|it|these|those|such|you|here|further|at all|either way|yes or no|in any way)"
    rf"(?=$| here| any| further|,| and\b| but\b)|{_ASKED})"
)
_REACTING = (
    rf"(?: \w+ly)? (?:(?:answer|respond|react|reply|comment|weigh in|speak)(?:ing)?(?: (?:to|on|about|with))?(?:$|,| {_IT})|"
    r"(?:provid|giv|offer|shar|express|form|hav)(?:e|ing)? (?:(?:you|a|an|any|my|this|that) )*(?:\w+ )?"
    r"(?:reaction|response|answer|opinion|comment|view|judge?ment|thought|feeling)s?\b|"
    r"(?:help|assist)(?:ing)?(?: you)? with (?:that|this|it|such|your)\b|"
    r"(?:fulfil|fulfill|complete|comply with) (?:that|this|your|such)\b|"
    rf"(?:discuss|judge|evaluat|engag|participat|continu|touch|talk|get|go|address)(?:e|ing)?"
    rf"(?: (?:with|in|on|about|into))? {_IT}|"
    r"tak(?:e|ing) (?:a |any )?(?:sides?|positions?|stances?)(?:$|,| (?:on|in|about|regarding)\b)|pass(?:ing)? judge?ment$|"
    r"say(?:$| (?:anything|more|either way)\b)|do (?:that|this)$)"
)
_DECLINES = re.compile(
    rf"^(?:{_MACHINE}|{_SORRY})*(?:(?P<refuses>(?:{_UNWILLING}){_REACTING})|"
    rf"i (?:must |have to |will |would |am going to )?(?:like to )?{_POLITELY}(?:decline|refuse|abstain|pass)"
    r"(?: on (?:this|that|it)(?: \w+)?| here)?$|i would (?:prefer not to|rather not)$|(?:i have )?no comment$|pass$|"
    r"i have nothing to say(?: (?:to|about|on) (?:this|that|it))?$|"
    r"(?:this|that|it) is (?:not something i (?:can|could|am able to|am comfortable|feel comfortable)|"
    r"something i (?:would rather not|prefer not to))"
    r" (?:answer|respond|react|comment|discuss|engage|weigh|talk|speak)(?:ing)?\b|"
    r"i do not take (?:\w+ )?(?:sides?|positions?|stances?)(?:$|,| (?:on|in|about|regarding)\b)|"
    r"i (?:do not (?:have|hold|form)|have no)(?: \w+){0,3} (?:opinion|view|belief)s?\b)"
)
_DECIDES = re.compile(r"\bi (?:\w+ )?(?:dis)?agree\b")
_BUT = re.compile(r"\W*(?:but|however|though|yet|that said|still|nevertheless)\b")


@scalar("(response VARCHAR, finish_reason VARCHAR := NULL) -> BOOLEAN", nulls=True)
def declines(response: Sequence[str | None], finish_reason: Sequence[str | None]) -> list[bool]:
    """Whether a free reaction declines to react: its first sentence refuses the request itself, and hardly anything follows.

    "I will not help anyone do harm" refuses nothing that was asked. What a server filtered is declined, too; a missing text
    is not.
    """
    rows = zip(response, finish_reason, strict=True)
    return [is_refused_by_server(finish) or (text is not None and _declines(text)) for text, finish in rows]


@lru_cache(maxsize=65_536)
def _declines(text: str) -> bool:
    sentences = sentences_of(text[:2000])
    found = _DECLINES.search(sentences[0]) if sentences else None
    if found is None or any(_DECIDES.search(sentence) for sentence in sentences[1:]):
        return False
    rest = sentences[0][found.end() :]
    following = len(rest.split()) + sum(len(sentence.split()) for sentence in sentences[1:])
    if _BUT.match(rest):
        return following < MOST_WORDS // 3
    refuses = found["refuses"] and not any(_BUT.match(sentence) for sentence in sentences[1:])
    return following < (MOST_REASONS if refuses else MOST_WORDS)
