"""What tokens cost: the row's own prices first, then the published price lists that ship with genai-prices (no network)."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any, TypeGuard

from udfs._settings import checked_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bclust.functions import Answer

_TOO_MANY = 2**63

Prices = tuple[float, float]  # US dollars per million tokens in, and out


def prices(what: str, row: Mapping[str, Any], *, free: bool, sold_as: tuple[str, str] | None = None) -> Prices | None:
    """The prices of the language model or embedder that a row describes; None where they are not known: never a guess.

    ``sold_as``: vendor and model in the published lists, where they are not the provider and the model of the row.
    """
    own_in = checked_number(what, "usd_per_mtok_in", row.get("usd_per_mtok_in"))
    own_out = checked_number(what, "usd_per_mtok_out", row.get("usd_per_mtok_out"))
    if own_in is not None or own_out is not None:
        return own_in or 0.0, own_out or 0.0
    if free:
        return 0.0, 0.0
    seller, model = sold_as or (str(row["provider"]), str(row.get("model")))
    return _published(seller, model, row.get("base_url"))


@functools.cache
def _published(provider: str, model: str, base_url: str | None) -> Prices | None:
    from genai_prices import Usage, calc_price

    seller: dict[str, Any] = {"provider_api_url": base_url} if base_url else {"provider_id": provider}
    try:
        # a small request: the rates of very long inputs differ for some
        cost_in = calc_price(Usage(input_tokens=1000, output_tokens=0), model, **seller).total_price
        cost_out = calc_price(Usage(input_tokens=0, output_tokens=1000), model, **seller).total_price
    except (LookupError, ValueError):
        return None
    return float(cost_in) * 1000, float(cost_out) * 1000


def price(rates: Prices | None, input_tokens: int | None, output_tokens: int | None) -> float | None:
    """US dollars for so many tokens; None where the price or the tokens are unknown, or cannot be."""
    if rates is None:
        return None
    if rates == (0.0, 0.0):
        return 0.0
    if not _is_count(input_tokens) or not _is_count(output_tokens):
        return None
    return (input_tokens * rates[0] + output_tokens * rates[1]) / 1e6


def set_prices(answer: Answer, rates: Prices | None, most_input: Callable[[], int]) -> None:
    """Lay the price of its tokens to an answer that has none, and that of its thoughts, which is part of it.

    A server that refused a prompt counts no tokens and may charge it all the same (Azure does): it is counted as if it had, with
    ``most_input()`` tokens.
    """
    if answer.cost_usd is None:
        uncounted = answer.input_tokens is None and answer.output_tokens is None
        if uncounted and answer.finish_reason == "content_filter":
            answer.cost_usd = price(rates, most_input(), 0)
        else:
            answer.cost_usd = price(rates, answer.input_tokens, answer.output_tokens)
    if answer.detail and '"reasoning_tokens"' in answer.detail:
        with contextlib.suppress(ValueError, TypeError, LookupError):  # a recorded answer's detail may be anything
            detail = json.loads(answer.detail)
            answer.detail = json.dumps(
                detail | {"reasoning_usd": price(rates, 0, detail["reasoning_tokens"])}, ensure_ascii=False
            )


def _is_count(tokens: Any) -> TypeGuard[int]:
    """What a server calls a number of tokens need not be one."""
    return isinstance(tokens, int | float) and not isinstance(tokens, bool) and 0 <= tokens < _TOO_MANY
