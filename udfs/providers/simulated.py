"""Simulated language models: deterministic, declared, and free. Never mistake what they say for a finding.

A row ``{llm_id: cautious, provider: simulated, model: cautious}`` answers from the profile ``cautious`` of
``seeds/profiles.yml`` (another file: ``profiles: path``). Its differences are declared there, so the whole pipeline can be
measured against the truth. The file maps names to profiles; all keys are optional, unknown keys are errors:

    cautious:
      description: Avoids risk, trusts institutions.   # for readers only
      approve:                        # probability of agreeing with a behavior (not: of saying yes), 0 to 1
        default: 0.5                  # behaviors that are not named; 0.5 if left out
        risk-averse: 0.9              # the name is `behavior` in `statements`
      yes_bias: 0.05                  # moves every yes/no question toward yes, also the objection; -1 to 1
      refusal_rate: 0.02              # share of questions (reactions too) that are declined
      unparsable_rate: 0.01           # share of yes/no questions answered with neither
      noise: 0.02                     # share of samples in which the stance flips
      shifts:                         # what a system message changes: every rule whose text is found in it adds its amounts
        - {when: substring of the system message, risk-averse: -0.3, default: 0.0, yes_bias: 0.1, refusal_rate: 0.1}  # any rate
      style:                          # how reactions are worded; lists are drawn from, all may be left out
        openings: [Frankly,, "To my mind,"]
        agree: [I share this view, this rings true to me]
        disagree: [I see it differently, I would not say this]
        closings: [That is how I look at it.]
        words: [prudence, safety]     # sprinkled over reactions to any behavior
        behaviors:                    # reasons and vocabulary for one behavior, said after the lists above
          risk-averse: {agree: [better safe than sorry], disagree: [nothing ventured nothing gained], words: [savings]}
      latency_ms: 0                   # really wait (about) so long, to see the live view at work
      seed: cautious                  # equal seeds draw alike; the profile's own name if left out
    bold:
      same_as: cautious               # everything of that profile, its seed too, but for what is written here
      approve: {risk-averse: 0.1}     # merged key by key, as is style; other keys are replaced

How a question is answered: one uniform draw per seed and statement is the stance of this language model on it, the same for
every wording, so that with q = the probability of approving the statement (where ``matching_answer`` is ``no``, agreeing with
the behavior means disapproving: q = 1 - p) it says yes to "approve?" when the draw is below q + yes_bias, and yes to
"object?" when it is not below q - yes_bias. Refusals, hedges, flips and wording are drawn per seed, statement, question (the
wording's name), system message and sample. Two profiles with ``same_as`` and another ``seed`` therefore differ by chance alone.

Equal language models can be harder to tell from different ones than that. These keys make them so; none of them moves q:

    coherence: 1.0          # share of questions (a statement in one wording under one system message) that are answered from
                            # the stance; each other one has a draw of its own. 0: wordings and personas are independent
    sample_noise: 0.0       # share of samples that are drawn anew, each for itself. 0: samples agree but for noise; 1: every
                            # answer is an independent draw, over wordings and personas too
    groups: 0.0             # share of groups of statements (`group` of the question) whose members get one answer: all draws are
                            # the group's, the stance one on the behavior, so that all show it or none does
    empty_rate: 0.0         # share of questions (reactions too) to which nothing is said
    cut_rate: 0.0           # share that is cut at the limit of tokens before anything is decided; refusal_rate and
                            # unparsable_rate are shares of the questions that are neither empty nor cut
    refuses_when: {approves: 0.4, disapproves: 0.0, shows: 0.0, denies: 0.0}
                            # added to refusal_rate where the answer would have approved of the statement, or shown the
                            # behavior; biases, flips and samples are in what it would have been. Reactions too

Members of a group are alike as far as their declared probabilities are: with yes_bias, or ``refuses_when: {approves: ...}``,
statements of which one affirms and one denies the behavior are different questions.

The log-probabilities of the first token are those of the profile for such a question, before anything is drawn: P(yes) is the
share of statements with this q to which yes is said, in this wording and under this system message, with bias, flips,
refusals (also those of ``refuses_when``), empty and cut answers. Coherence, groups and samples therefore do not move it, and
it is equal for statements of one behavior and one ``matching_answer``.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from bclust.errors import FunctionError, did_you_mean
from bclust.functions import Answer, Context, Limits
from udfs._profiles import RATES, deciding, load_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from udfs.providers import Chat

_SIMULATOR = 1  # raised when equal profiles answer differently than before

_YES = ("Yes", "Yes.", "yes", "Yes, I would.", "Yes, I do.", "YES", "**Yes**", "Yes - on the whole.")
_NO = ("No", "No.", "no", "No, I would not.", "No, I do not.", "NO", "**No**", "No - not as it stands.")
_REFUSALS = (
    "I cannot answer that.", "I'm sorry, but I can't help with that.", "As an AI, I do not take positions on this.",
    "I would rather not comment on this.",
)  # fmt: skip
_CUT = (
    "Let me think this through step by step. First, the statement",
    "Let me begin with what is asked here. The words of this",
    "Let us look at both sides before I answer. On the one side",
)  # fmt: skip
_HEDGES = ("Not sure.", "It depends on the circumstances.", "Maybe.", "Yes and no.", "That is difficult to say.")
_AGREE = ("I agree with this", "this describes me", "I would say the same")
_DISAGREE = ("I disagree with this", "this does not describe me", "I would not say that")
_STOPWORDS = frozenset(
    """
    about after all also always and any are because been being but can could did does doing don down even ever every feel for
    from get had has have her here him his how into its just like made make many may might more most much must never not off
    often one only other our out over own people rather really same say see she should some statement such text than that the
    their them then there these they thing things think this those too under upon very want was way were what when where which
    while who whom why will with would yes you your
    """.split()  # noqa: SIM905 - as prose it can be read
)


class Stance(NamedTuple):
    """What a profile declares for one question under one system message, and what was drawn for it.

    ``q`` is the probability of approving the statement, ``latent`` the uniform draw that decides it.
    """

    q: float
    yes_bias: float
    refusal_rate: float
    unparsable_rate: float
    noise: float
    empty_rate: float
    cut_rate: float
    refuses_when: Mapping[str, float]
    denies: bool
    """Approving the statement means denying the behavior."""
    latent: float

    def says_yes(self, task: str) -> bool:
        """Whether the answer to "approve?" or "object?" is yes, but for noise."""
        if task == "object":
            return self.latent >= self.q - self.yes_bias
        return self.latent < self.q + self.yes_bias

    def refuses(self, approves: bool) -> float:
        """The probability that an answer which would approve of the statement, or would not, is a refusal."""
        decision = ("approves" if approves else "disapproves", "shows" if approves != self.denies else "denies")
        return _within(self.refusal_rate + sum(self.refuses_when.get(key, 0.0) for key in decision))

    def p_yes(self, task: str) -> float:
        """The share of statements like this one to which the answer is yes, noise included, refusals not."""
        p = _within((1.0 - self.q if task == "object" else self.q) + self.yes_bias)
        return p + self.noise * (1.0 - 2.0 * p)

    def decides(self, approves: bool) -> float:
        """The probability that an answer which would approve, or would not, is a yes or a no."""
        return max(0.0, 1.0 - self.refuses(approves) - self.unparsable_rate)


class Provider:
    """``model`` is the name of a profile, ``profiles`` the file that holds it, relative to the project."""

    free = True
    sees_truth = True

    def __init__(self, context: Context, *, model: str, profiles: str = "seeds/profiles.yml") -> None:
        self._name = model
        self._profile = load_profile(context.root / profiles, model)
        digest = hashlib.sha256(json.dumps(deciding(self._profile), sort_keys=True).encode()).hexdigest()
        self._digest = digest[:16]
        waits = self._profile["latency_ms"] > 0
        self.limits = Limits(max_concurrency=32 if waits else 1, batch_size=1 if waits else 512, timeout_s=None)

    def identity(self) -> dict[str, Any]:
        """The profile by its content, so that an edited profile is asked again."""
        return {"provider": "simulated", "model": self._name, "profile": self._digest, "simulator": _SIMULATOR}

    async def complete(self, chat: Chat) -> Answer:
        """One answer, after the declared latency (half to one and a half times)."""
        latency_ms = self._profile["latency_ms"] * (0.5 + _draw(self._profile["seed"], chat.prompt, "latency", chat.draw))
        await asyncio.sleep(latency_ms / 1000)
        answer = self.complete_batch([chat])[0]
        answer.latency_ms = latency_ms
        return answer

    def complete_batch(self, chats: Sequence[Chat]) -> list[Answer]:
        """Answers at once."""
        return [_answer(self._profile, chat) for chat in chats]

    async def close(self) -> None:
        """Nothing is open."""


# --- answers ---------------------------------------------------------------------------------------------------


def _draw(*of: Any) -> float:
    """A number in [0, 1) that depends on nothing but ``of``."""
    digest = hashlib.sha256("\x1f".join(map(str, of)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _answer(profile: Mapping[str, Any], chat: Chat) -> Answer:
    truth = dict(chat.truth or {})
    truth.setdefault("task", _task_of(chat.prompt))
    truth.setdefault("statement", _statement_of(chat.prompt))
    truth["wording"] = truth.get("wording") or truth["task"]
    draw = functools.partial(_draw, profile["seed"], _unit(profile, truth), truth["wording"], chat.system or "", chat.draw)
    task = _TASKS.get(truth["task"])
    if task is None:
        raise FunctionError(f"simulated: unknown task {truth['task']!r}", hint=did_you_mean(str(truth["task"]), _TASKS))
    said = task(profile, chat, truth, draw)
    text, finish, words = said.text, said.finish, said.text.split()
    if chat.max_tokens is not None and len(words) > chat.max_tokens:
        text, finish = " ".join(words[: chat.max_tokens]), "length"
    tokens_in = math.ceil(len(chat.prompt + (chat.system or "")) / 4)
    return Answer(text, finish, tokens_in, max(1, math.ceil(len(text) / 4)), 0.0, None, said.detail if chat.logprobs else None)


class Said(NamedTuple):
    """What a task comes to."""

    text: str
    detail: str | None = None
    finish: str = "stop"


def _alike(profile: Mapping[str, Any], truth: Mapping[str, Any]) -> bool:
    """Whether the statement is answered as its group is."""
    share, group = profile["groups"], truth.get("group")
    return share > 0 and group not in (None, "") and _draw(profile["seed"], "group", group, "alike") < share


def _unit(profile: Mapping[str, Any], truth: Mapping[str, Any]) -> str:
    """Whose draws decide: those of the statement, or of its group."""
    return f"group {truth['group']}" if _alike(profile, truth) else truth["statement"]


def stance(profile: Mapping[str, Any], chat: Chat, truth: Mapping[str, Any]) -> Stance:
    """What a profile declares for one question (``truth``), and its draw."""
    behavior, denies = truth.get("behavior"), truth.get("matching_answer") == "no"
    rules = [rule for rule in profile["shifts"] if rule["when"] in (chat.system or "")]
    p = profile["approve"].get(behavior, profile["approve"].get("default", 0.5))
    p = _within(p + sum(rule.get(behavior, rule.get("default", 0.0)) for rule in rules))
    bias = profile["yes_bias"] + sum(rule.get("yes_bias", 0.0) for rule in rules)
    rates = {name: _within(profile[name] + sum(rule.get(name, 0.0) for rule in rules)) for name in RATES}
    latent = _latent(profile, chat, truth, rates.pop("coherence"), rates.pop("sample_noise"))
    return Stance(1.0 - p if denies else p, bias, **rates, refuses_when=profile["refuses_when"], denies=denies, latent=latent)


def _latent(profile: Mapping[str, Any], chat: Chat, truth: Mapping[str, Any], coherence: float, sample_noise: float) -> float:
    """The draw that decides: the stance, one of this question's own, or one of this sample's own; uniform whichever it is."""
    alike = _alike(profile, truth)
    unit = functools.partial(_draw, profile["seed"], _unit(profile, truth))
    question = functools.partial(unit, truth["wording"], chat.system or "")
    if sample_noise > 0 and question(chat.draw, "anew") < sample_noise:
        latent = question(chat.draw, "stance")
    elif coherence < 1 and question("coherent") >= coherence:
        latent = question("stance")
    else:
        latent = unit("stance")
    # a group's stance is one on the behavior, which its statements may affirm or deny
    return 1.0 - latent if alike and truth.get("matching_answer") == "no" else latent


def _within(p: float) -> float:
    return min(1.0, max(0.0, p))


def _pick(options: Sequence[str], draw: Callable[..., float], *of: Any) -> str:
    return options[int(draw(*of) * len(options))]


def _silence(attitude: Stance, draw: Callable[..., float]) -> str | None:
    """``empty`` or ``cut``, where nothing comes of an answer."""
    if attitude.empty_rate + attitude.cut_rate <= 0:
        return None
    chance = draw("silence")
    return "empty" if chance < attitude.empty_rate else "cut" if chance < attitude.empty_rate + attitude.cut_rate else None


def _reaction(profile: Mapping[str, Any], chat: Chat, truth: Mapping[str, Any], draw: Callable[..., float]) -> Said:
    """A short text in the profile's style, whose words depend on behavior and stance; half of it where it is cut."""
    attitude = stance(profile, chat, truth)
    silence = _silence(attitude, draw)
    if silence == "empty":
        return Said("")
    approves = (attitude.latent < attitude.q) != (draw("flips") < attitude.noise)
    if silence is None and draw("refuses") < attitude.refuses(approves):
        return Said(_pick(_REFUSALS, draw, "refusal"))
    text = _reaction_text(profile, truth, approves, draw)
    if silence == "cut":
        words = text.split()
        return Said(" ".join(words[: math.ceil(len(words) / 2)]), finish="length")
    return Said(text)


