"""Differences between two language models, with names and intervals. Pure: frames in, frames out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import _queries as q

if TYPE_CHECKING:
    import polars as pl

    from reports._scope import Scope


def named(scope: Scope, differences: pl.DataFrame) -> pl.DataFrame:
    """Differences with the cluster's name, largest first."""
    import polars as pl

    names = scope.comparison_names()
    labels = [names.get(c, f"cluster {c}") for c in differences["cluster_id"]]
    return differences.with_columns(label=pl.Series(labels, dtype=pl.String))


def with_limits(scope: Scope, differences: pl.DataFrame, a: str, b: str) -> pl.DataFrame:
    """Add the interval of each share, where it is known."""
    import polars as pl

    empty = {f"{side}_{end}": pl.lit(None, dtype=pl.Float64) for side in "ab" for end in ("low", "high")}
    if not scope.warehouse.has("llm_cluster_shares"):
        return differences.with_columns(**empty)
    shares = scope.frame(q.shares(scope.clustering, [a, b]))
    for side, llm in (("a", a), ("b", b)):
        part = shares.filter(pl.col("llm_id") == llm).select("cluster_id", **{f"{side}_low": "ci_low", f"{side}_high": "ci_high"})
        differences = differences.join(part, on="cluster_id", how="left")
    return differences
