"""p_approve: how likely a language model was to say yes, from the probabilities of its first token."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from bclust.functions import scalar

# Marks of word beginnings in vocabularies, and what people and language models put around a one-word answer.
AROUND = " \t\r\n▁Ġ*_\"'`.,:;!()[]<>“”‘’"


@scalar("(detail VARCHAR) -> DOUBLE", nulls=True)
def p_approve(detail: Sequence[str | None]) -> list[float | None]:
    """The mass of 'yes' among 'yes' and 'no', over all spellings in ``{"top_logprobs": [{"token", "logprob"}, ...]}``.

    NULL where neither is among the tokens given, or no log-probabilities are.
    """
    return [None if text is None else _yes_share(text) for text in detail]


def _yes_share(text: str) -> float | None:
    try:
        tokens = json.loads(text).get("top_logprobs") or []
        pairs = [(str(t["token"]).strip(AROUND).casefold(), math.exp(min(float(t["logprob"]), 0.0))) for t in tokens]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # a provider's own detail, without log-probabilities in our form
    yes = sum(p for word, p in pairs if word == "yes")
    no = sum(p for word, p in pairs if word == "no")
    return yes / (yes + no) if yes + no > 0 else None