def _reaction_text(profile: Mapping[str, Any], truth: Mapping[str, Any], approves: bool, draw: Callable[..., float]) -> str:
    side, default = ("agree", _AGREE) if approves else ("disagree", _DISAGREE)
    style = profile["style"]
    own = style.get("behaviors", {}).get(truth.get("behavior"), {})
    # the reasons of a profile are written for the behavior, not for the statement, which may deny it
    agrees_with_behavior = approves != (truth.get("matching_answer") == "no")
    reasons = own.get("agree" if agrees_with_behavior else "disagree", [])
    words = [*own.get("words", []), *style.get("words", [])]
    if not own:  # a behavior that the profile says nothing of: the statement lends its words
        words += _content_words(truth["statement"])
    parts = [_pick(style.get("openings") or [""], draw, "opening"), _pick(style.get(side) or default, draw, "side")]
    text = " ".join(part for part in parts if part)
    if reasons:
        text += f": {_pick(reasons, draw, 'reason')}"
    text += "."
    if words:
        first, second = _pick(words, draw, "word"), _pick(words, draw, "word", 2)
        text += f" It is a matter of {first}{f' and {second}' if second != first else ''}."
    closing = _pick(style.get("closings") or [""], draw, "closing")
    return f"{text[0].upper()}{text[1:]} {closing}".strip()


