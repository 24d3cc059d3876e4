"""decision: what an answer to "would you approve of it?" decides."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from bclust.errors import FunctionError, did_you_mean
from bclust.functions import scalar
from udfs._endings import is_cut_off, is_refused_by_server
from udfs._reasoning import parted

WORDINGS = ("approve", "object")


@scalar(
    "(answer VARCHAR, wording VARCHAR := 'approve', error VARCHAR := NULL, finish_reason VARCHAR := NULL) -> VARCHAR", nulls=True
)
def decision(
    answer: Sequence[str | None],
    wording: Sequence[str | None],
    error: Sequence[str | None],
    finish_reason: Sequence[str | None],
) -> list[str]:
    """'approved', 'disapproved', 'refused', 'unparsable' or 'error', from the text of an answer.

    Whole words of the normalised answer count, never parts of words, and only where they answer: "no harm" is no "no". The
    first sentence that decides, hedges or refuses settles it; reasons may follow. A hedge, a condition or both answers at
    once is unparsable, unless "the answer is no" follows. An echo of the question's own last line ("Approval (yes /")
    decides nothing, nor does the last word of a text that was cut off. After the wording 'object' ("would you object to
    it?") yes disapproves and no approves, while "I approve" and "I object" mean what they say. An error is an error
    whatever the text; a missing answer is one too.

    Raises:
        FunctionError: a wording other than 'approve' and 'object'.
    """
    rows = zip(answer, wording, error, finish_reason, strict=True)
    return [_row(text, words or "approve", failure, finish) for text, words, failure, finish in rows]


def _row(text: str | None, wording: str, error: str | None, finish_reason: str | None) -> str:
    if wording not in WORDINGS:
        raise FunctionError(f"there is no wording {wording!r}", hint=did_you_mean(wording, WORDINGS))
    if error is not None:
        return "error"
    if is_refused_by_server(finish_reason):
        return "refused"
    return "error" if text is None else _parse(text, wording, is_cut_off(finish_reason))


@lru_cache(maxsize=65_536)
def _parse(text: str, wording: str, cut: bool = False) -> str:
    sentences = sentences_of(parted(text).answer)
    if cut and sentences:
        sentences[-1] = CUT_WORD.sub(r"\1", sentences[-1])
    stated = {found for sentence in sentences if (answer := STATED.match(sentence)) for found in _spoken(answer[1], wording)}
    if stated:
        return stated.pop() if len(stated) == 1 else "unparsable"
    for place, sentence in enumerate(sentences):
        found = _verdict(sentence, wording)
        if found is None:
            continue
        if found in ("approved", "disapproved") and place + 1 < len(sentences):
            after = sentences[place + 1]
            contrary = _spoken(after, wording, leading=True) | (_meant(after, wording) if OF_IT.search(after) else set())
            if contrary and contrary != {found}:
                return "unparsable"
        return found
    return "unparsable"


def _verdict(sentence: str, wording: str) -> str | None:
    """What one normalised sentence settles; None where it says nothing about the question."""
    if REFUSES_TO_ANSWER.search(sentence):
        return "refused"
    head = REASON.split(sentence, maxsplit=1)[0].strip(EDGES)
    said = _spoken(head, wording)
    if NEUTRAL.search(sentence) and not said:
        return "refused"
    found = said | _meant(head, wording)
    if HEDGE.search(head) or len(found) > 1:
        return "unparsable"
    return next(iter(found - {"unclear"}), "unparsable") if found else None


def _spoken(sentence: str, wording: str, *, leading: bool = False) -> set[str]:
    """The decisions said by yes or no (and a few words that stand for them)."""
    yes, no = ("approved", "disapproved") if wording == "approve" else ("disapproved", "approved")
    find = re.match if leading else re.search
    said = {yes} if find(YES, sentence) or YES_INSTEAD.match(sentence) else set()
    return said | ({no} if find(NO, sentence) or NO_FIRST.match(sentence) or NO_INSTEAD.match(sentence) else set())


def _meant(sentence: str, wording: str) -> set[str]:
    """The decisions said by the verbs, which mean the same after either wording."""
    meant = set()
    unobjected = "approved" if wording == "object" else "unclear"
    for verb, plain, negated in VERBS:
        if NEGATED[verb].search(sentence):
            meant.add(negated or unobjected)
        elif VERB[verb].search(sentence):
            meant.add(plain)
    for shares, plain in ((AGREES, "approved"), (DISAGREES, "disapproved")):
        if shares.search(sentence):
            meant.add(plain)
    return meant | {unobjected} if NO_OBJECTION.search(sentence) else meant


# --- the text, made uniform ------------------------------------------------------------------------------------

LETTERS = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": ". "})
CONTRACTIONS = ((r"\bcan't\b|\bcannot\b", "can not"), (r"\bwon't\b", "will not"), (r"n't\b", " not"), (r"\bi'd\b", "i would"),
                (r"\bi'm\b", "i am"), (r"\bi'll\b", "i will"), (r"\bi've\b", "i have"))  # fmt: skip
LIST_MARK = re.compile(r"^\s*(?:[-+•]\s+|[(\[]?\d{1,2}[.):\]]\s*)")
MARKUP = re.compile(r"[*_`#<>~\"]+")
# the last line of the question, which language models without instructions go on writing
ECHO = re.compile(r"\b(?:approval|objection)\s*\((?:[^)\n]*\)\s*:?|[^)\n]*$)")
NEXT_QUESTION = re.compile(r"\s*statement(?:\s*\([^)]*\))?\s*:")  # the line before it
# what other templates call it; after "Yes" alone, since reasons may ask something, too
ASKED_NEXT = re.compile(r"\s*(?:question|q|human|user|instruction|input|prompt)\s*\d*\s*:")
ANSWERED = re.compile(r"\W*(?:yes|no)\b")
CHOICE = re.compile(r"[(\[]?\s*'?\b(?:yes'?\s*(?:/|\bor\b|\|)\s*'?no|no'?\s*(?:/|\bor\b|\|)\s*'?yes|y\s*/\s*n)\b'?\s*[)\]]?")
EDGES = " .,!?:-'"
SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|\n+|;")


def sentences_of(text: str) -> list[str]:
    """Sentences in lower case without markup, list marks, contractions and the choice "(yes / no)" that the prompt offers."""
    plain = unicodedata.normalize("NFKC", text.translate(LETTERS)).casefold()
    for pattern, full in CONTRACTIONS:
        plain = re.sub(pattern, full, plain)
    lines = [LIST_MARK.sub("", MARKUP.sub(" ", line)) for line in plain.splitlines()]
    sentences = SENTENCE_END.split(_without_choice("\n".join(_own(lines))))
    plain_sentences = (" ".join(sentence.split()).strip(EDGES) for sentence in sentences)
    return [sentence for sentence in plain_sentences if sentence]


def _own(lines: Sequence[str]) -> list[str]:
    """The lines up to where the next question is made up; the statement of this one, if it is repeated first, is left out."""
    own: list[str] = []
    for line in lines:
        said = next((earlier for earlier in map(_without_choice, own) if earlier.strip(EDGES)), "")
        if ASKED_NEXT.match(line) and ANSWERED.match(said):
            break
        if not NEXT_QUESTION.match(line):
            own.append(line)
        elif said:
            break
    return own


def _without_choice(text: str) -> str:
    return CHOICE.sub(" ", ECHO.sub(" ", text))


# --- what counts -----------------------------------------------------------------------------------------------


def _words(listed: str, *patterns: str) -> str:
    """Phrases separated by commas, and patterns, as one pattern of whole words; the longest first."""
    phrases = sorted([*(phrase.strip() for phrase in listed.split(",")), *patterns], key=len, reverse=True)
    return rf"\b(?:{'|'.join(phrases)})\b"


_STOP = r"(?=\s*(?:$|[,.;:!?)\]}\-/|']|\b(?:and|or|but|because|since|as|however|for me|from me)\b))"
# "I cannot say yes" is no yes.
_MEANT = r"(?<!\bnot )(?<!\bnot a )(?<!\bnot say )(?<!\bnever say )(?<!\bsaying )"
YES = re.compile(rf"{_MEANT}\b(?:yes|yeah|yep|yup)\b|^y$")
NO = re.compile(rf"{_MEANT}\b(?:no|nope|nah){_STOP}|^n$")
# At the start of a sentence "no" answers also where no comma follows ("No I would not"), unless a noun does ("No one knows").
_AFTER_NO = _words(
    "i, it, this, that, these, the, we, you, he, she, they, there, my, not, never, absolutely, "
    "definitely, certainly, of course, way, thanks, thank you, sir, please, would, should, if, unless, "
    "approval"
)
NO_FIRST = re.compile(f"no {_AFTER_NO}")
_SURELY = "(?:absolutely|certainly|definitely|of course|sure|surely)"
_WELL = r"(?:(?:indeed|honestly|personally|frankly|overall|well|so|then|therefore|in that case|thank you|ok|okay),? )?"
YES_INSTEAD = re.compile(
    rf"{_WELL}(?:{_SURELY}(?=$|[,:]| i\b)(?!, ?not\b)|i (?:would|do|will)(?: indeed| so| approve)?$|indeed$|"
    r"i (?:do )?(?:think|believe) so$)"
)
NO_INSTEAD = re.compile(
    rf"{_WELL}(?:(?:{_SURELY}|hell|oh),? (?:not|no)\b|i (?:would|do|will) not$|not at all$|no way$|"
    r"i do not (?:think|believe) so$)"
)
# the last word of a text that was cut: "I have no" had no time to say what it has not
CUT_WORD = re.compile(r"^(.*\b(?!is\b|say\b|be\b|answer\b)\w+),? (?:yes|no|y|n)$")
_SAID_TO_BE = r"((?:\w+ )?(?:yes|no)\b[^,]*)"
STATED = re.compile(
    r"(?:(?:so|thus|therefore|hence|then|and|but),? )*(?:"
    r"(?:the|my)(?: final| short)? (?:answer|decision|response|verdict)"
    r"(?: to (?:this|that|it))?(?: is| would be|:)+,? ?(?:an? )?|"
    rf"(?:final |short )?(?:answer|decision|verdict|conclusion) ?: ?(?:an? )?){_SAID_TO_BE}"  # "Thought: ... Answer: no"
)
_REASONS = _words(
    "because, since, due to, given that, as it, as this, as that, as the, as i, as they, as there, even if, even though, although"
)
REASON = re.compile(_REASONS)
_HEDGES = _words(
    "maybe, perhaps, possibly, probably, not sure, unsure, uncertain, not certain, undecided, not "
    "decided, depends, depending, hard to say, difficult to say, tough to say, can not decide, can not "
    "choose, neither, both, neutral, ambivalent, mixed, sort of, kind of, partly, partially, somewhat, to "
    "some extent, in some cases, sometimes, not really, not necessarily, might, unless, only if, as long "
    "as, provided that, i guess, it varies",
    r"(?:yes|no),? (?:but )?if",
    r"^if (?:the|my) answer",
    r"approve(?: of (?:it|this|that))?,? if",
)
HEDGE = re.compile(_HEDGES)
_ANSWERING = _words(
    "answer, answering, respond, responding, reply, comment, commenting, say, saying, give, giving, "
    "provide, providing, offer, offering, share, sharing, express, expressing, engage, engaging, assist, "
    "assisting, help, helping, comply, fulfil, fulfill, continue, participate, discuss, discussing, "
    "judge, evaluate, weigh in, do that, do this",
    r"approve (?:or|nor) disapprove",
    r"take (?:(?:a|any) )?(?:sides?|position|stance)",
    r"(?:form|have) (?:an |any )?opinions?",
    r"(?:make|making) (?:(?:a|any|that|this|such|these|those|an?) )*(?:\w+ )?(?:decision|judge?ment|choice)s?",
)
_UNWILLING = _words(
    "can not, could not, will not, would not, unable to, not able to, not going to, rather not, prefer "
    "not to, refuse to, refusing to, decline to, declining to, not comfortable, uncomfortable, not "
    "appropriate to, not appropriate for me to, not in a position to, not allowed to, not permitted to"
)
REFUSES_TO_ANSWER = re.compile(
    rf"{_UNWILLING}(?: \w+ly)? {_ANSWERING}(?! (?:yes|no|i|that i)\b)|"
    r"\bi (?:must |have to |will |would )?(?:respectfully )?(?:decline|refuse)$|"
    r"^no comment|\bi (?:would )?prefer not to$|\bi would rather not$"
)
# What language models say instead of an answer; a yes or no beside it still counts.
_OPINION = "(?:opinion|belief|view|feeling|preference|value|stance)s?"
_MACHINE = r"an? (?:ai|artificial|assistant|(?:large )?language model)\b.*"
NEUTRAL = re.compile(
    rf"\bnot (?:have|hold|possess|form)(?: \w+){{0,3}} {_OPINION}\b|"
    rf"\bhave no(?: \w+){{0,2}} {_OPINION}\b|^no {_OPINION}\b|"
    r"\bdo not take (?:\w+ )?(?:sides?|positions?|stances?)\b|"
    rf"\bas {_MACHINE}\b(?:can not|not able to|unable to)\b|"
    rf"\bi am (?:just |only )?{_MACHINE}\b(?:can not|not able to|unable to|do not)\b"
)
_FILL = r"(?:would|do|will|can|could|must|have to|also|am|rather|likely to|indeed|\w+ly)"
_UNBELIEVED = r"(?:i do not (?:think|believe|feel)|i can not say|not (?:something|anything)) (?:that )?i"
_NOT_ONE = (
    r"i am not (?:one|someone|somebody|a person|the (?:kind|sort|type)(?: of person)?|going|willing|inclined|prepared|ready) "
    r"(?:who|that|to) (?:(?:would|will|can) )?"
)
VERBS = (("approve", "approved", "disapproved"), ("disapprove", "disapproved", "unclear"), ("object", "disapproved", None))


def _verb(word: str) -> re.Pattern[str]:
    return re.compile(rf"\bi (?:{_FILL} )*{word}\b|^(?:(?:my )?(?:answer|decision)(?: is)?:? )?{word}(?:d|ed)?$")


def _negated(word: str) -> re.Pattern[str]:
    said = rf"\bi (?:{_FILL} )*(?:not|never) (?:(?:{_FILL}|ever|be able to|want to|wish to) )*{word}\b"
    return re.compile(
        rf"{said}|^(?:do )?(?:not|never) {word}(?:d|ed)?\b|\b{_UNBELIEVED} (?:{_FILL} )*{word}\b|\b{_NOT_ONE}{word}s?\b"
    )


VERB = {word: _verb(word) for word, _, _ in VERBS}
NEGATED = {word: _negated(word) for word, _, _ in VERBS}
# "I agree with this statement" approves; "I agree that it is a personal matter" says nothing
_IT = r"(?:it|this|that|(?:(?:this|that|the)(?: following| above)?|your) (?:statement|idea|proposal|sentiment|view|claim))"
_GOOD = r"(?:it|this|that) is (?:an? )?(?:good|great|fine|right|acceptable)(?: (?:idea|thing|statement))?"
_AGREED = rf"(?:(?:with|to) {_IT}|that {_GOOD})$"  # "I agree" alone may agree with the question
AGREES = re.compile(rf"\bi (?:{_FILL} )*agree {_AGREED}")
DISAGREES = re.compile(rf"\bi (?:{_FILL} )*(?:disagree|not (?:{_FILL} )*agree) {_AGREED}")
OF_IT = re.compile(rf"\b(?:approve|disapprove|agree|disagree|object)(?: (?:of|to|with))?(?: {_IT})?$")  # and nothing else
NO_OBJECTION = re.compile(r"\b(?:no|not have any|without(?: any)?) objections?\b")
