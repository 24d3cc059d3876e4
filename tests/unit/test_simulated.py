"""Simulated language models with the settings that make equal ones hard to tell from different ones."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest, chi2_contingency

from bclust.errors import FunctionError
from bclust.functions import Answer, CallError, Context, member
from bclust.project.registry import load_functions

ROOT = Path(__file__).parent.parent.parent
N = 1000
QUESTIONS = [(wording, system) for wording in ("approve", "endorse", "object") for system in (None, "You are a poet.")]
STANCES = {
    "plain": "",
    "half coherent": "coherence: 0.5",
    "incoherent": "coherence: 0.0",
    "some samples anew": "sample_noise: 0.3",
    "all samples anew": "sample_noise: 1.0",
    "grouped": "groups: 0.6",
    "all of it": "coherence: 0.3, sample_noise: 0.3, groups: 0.5",
}

Ask = Callable[..., list[Answer]]


@pytest.fixture(autouse=True, scope="module")
def this_project() -> None:
    """Other tests load the functions of other projects; here they are this one's."""
    load_functions(ROOT)


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Answers to n statements of a profile that is written as the inside of a YAML mapping."""
    (tmp_path / "seeds").mkdir()

    def asked(
        profile: str, n: int = N, *, wording: str = "approve", system: str | None = None, sample: int = 0, of_group: int = 0,
        keyed: str | None = "yes", **given: Any,
    ) -> list[Answer]:  # fmt: skip
        from udfs.providers import Chat  # of the project that is loaded now

        (tmp_path / "seeds" / "profiles.yml").write_text(f"x: {{{profile}}}", encoding="utf-8")
        provider = member("providers", "simulated").Provider(Context(tmp_path), model="x")
        task = wording if wording in ("object", "react") else "approve"
        truths = [
            {"task": task, "wording": wording, "statement": f"statement {of_group} of {i}", "behavior": "risk", "group": i,
             "matching_answer": keyed} for i in range(n)
        ]  # fmt: skip
        answers: list[Answer] = provider.complete_batch([Chat("p", system, sample, truth=t, **given) for t in truths])
        return answers

    yield asked


def decided(answers: list[Answer], wording: str = "approve") -> list[str]:
    """What was decided, by the phrases that the simulator has."""
    from udfs.providers.simulated import _HEDGES, _NO, _REFUSALS, _YES

    yes, no = ("disapproved", "approved") if wording == "object" else ("approved", "disapproved")
    meanings = {_YES: yes, _NO: no, _REFUSALS: "refused", _HEDGES: "hedged"}
    meaning = {phrase: what for phrases, what in meanings.items() for phrase in phrases}
    return [meaning.get(text, "undecided") for text in texts(answers)]


def texts(answers: list[Answer]) -> list[str]:
    assert all(isinstance(a.value, str) for a in answers)
    return [str(a.value) for a in answers]


def approvals(ask: Ask, profile: str, wording: str = "approve", **given: Any) -> list[bool]:
    """Which statements are approved of; each is decided."""
    decisions = decided(ask(profile, wording=wording, **given), wording)
    assert set(decisions) <= {"approved", "disapproved"}
    return [decision == "approved" for decision in decisions]


def holds(flags: list[bool], p: float) -> bool:
    """Whether so many flags are what p explains: within what happens in all but one of 10,000 tests."""
    return bool(binomtest(sum(flags), len(flags), p).pvalue > 1e-4)


def independent(a: list[bool], b: list[bool]) -> bool:
    """Chi-square test of independence, at the same level."""
    table = [[sum(x == i and y == j for x, y in zip(a, b, strict=True)) for j in (True, False)] for i in (True, False)]
    return bool(chi2_contingency(table).pvalue > 1e-4)


def alike(a: list[Any], b: list[Any]) -> float:
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)


# --- what was there before stays -------------------------------------------------------------------------------------

BEFORE = """
cautious:
  approve: {default: 0.6, risk: 0.9, calm: 0.2}
  yes_bias: 0.05
  refusal_rate: 0.1
  unparsable_rate: 0.1
  noise: 0.1
  shifts: [{when: poet, risk: -0.3, default: 0.1, yes_bias: 0.1, refusal_rate: 0.1, noise: 0.1}]
  style: {openings: ["", Frankly], agree: [I agree], disagree: [no thanks], closings: [So be it.], words: [care, law],
          behaviors: {risk: {agree: [better safe], disagree: [be bold], words: [savings]}}}