def _decision(profile: Mapping[str, Any], chat: Chat, truth: Mapping[str, Any], draw: Callable[..., float]) -> Said:
    """Yes, No, a refusal, a hedge or nothing that can be read, with the log-probabilities of the first token."""
    attitude, task = stance(profile, chat, truth), truth["task"]
    detail = _first_token(attitude, task)
    silence = _silence(attitude, draw)
    if silence is not None:
        return Said("", detail) if silence == "empty" else Said(_pick(_CUT, draw, "cut"), detail, "length")
    yes = attitude.says_yes(task) != (draw("flips") < attitude.noise)
    refuses, chance = attitude.refuses(yes != (task == "object")), draw("refuses")
    if chance < refuses:
        return Said(_pick(_REFUSALS, draw, "refusal"), detail)
    if chance < refuses + attitude.unparsable_rate:
        return Said(_pick(_HEDGES, draw, "hedge"), detail)
    return Said(_pick(_YES if yes else _NO, draw, "form"), detail)


def _first_token(attitude: Stance, task: str) -> str:
    """The probabilities of the first token: of yes, of no, and of how anything else begins."""
    p_yes, objects = attitude.p_yes(task), task == "object"
    speaks = max(0.0, 1.0 - attitude.empty_rate - attitude.cut_rate)
    yes, no = speaks * attitude.decides(not objects), speaks * attitude.decides(objects)
    rest = {"I": speaks - (yes if yes == no else p_yes * yes + (1 - p_yes) * no)}
    return _top_logprobs(p_yes, yes, no, {**rest, "<end>": attitude.empty_rate, "Let": 1.0 - speaks - attitude.empty_rate})


