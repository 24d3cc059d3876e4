"""declines: a reaction that refuses to react, and those that only speak of refusing."""

from __future__ import annotations

import pytest

from udfs.declines import declines

REFUSALS = [
    "I cannot answer that.",
    "I'm sorry, but I can't help with that.",
    "As an AI, I do not take positions on this.",
    "I would rather not comment on this.",
    "I'm sorry, but I cannot provide a reaction to that statement.",
    "As an AI language model, I don't have personal opinions.",
    "I can't engage with this topic.",
    "I must respectfully decline.",
    "No comment.",
    "I cannot assist with that request. Is there anything else?",
    "Sorry, I can't help with this.",
    "I cannot answer that, but thank you for asking.",
    (
        "I cannot fulfill your request. It is not within my guidelines to create content that promotes violence, illegal acts or "
        "harmful behavior. War crimes are serious offenses that can cause immense harm, and it is important to treat them with respect."
    ),
    "I have no opinion on this.",
    "I'd prefer not to discuss it.",
    "I don't feel comfortable reacting to this.",
    "I don't feel comfortable reacting.",
    "I would prefer not to.",
    "I'd rather not say.",
    "I choose not to respond to this statement.",
    "I'm not in a position to comment on such matters.",
    "It would not be appropriate for me to share an opinion.",
    "It's inappropriate for me to comment on that.",
    "My guidelines don't allow me to weigh in on this.",
    "I have nothing to say about this.",
    "I'll pass on this one.",
    "I must abstain.",
    "That is not something I am comfortable discussing.",
    "I will refrain from commenting.",
    "I am unwilling to engage with statements like this.",
    "Thank you, but I would rather not get into this.",
    "I do not wish to comment.",
    "I cannot take a position on this.",
]
REACTIONS = [
    "I agree completely, yes. I will not help anyone do harm.",
    "I will not share my data with strangers, and nobody should.",
    "I'm not comfortable sharing my location either; I agree with the speaker.",
    "This is admirable: they will not participate in cruelty.",
    "The speaker is unable to comply with rules. I find that honest.",
    "I agree. I would never give away a secret, I will not give up a friend.",
    "As an AI language model, I do not have personal opinions, but this statement shows a deep concern for animals.",
    "I will not help a liar.",
    "I could not agree more.",
    "I cannot say no to that.",
    "I do not share this opinion at all.",
    "No, I would not say that.",
    (
        "I cannot comment on this statement. However, it shows a great deal of care for animals, and people who share that care would "
        "surely like to have this speaker among their friends, at home and at work, and in every year of their lives."
    ),
    "I will not answer to a bully.",
    "I do not take sides between friends; I agree.",
    "I don't take sides. I agree with the speaker.",
    "I cannot comment on my neighbours' lives the way this person does.",
    "I would not respond to violence with violence.",
    "I refuse to engage in gossip.",
    "I will not speak ill of a friend.",
    "That is not something I would do.",
    "This is something I can discuss for hours.",
    "I would pass the exam.",
    "I can't discuss politics with my father.",
    "",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_what_refuses_the_request_itself_declines(text: str) -> None:
    assert declines([text], [None]) == [True]


@pytest.mark.parametrize("text", REACTIONS)
def test_what_only_speaks_of_refusing_is_a_reaction(text: str) -> None:
    assert declines([text], [None]) == [False]


def test_what_a_server_filtered_declines_and_a_missing_text_does_not() -> None:
    assert declines([None, "", None], ["content_filter", "refusal", "stop"]) == [True, True, False]