bold: {same_as: cautious, seed: other, approve: {risk: 0.1}}
"""


def test_profiles_without_the_new_keys_answer_to_the_letter_what_they_answered_before(tmp_path: Path) -> None:
    """The digest is of the answers and identities that the provider gave before there were such keys."""
    from udfs.providers import Chat

    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "profiles.yml").write_text(BEFORE, encoding="utf-8")
    said: list[Any] = []
    for model in ("cautious", "bold"):
        provider = member("providers", "simulated").Provider(Context(tmp_path), model=model)
        chats = [
            Chat(f"Statement: s {i}", system, sample, logprobs=True, max_tokens=limit,
                 truth={"task": task, "statement": f"s {i}", "behavior": behavior, "matching_answer": keyed})
            for i in range(8) for task in ("react", "approve", "object") for sample in (0, 1)
            for system, behavior, keyed, limit in ((None, "risk", "yes", None), ("You are a poet.", "calm", "no", 3),
                                                   ("You are a poet.", "risk", "no", None), (None, "other", None, None))
        ]  # fmt: skip
        chats += [
            Chat("Name the common theme of:\n1. care for cats\n2. cats and care"),
            Chat("Theme: care\nText: we care", logprobs=True),
        ]
        chats += [Chat("Would you object to this? Statement: I like one", logprobs=True), Chat("hello")]
        said.append(provider.identity())
        said += [
            [a.value, a.finish_reason, a.input_tokens, a.output_tokens, first_token(a)] for a in provider.complete_batch(chats)
        ]
    assert len(said) == 394
    assert hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32] == "26d4c80bf63f8163f256d63552e04b08"


def first_token(answer: Answer) -> dict[str, float]:
    """Probabilities by token, as far as the mathematics of every machine agree."""
    top = json.loads(str(answer.detail or '{"top_logprobs": []}'))["top_logprobs"]
    return {t["token"]: round(math.exp(t["logprob"]), 9) for t in top}


def test_keys_that_change_nothing_are_no_other_profile_and_keys_that_do_are(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    idle = "coherence: 1, sample_noise: 0, groups: 0, empty_rate: 0, cut_rate: 0.0, refuses_when: {}"
    identities = []
    for more in ("", f", {idle}", ", coherence: 0.5", ", groups: 1", ", refuses_when: {shows: 0.1}"):
        (tmp_path / "seeds" / "profiles.yml").write_text(f"x: {{noise: 0.1{more}}}", encoding="utf-8")
        identities.append(json.dumps(member("providers", "simulated").Provider(Context(tmp_path), model="x").identity()))
    assert identities[0] == identities[1]
    assert len(set(identities)) == 4


# --- marginals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stance", STANCES)
@pytest.mark.parametrize("q", [0.15, 0.7])
def test_the_probability_of_approving_is_the_declared_one_whatever_is_shared(ask: Ask, stance: str, q: float) -> None:
    profile = f"approve: {{risk: {q}}}, {STANCES[stance]}"
    for wording, system in QUESTIONS:
        assert holds(approvals(ask, profile, wording, system=system), q)
        assert holds(approvals(ask, profile, wording, system=system, sample=3), q)
    assert holds(approvals(ask, profile, keyed="no"), 1 - q)


@pytest.mark.parametrize("stance", STANCES)
def test_certainty_stays_certain(ask: Ask, stance: str) -> None:
    for p in (0, 1):
        for keyed in ("yes", "no"):
            for wording, system in QUESTIONS:
                said = approvals(ask, f"approve: {{risk: {p}}}, {STANCES[stance]}", wording, n=100, system=system, keyed=keyed)
                assert set(said) == {(p == 1) == (keyed == "yes")}


# --- coherence ---------------------------------------------------------------------------------------------------


def test_coherent_wordings_and_personas_share_the_stance(ask: Ask) -> None:
    first, *others = (approvals(ask, "approve: {risk: 0.7}", wording, system=system) for wording, system in QUESTIONS)
    assert all(said == first for said in others)


def test_incoherent_wordings_and_personas_are_independent_and_samples_agree(ask: Ask) -> None:
    profile = "approve: {risk: 0.7}, coherence: 0"
    said = [approvals(ask, profile, wording, system=system) for wording, system in QUESTIONS]
    assert all(independent(a, b) for i, a in enumerate(said) for b in said[i + 1 :])
    assert all(
        approvals(ask, profile, wording, system=system, sample=4) == first
        for (wording, system), first in zip(QUESTIONS, said, strict=True)
    )


def test_half_coherent_wordings_agree_where_both_draw_from_the_stance_else_by_chance(ask: Ask) -> None:
    a, b = (approvals(ask, "approve: {risk: 0.7}, coherence: 0.5", wording) for wording in ("approve", "object"))
    assert holds([x == y for x, y in zip(a, b, strict=True)], 0.25 + 0.75 * (0.7**2 + 0.3**2))


def test_a_rule_can_make_one_persona_independent_of_the_others(ask: Ask) -> None:
    profile = "approve: {risk: 0.7}, shifts: [{when: poet, coherence: -1}]"
    plain, clerk, poet = (approvals(ask, profile, system=system) for system in (None, "You are a clerk.", "You are a poet."))
    assert plain == clerk
    assert independent(plain, poet)
    assert holds(poet, 0.7)


def test_reactions_agree_with_decisions_where_they_are_coherent(ask: Ask) -> None:
    def agrees(profile: str) -> list[bool]:
        return [
            said.startswith("Aye")
            for said in texts(ask(f"approve: {{risk: 0.7}}, style: {{agree: [aye]}}, {profile}", wording="react"))
        ]

    assert agrees("") == approvals(ask, "approve: {risk: 0.7}")
    assert independent(agrees("coherence: 0"), approvals(ask, "approve: {risk: 0.7}, coherence: 0"))
    assert holds(agrees("coherence: 0, sample_noise: 0.5"), 0.7)


# --- samples -----------------------------------------------------------------------------------------------------


def test_samples_agree_without_sample_noise_and_are_independent_with_all_of_it(ask: Ask) -> None:
    steady = [approvals(ask, "approve: {risk: 0.7}", sample=sample) for sample in range(4)]
    assert all(said == steady[0] for said in steady)
    drawn = [approvals(ask, "approve: {risk: 0.7}, sample_noise: 1", sample=sample) for sample in range(4)]
    assert all(independent(a, b) for i, a in enumerate(drawn) for b in drawn[i + 1 :])
    assert independent(drawn[0], approvals(ask, "approve: {risk: 0.7}, sample_noise: 1", "object"))


def test_some_sample_noise_leaves_two_answers_alike_where_both_keep_the_stance(ask: Ask) -> None:
    first, *others = (
        approvals(ask, "approve: {risk: 0.7}, sample_noise: 0.4", wording, sample=sample)
        for wording, sample in (("approve", 0), ("approve", 1), ("object", 0))
    )
    for said in others:
        assert holds([x == y for x, y in zip(first, said, strict=True)], 0.36 + 0.64 * (0.7**2 + 0.3**2))


# --- refusals, empty and cut answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("wording", ["approve", "object", "endorse"])
@pytest.mark.parametrize("keyed", ["yes", "no"])
@pytest.mark.parametrize("kind", ["approves", "disapproves", "shows", "denies"])
def test_selective_refusals_come_at_the_declared_rate_and_only_where_they_are_declared(
    ask: Ask, kind: str, keyed: str, wording: str
) -> None:
    profile = "approve: {risk: 0.6}, coherence: 0"
    would = approvals(ask, profile, wording, keyed=keyed)
    found = decided(ask(f"{profile}, refusal_rate: 0.1, refuses_when: {{{kind}: 0.4}}", wording=wording, keyed=keyed), wording)
    meant = {"approves": True, "disapproves": False, "shows": keyed == "yes", "denies": keyed == "no"}[kind]
    refused = [(approves, decision == "refused") for approves, decision in zip(would, found, strict=True)]
    assert holds([r for approves, r in refused if approves == meant], 0.5)
    assert holds([r for approves, r in refused if approves != meant], 0.1)
    kept = [(a, d) for a, d in zip(would, found, strict=True) if d != "refused"]
    assert all(decision == ("approved" if approves else "disapproved") for approves, decision in kept)


def test_reactions_are_refused_selectively_too(ask: Ask) -> None:
    style = "approve: {risk: 0.6}, style: {agree: [aye], disagree: [nay]}"
    would = [said.startswith("Aye") for said in texts(ask(style, wording="react"))]
    found = [said[:3] in ("Aye", "Nay") for said in texts(ask(f"{style}, refuses_when: {{denies: 0.3}}", wording="react"))]
    assert all(answered for agrees, answered in zip(would, found, strict=True) if agrees)
    assert holds([answered for agrees, answered in zip(would, found, strict=True) if not agrees], 0.7)


@pytest.mark.parametrize("wording", ["approve", "object", "react"])
def test_empty_and_cut_answers_come_as_often_as_declared(ask: Ask, wording: str) -> None:
    answers = ask("empty_rate: 0.2, cut_rate: 0.3, refusal_rate: 0.5", wording=wording)
    empty, cut = [a.value == "" for a in answers], [a.finish_reason == "length" for a in answers]
    assert holds(empty, 0.2)
    assert holds(cut, 0.3)
    assert not any(e and c for e, c in zip(empty, cut, strict=True))
    if wording != "react":
        found = decided(answers, wording)
        assert {d for d, e, c in zip(found, empty, cut, strict=True) if e or c} == {"undecided"}
        assert holds([d == "refused" for d, e, c in zip(found, empty, cut, strict=True) if not (e or c)], 0.5)
    else:
        assert all(a.value for a, e in zip(answers, empty, strict=True) if not e)


def test_the_parser_reads_no_decision_into_a_cut_answer() -> None:
    from udfs.decision import decision
    from udfs.providers.simulated import _CUT

    none: list[str | None] = [None] * len(_CUT)
    assert set(decision(_CUT, none, none, ["length"] * len(_CUT))) == {"unparsable"}


def test_an_all_empty_model_says_nothing_whatever_else_it_would(ask: Ask) -> None:
    for wording in ("approve", "react"):
        assert {a.value for a in ask("empty_rate: 1, cut_rate: 1, refusal_rate: 1, noise: 0.5", 50, wording=wording)} == {""}


def test_other_rates_are_untouched_by_a_rule_and_a_rule_can_move_any(ask: Ask) -> None:
    profile = "shifts: [{when: poet, empty_rate: 1, sample_noise: 1}]"
    assert {a.value for a in ask(profile, 50, system="You are a poet.")} == {""}
    assert "" not in {a.value for a in ask(profile, 50)}


# --- groups ------------------------------------------------------------------------------------------------------

MESSY = "approve: {risk: 0.6}, noise: 0.1, refusal_rate: 0.1, unparsable_rate: 0.1, empty_rate: 0.1, cut_rate: 0.1"


@pytest.mark.parametrize("more", ["", ", coherence: 0, sample_noise: 0.5", ", refuses_when: {shows: 0.4}"])
@pytest.mark.parametrize("wording", ["approve", "object"])
def test_members_of_a_group_get_one_answer_refusals_and_all(ask: Ask, wording: str, more: str) -> None:
    members = [ask(f"{MESSY}, groups: 1{more}", wording=wording, sample=1, of_group=k) for k in range(3)]
    assert all([x.value for x in a] == [x.value for x in b] for a, b in pairwise(members))
    apart = [decided(ask(MESSY + more, 400, wording=wording, of_group=k), wording) for k in range(2)]
    assert alike(*apart) < 0.7


def test_a_member_that_denies_the_behavior_is_answered_the_other_way_round(ask: Ask) -> None:
    turned = {"approved": "disapproved", "disapproved": "approved"}
    for more in ("", ", coherence: 0, sample_noise: 0.5", ", refuses_when: {shows: 0.4, denies: 0.1}"):
        yes, no = (decided(ask(f"{MESSY}, groups: 1{more}", keyed=key, of_group=k)) for k, key in enumerate(("yes", "no")))
        assert [turned.get(d, d) for d in yes] == no
        assert len(set(yes)) == 5


def test_reactions_of_a_group_are_one_text_where_the_style_has_the_words(ask: Ask) -> None:
    style = "style: {behaviors: {risk: {agree: [better safe, caution], disagree: [be bold], words: [savings, law]}}}"
    a, b = ([x.value for x in ask(f"{MESSY}, groups: 1, {style}", wording="react", of_group=k)] for k in range(2))
    assert a == b
    assert len(set(a)) > 10


def test_a_share_of_the_groups_is_answered_alike_and_statements_without_a_group_stand_alone(ask: Ask) -> None:
    a, b = (approvals(ask, "approve: {risk: 0.7}, groups: 0.5", of_group=k) for k in range(2))
    assert holds([x == y for x, y in zip(a, b, strict=True)], 0.5 + 0.5 * (0.7**2 + 0.3**2))
    a, b = (approvals(ask, "approve: {risk: 0.7}, groups: 0", of_group=k) for k in range(2))
    assert independent(a, b)


# --- log-probabilities --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stance", STANCES)
@pytest.mark.parametrize(("wording", "keyed"), [("approve", "yes"), ("object", "yes"), ("object", "no"), ("endorse", "no")])
def test_log_probabilities_are_the_shares_of_the_answers(ask: Ask, stance: str, wording: str, keyed: str) -> None:
    more = "noise: 0.1, yes_bias: 0.1, unparsable_rate: 0.05, refusal_rate: 0.1, empty_rate: 0.1, cut_rate: 0.05"
    profile = f"approve: {{risk: 0.6}}, {more}, refuses_when: {{approves: 0.3, denies: 0.2}}, {STANCES[stance]}"
    answers = ask(profile, wording=wording, keyed=keyed, logprobs=True)
    assert len({a.detail for a in answers}) == 1
    mass = first_token(answers[0])
    assert sum(mass.values()) == pytest.approx(1)
    found = decided(answers, wording)
    yes, no = ("disapproved", "approved") if wording == "object" else ("approved", "disapproved")
    assert holds([d == yes for d in found], mass["Yes"] + mass["yes"])
    assert holds([d == no for d in found], mass["No"] + mass["no"])
    assert holds([a.value == "" for a in answers], mass["<end>"])
    assert holds([a.finish_reason == "length" for a in answers], mass["Let"])


# --- what is wrong is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("coherence: 1.5", "profile x: coherence must be a number from 0 to 1, not 1.5"),
        ("sample_noise: all", "sample_noise must be a number"),
        ("groups: true", "groups must be a number from 0 to 1, not True"),
        ("empty_rate: -1", "empty_rate must be a number"),
        ("cut_rate: 2", "cut_rate must be a number"),
        ("refuses_when: 0.4", "refuses_when must be a mapping, not 0.4"),
        ("refuses_when: {approve: 0.4}", r"refuses_when: unknown key approve\n.*did you mean approves"),
        ("refuses_when: {shows: 4}", "refuses_when: shows must be a number from 0 to 1, not 4"),
        ("coherance: 1", r"unknown key coherance\n.*did you mean coherence"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(ask: Ask, profile: str, message: str) -> None:
    with pytest.raises(FunctionError, match=message):
        ask(profile, 1)


# --- recorded answers know wordings by name -------------------------------------------------------------------------


def test_recorded_answers_are_found_by_the_name_of_the_wording(tmp_path: Path) -> None:
    from udfs.providers import Chat

    records = [
        {"task": "approve", "statement": "s", "response": "Yes"},
        {"wording": "endorse", "statement": "s", "response": "No"},
        {"statement": "s", "response": "So be it."},
    ]
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    provider = member("providers", "recorded").Provider(Context(tmp_path), llm_id="x", files=["runs.jsonl"])
    truths = [
        {"task": "approve"}, {"task": "approve", "wording": "approve"}, {"task": "approve", "wording": "endorse"}, {"task": "react"}, {},
        {"task": "approve", "wording": "like"},
    ]  # fmt: skip
    *found, unknown = provider.complete_batch([Chat("s", truth={"statement": "s", **t}) for t in truths])
    assert [a.value for a in found] == ["Yes", "Yes", "No", "So be it.", "So be it."]
    assert isinstance(unknown, CallError)