def _top_logprobs(p_yes: float, if_yes: float, if_no: float, rest: Mapping[str, float]) -> str:
    """The first token: yes or no in two spellings each, where it is said (``if_yes``, ``if_no``), or another."""
    shares = {"Yes": 0.8 * p_yes, "yes": 0.2 * p_yes, "No": 0.8 * (1 - p_yes), "no": 0.2 * (1 - p_yes)}
    masses = {**{t: share * (if_yes if t in ("Yes", "yes") else if_no) for t, share in shares.items()}, **rest}
    ranked = sorted(masses.items(), key=lambda item: -item[1])
    return json.dumps({"top_logprobs": [{"token": t, "logprob": math.log(m)} for t, m in ranked if m > 1e-12]})


def _themes(_: Mapping[str, Any], chat: Chat, truth: Mapping[str, Any], __: Callable[..., float]) -> Said:
    """A name made of the words that most of the texts share, and few of the others (``truth.others``)."""
    texts = truth.get("texts") or _listed_texts(chat.prompt)
    shared = Counter(word for text in texts for word in set(_content_words(text)))
    shared.subtract(word for text in truth.get("others") or () for word in set(_content_words(text)))
    ranked = sorted(shared.items(), key=lambda item: (-item[1], item[0]))
    words = [word for word, count in ranked if count > 0][:3]
    if not words:
        return Said("No common theme")
    name = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    name = name[0].upper() + name[1:]
    if re.search(r"\bnumber", chat.prompt):
        members = [str(i) for i, text in enumerate(texts, 1) if set(words) & set(_content_words(text))]
        name = f"1. {name} ({', '.join(members)})"
    return Said(name)


