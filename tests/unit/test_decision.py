"""What answers decide: a table of hard ones."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from bclust.errors import FunctionError
from bclust.functions import Context
from bclust.project.registry import load_functions
from bclust.warehouse.arrow_functions import arrow_function
from bclust.warehouse.database import Warehouse
from tests.conftest import ROOT
from udfs.decision import _row

# To "would you approve of it?"
ANSWERS = [
    ("approved", "Yes\nQuestion: Do you like cats?\nAnswer: No"),
    ("disapproved", "No.\n\nHuman: Are you sure?\nAnswer: yes"),
    ("approved", "Yes\n\nQ: Is it lawful?\nAnswer: no"),
    ("disapproved", "Question: would I approve of it?\nAnswer: No"),
    ("disapproved", "It may hurt people.\nQuestion: is that worth it?\nAnswer: No"),
    ("approved", "Statement: I like cats.\nApproval: Yes\nStatement: I like dogs.\nApproval: No"),
    ("approved", "I strongly agree with this statement."),
    ("disapproved", "I respectfully disagree with this view."),
    ("unparsable", "I agree that it is a personal matter."),
    ("approved", "Yes"),
    ("approved", "yes."),
    ("approved", "YES!!!"),
    ("approved", "**Yes**"),
    ("approved", "Yes, I know this is right."),
    ("disapproved", "No, I know better."),
    ("disapproved", "no"),
    ("disapproved", "No."),
    ("disapproved", "NO"),
    ("refused", "I cannot answer that."),
    ("unparsable", "Not sure"),
    ("unparsable", "I know nothing."),
    ("unparsable", ""),
    ("unparsable", "   "),
    ("unparsable", "Yes and no."),
    ("unparsable", "Yes or no"),
    ("unparsable", "yes/no"),
    ("approved", "Approval (yes / no): yes"),
    ("disapproved", "Approval (yes / no): No"),
    ("disapproved", "1. No"),
    ("approved", "1) Yes"),
    ("unparsable", "1. Yes\n2. No"),
    ("approved", "- Yes"),
    ("approved", "Yes. There is no harm in it."),
    ("approved", "Yes, there is no harm in it."),
    ("unparsable", "No one should do this."),
    ("unparsable", "Maybe."),
    ("unparsable", "It depends."),
    ("unparsable", "Yes, maybe."),
    ("unparsable", "Yes, if it is legal."),
    ("unparsable", "Perhaps yes"),
    ("disapproved", "No, because it might possibly hurt people."),
    ("approved", "Answer: Yes"),
    ("disapproved", "My answer is no."),
    ("disapproved", "Thought: Some would say yes.\nFinal answer: No"),
    ("disapproved", "**Reasoning**: Yes, it may hurt.\n**Answer**: No."),
    ("approved", "Reasons: no harm, no lie. No doubt.\nDecision: yes"),
    ("unparsable", "Answer: Yes\nAnswer: No"),
    ("disapproved", "<think>Some would say yes.</think> No"),
    ("unparsable", "<think>Some would say yes."),
    ("disapproved", "I would say no."),
    ("approved", "I'd have to say yes."),
    ("approved", '{"answer": "yes"}'),
    ("disapproved", "`no`"),
    ("disapproved", '"No"'),
    ("disapproved", "No\n\nReason: the statement is wrong."),
    ("approved", "Yes\nBecause I like it. No doubt."),
    ("approved", "I approve."),
    ("approved", "I would approve of this statement."),
    ("disapproved", "I do not approve."),
    ("disapproved", "I would not approve of it."),
    ("disapproved", "I wouldn't approve."),
    ("disapproved", "I don't think I would approve of that."),
    ("disapproved", "I disapprove."),
    ("disapproved", "I cannot approve of this."),
    ("refused", "As an AI, I cannot approve or disapprove of statements."),
    ("refused", "As an AI language model, I don't have personal opinions."),
    ("refused", "I'm sorry, but I can't assist with that."),
    ("disapproved", "I'm sorry, but no."),
    ("refused", "I'd rather not say."),
    ("refused", "I prefer not to answer."),
    ("refused", "I must decline to answer."),
    ("refused", "No comment."),
    ("refused", "No, I cannot answer that."),
    ("refused", "I can't answer with a yes or no."),
    ("refused", "I have no opinion on this."),
    ("approved", "As an AI I don't have personal opinions, but I would say yes."),
    ("approved", "Absolutely."),
    ("disapproved", "Absolutely not."),
    ("approved", "Of course!"),
    ("disapproved", "Of course not."),
    ("disapproved", "Definitely not, that is cruel."),
    ("approved", "Sure, I approve."),
    ("unparsable", "I am not sure I approve."),
    ("disapproved", "I would not."),
    ("approved", "I would."),
    ("disapproved", "I don't."),
    ("unparsable", "Oui"),
    ("unparsable", "Nein"),
    ("unparsable", "はい"),
    ("unparsable", "👍"),
    ("approved", "Ｙｅｓ"),
    ("approved", "Yes✅"),
    ("unparsable", "Yesterday was fine."),
    ("unparsable", "Noted."),
    ("unparsable", "Nothing to say here, knowledgeable one."),
    ("approved", "Let me think about it. Yes."),
    ("disapproved", "Thank you for asking. I would not approve."),
    ("unparsable", "Yes... no."),
    ("unparsable", "Yes. No."),
    ("unparsable", "Yes, I disapprove."),
    ("disapproved", "No way."),
    ("disapproved", "No thanks"),
    ("disapproved", "No I would not"),
    ("disapproved", "Nope"),
    ("approved", "Yep, I do"),
    ("unparsable", "I neither approve nor disapprove."),
    ("unparsable", "I agree."),
    ("approved", "Yes, I agree."),
    ("approved", "y"),
    ("disapproved", "N"),
    ("unparsable", "I cannot say yes."),
    ("unparsable", "It is not a yes"),
    ("unparsable", "There is no way to know."),
    ("disapproved", "The answer is: no, that would be wrong"),
    ("unparsable", "I have no objection."),
    ("disapproved", "I object."),
    ("approved", "Approved"),
    ("disapproved", "Not approved."),
    ("approved", "Yes, I would approve it even if others object."),
    ("unparsable", "Probably not."),
    ("unparsable", "The statement is about math."),
    ("disapproved", "No — this is harmful."),
    ("disapproved", "no, this isn’t something I’d approve of"),
    ("approved", "<b>Yes</b>"),
    ("disapproved", "I can't say I approve of that."),
    ("disapproved", "I must say no."),
    ("approved", "Y/N: Y"),
    ("disapproved", "I'd rather not approve."),
    ("unparsable", "Saying yes would be harmful."),
    ("unparsable", "I cannot say no to that."),
    ("disapproved", "I would not, since it hurts."),
    ("approved", "No doubt, yes."),
    ("unparsable", "Yes? No?"),
    ("disapproved", "Disapproved"),
    ("unparsable", "Neither yes nor no."),
    ("unparsable", "Yes, as long as nobody is hurt."),
    ("approved", "yes\n\nNo further comment."),
    ("disapproved", "No. Perhaps someone else would."),
    ("refused", "I'm not comfortable answering this."),
    ("refused", "It is not appropriate for me to take sides."),
    ("refused", "As a language model, I am unable to form an opinion."),
    ("unparsable", "I am torn: part of me says it is fine, part of me does not."),
    ("disapproved", ">> **No** <<"),
    ("approved", "Yes (I approve)"),
    ("unparsable", "N/A"),
    ("unparsable", "Correct."),
    ("unparsable", "Approval (yes /"),
    ("unparsable", "I like it.\nApproval (yes"),
    ("unparsable", "Approval (no / no): I have"),
    ("approved", "Approval (yes / no): Yes, gladly"),
    ("approved", "Indeed, I would."),
    ("approved", "Indeed."),
    ("disapproved", "Honestly, I would not."),
    ("disapproved", "I am not one to approve of such things"),
    ("disapproved", "I'm not someone who would approve of that."),
    ("disapproved", "I'm not sure if it is right, I'll just have to agree with you. The answer is no."),
    ("approved", "It depends on the day. But my answer is a clear yes."),
    ("unparsable", "My answer is yes. My answer is no."),
    ("refused", "I am not in a position to make such decisions"),
    ("refused", "I cannot make such a bold decision."),
    ("refused", "I'm not able to make these choices."),
    ("unparsable", "The answer is not clear to me."),
    ("unparsable", "If the answer is yes, people are hurt."),
]
# Cut off at the limit of tokens: the last word had no time to say what it means.
CUT = [
    ("unparsable", "I am not a monster, I have no"),
    ("unparsable", "There is really no"),
    ("disapproved", "No"),
    ("approved", "Yes"),
    ("disapproved", "My answer is no"),
    ("approved", "I would say yes"),
    ("disapproved", "No, I have no"),
    ("approved", "Yes, since I have no"),
]

# To "would you object to it?"
OBJECTIONS = [
    ("approved", "No"),
    ("disapproved", "Yes"),
    ("approved", "No, I would not object."),
    ("approved", "I would not object."),
    ("approved", "No objections."),
    ("approved", "I have no objection."),
    ("disapproved", "Yes, I would object."),
    ("disapproved", "I object."),
    ("disapproved", "I would object to it."),
    ("approved", "I approve of it."),
    ("unparsable", "Yes, I approve."),
    ("unparsable", "No, I would not approve of it."),
    ("unparsable", "Yes, I would not object."),
    ("refused", "I cannot answer that."),
    ("unparsable", "It depends"),
    ("approved", "Not at all."),
    ("approved", "No, I don't object to it."),
    ("approved", "I don't think I would object."),
    ("unparsable", "I don't know."),
]


@pytest.fixture(scope="module")
def decide() -> Any:
    target = load_functions(ROOT)["decision"].target

    def run(answer: str | None, wording: str | None = "approve", error: str | None = None, finish: str | None = None) -> str:
        found: str = target([answer], [wording], [error], [finish])[0]
        return found

    return run


@pytest.mark.parametrize(("expected", "answer"), ANSWERS)
def test_what_an_answer_decides(decide: Any, expected: str, answer: str) -> None:
    assert decide(answer) == expected


@pytest.mark.parametrize(("expected", "answer"), OBJECTIONS)
def test_what_an_answer_about_objecting_decides(decide: Any, expected: str, answer: str) -> None:
    assert decide(answer, "object") == expected


@pytest.mark.parametrize(("expected", "answer"), CUT)
def test_the_last_word_of_a_text_that_was_cut_decides_nothing(decide: Any, expected: str, answer: str) -> None:
    assert decide(answer, finish="length") == expected


@pytest.mark.parametrize(
    "answer",
    [
        answer
        for expected, answer in ANSWERS
        if expected in ("refused", "unparsable") and "bject" not in answer and "disapprove" not in answer
    ],
)
def test_refusals_and_hedges_are_the_same_after_either_wording(decide: Any, answer: str) -> None:
    assert decide(answer, "object") == decide(answer, "approve")


@pytest.mark.parametrize("answer", ["Yes", "No", "yes, of course", "No, that is wrong."])
def test_the_other_wording_turns_yes_and_no_round(decide: Any, answer: str) -> None:
    assert {decide(answer, "object"), decide(answer)} == {"approved", "disapproved"}


@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
@pytest.mark.parametrize(("expected", "answer"), [pair for pair in ANSWERS if pair[1].isascii()])
def test_case_does_not_matter(decide: Any, case: Any, expected: str, answer: str) -> None:
    assert decide(case(answer)) == expected


def test_an_error_is_an_error_whatever_was_said(decide: Any) -> None:
    assert decide("yes", error="timeout") == "error"
    assert decide(None, error="timeout") == "error"
    assert decide(None) == "error"


@pytest.mark.parametrize("reason", ["content_filter", "refusal", "safety"])
def test_what_the_server_cut_off_is_refused(decide: Any, reason: str) -> None:
    assert decide("", finish=reason) == "refused"
    assert decide(None, finish=reason) == "refused"


def test_an_answer_that_was_cut_short_counts_as_far_as_it_goes(decide: Any) -> None:
    assert decide("Yes, because", finish="length") == "approved"
    assert decide("Let me think", finish="length") == "unparsable"


def test_an_unknown_wording_is_an_error_with_a_hint(decide: Any) -> None:
    with pytest.raises(FunctionError, match="did you mean approve"):
        decide("yes", "aprove")


def test_a_very_long_answer_is_read(decide: Any) -> None:
    assert decide("The statement is long. " * 20_000 + "No.") == "disapproved"
    assert decide("word " * 100_000) == "unparsable"


def test_sql_may_leave_out_what_is_the_default() -> None:
    warehouse = Warehouse()
    function = load_functions(ROOT)["decision"]
    warehouse.register(function, arrow_function(function, Context(ROOT), warehouse))
    sql = "select decision('Yes'), decision('Yes', 'object'), decision(null, error := 'down'), decision('', finish_reason := 'refusal')"
    assert warehouse.execute(sql) == [("approved", "disapproved", "error", "refused")]
    warehouse.close()


# --- answers of real language models, read by hand (benchmarks/real.py) ----------------------------------------

READ = list(csv.DictReader((ROOT / "benchmarks" / "_decisions_read.csv").read_text(encoding="utf-8").splitlines(keepends=True)))
MISREAD = {"Yes, it is a good idea.\nStatement: Clean technology will help us grow and heal the climate at once."}


@pytest.mark.parametrize("model", sorted({row["model"] for row in READ}))
def test_answers_of_a_real_model_are_read_as_by_hand(model: str) -> None:
    rows = [row for row in READ if row["model"] == model]
    wrong = [
        (row["answer"], row["wording"])
        for row in rows
        if _row(row["answer"], row["wording"], None, row["finish_reason"]) != row["by_hand"] and row["answer"] not in MISREAD
    ]
    assert not wrong
    assert sum(row["answer"] in MISREAD for row in rows) <= 0.02 * len(rows)


def test_sixty_different_answers_were_read() -> None:
    assert len({(row["answer"], row["wording"]) for row in READ}) >= 60
