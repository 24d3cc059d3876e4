"""fit_embedder: what a fitted embedder learns from texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bclust.errors import FunctionError, did_you_mean
from bclust.functions import Context, column, member
from udfs._parameters import check_parameters
from udfs.embedders import is_fitted


@column(
    "(texts VARCHAR[], embedder VARCHAR, random_state INTEGER := 42) -> STRUCT(fitted FITTED, n INTEGER, dims INTEGER)",
    reads=["embedders"],
    uses=["embedders"],
)
def fit_embedder(texts: Sequence[str | None], embedder: str, random_state: int, *, context: Context) -> dict[str, Any]:
    """Fit an embedder that depends on all texts (such as ``lexical``) on a sample of them; NULL for embedders that need no fit.

    ``n`` counts the texts, ``dims`` is the length of the vectors that ``transform_text`` will give.

    Raises:
        FunctionError: no such embedder, a setting it does not know, or texts it can learn nothing from.
    """
    row = embedder_row(embedder, context)
    known = [text for text in texts if text is not None]
    if not is_fitted(row["provider"]):
        return {"fitted": None, "n": len(known), "dims": None}
    module = member("embedders", row["provider"])
    settings = {k: v for k, v in row.items() if k not in ("embedder", "provider", "model") and v is not None}
    check_parameters(settings, module.fit, f"embedder {embedder} ({row['provider']})")
    if not known:
        raise FunctionError(f"embedder {embedder}: there is no text to fit on", hint="is the table that gives the texts empty?")
    fitted = module.fit(known, random_state=random_state, **settings)
    return {"fitted": fitted, "n": len(known), "dims": module.transform(known[:1], fitted).shape[1]}


def embedder_row(embedder: str, context: Context) -> Mapping[str, Any]:
    """The row of the seed ``embedders`` with this name."""
    rows = {row["embedder"]: row for row in context.rows("embedders")}
    if embedder not in rows:
        raise FunctionError(f"no embedder {embedder} in the seed embedders", hint=did_you_mean(embedder, rows))
    if not rows[embedder].get("provider"):
        raise FunctionError(f"embedder {embedder} has no provider", hint="add provider: lexical (or another) to its row")
    return rows[embedder]