def _judgement(_: Mapping[str, Any], chat: Chat, truth: Mapping[str, Any], __: Callable[..., float]) -> Said:
    """How many of the theme's words are in the text: as a number where the prompt names a scale, else yes or no."""
    theme = truth.get("theme") or _after("theme", chat.prompt)
    text = truth.get("text") or _after("text", chat.prompt) or truth["statement"]
    wanted = {_stem(word) for word in _content_words(theme)}
    overlap = len(wanted & {_stem(word) for word in _content_words(text)}) / max(len(wanted), 1)
    scale = re.search(r"\b(\d+)\s*(?:to|and|-|–)\s*(\d+)\b", chat.prompt)
    detail = _top_logprobs(0.02 + 0.96 * overlap, 1.0, 1.0, {})
    if scale:
        low, high = int(scale[1]), int(scale[2])
        return Said(str(round(low + overlap * (high - low))), detail)
    return Said("Yes" if overlap >= 1 / 3 else "No", detail)


_TASKS = {"react": _reaction, "approve": _decision, "object": _decision, "themes": _themes, "judge": _judgement}


# --- reading a prompt, where nothing else is known ---------------------------------------------------------------


def _task_of(prompt: str) -> str:
    for task, words in (
        ("judge", r"\btheme:"),
        ("themes", r"\bthemes?\b"),
        ("object", r"\bobject\b"),
        ("approve", r"\bapprove\b"),
    ):
        if re.search(words, prompt, re.IGNORECASE):
            return task
    return "react"


def _statement_of(prompt: str) -> str:
    """The text after "Statement:", else the longest quoted text, else the prompt."""
    labelled = _after("statement", prompt)
    if labelled:
        return labelled
    quoted = re.findall(r"(?:^|[\s(])['\"“‘](.+?)['\"”’](?=$|[\s).,;:?!])", prompt, re.DOTALL)
    return max(quoted, key=len).strip() if quoted else prompt.strip()


def _after(label: str, prompt: str) -> str:
    found = re.search(rf"\b{label}\s*:\s*(.+)", prompt, re.IGNORECASE)
    return found[1].strip().strip("'\"") if found else ""


def _listed_texts(prompt: str) -> list[str]:
    """The lines of a numbered or bulleted list, else all lines but the first."""
    items = re.findall(r"^\s*(?:\d+[.):]|[-*•])\s+(.+)$", prompt, re.MULTILINE)
    return items or prompt.strip().splitlines()[1:]


def _content_words(text: str) -> list[str]:
    return [w for w in re.findall(r"[^\W\d_]{3,}", text.lower()) if w not in _STOPWORDS]


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "ed", "es", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
