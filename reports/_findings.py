"""What stands out, as sentences with intervals: the Overview, the HTML report and the short text all say the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from reports import _queries as q
from reports._texts import interval, percent, plain, points, small

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from reports._warehouse import Warehouse


@dataclass(frozen=True)
class Finding:
    """One thing that a reader should know: what, how sure, and where to see it."""

    title: str
    detail: str
    page: str
    link: Mapping[str, Any] = field(default_factory=dict)


def findings(warehouse: Warehouse, llms: Sequence[str], clustering: str, names: Mapping[int, str], top: int = 4) -> list[Finding]:
    """The largest differences between language models, between prompts, and how far language models can be told apart.

    Only what has a q-value at or below 0.05 is called a difference.
    """
    found: list[Finding] = []
    if warehouse.has("llm_distances"):
        found += [_distance(row) for row in warehouse.frame(q.distances(llms)).head(2).iter_rows(named=True)]
    if warehouse.has("llm_differences"):
        found += _cluster_differences(warehouse, llms, clustering, names, top)
    if warehouse.has("approval_agreement", "approval_rates"):
        found += _prompt_differences(warehouse, llms, top)
    return found


def _distance(row: Mapping[str, Any]) -> Finding:
    a, b = plain(row["llm_a"], 40), plain(row["llm_b"], 40)
    apart = row["p_value"] is not None and row["p_value"] <= 0.05
    auc = f"{row['separability']:.2f}" + (f" ({row['ci_low']:.2f} to {row['ci_high']:.2f})" if row["ci_low"] is not None else "")
    return Finding(
        f"{a} and {b} can be told apart" if apart else f"{a} and {b} cannot be told apart",
        f"Cross-validated AUC {auc} of guessing who wrote a response (0.5 is chance), permutation p {small(row['p_value'])}.",
        "compare",
        {"a": row["llm_a"], "b": row["llm_b"]},
    )


def _cluster_differences(
    warehouse: Warehouse, llms: Sequence[str], clustering: str, names: Mapping[int, str], top: int
) -> list[Finding]:
    import polars as pl

    frames = [
        frame.with_columns(a=pl.lit(a), b=pl.lit(b))
        for a, b in combinations(llms, 2)
        if not (frame := warehouse.frame(q.differences(clustering, a, b))).is_empty()
    ]
    if not frames:
        return []
    every = pl.concat(frames)
    sure = every.filter(pl.col("q_value") <= 0.05).sort(pl.col("difference").abs(), descending=True)
    if sure.is_empty():
        largest = every.sort(pl.col("difference").abs(), descending=True).row(0, named=True)
        text = f"The largest is {points(largest['difference'], 1)} (q {small(largest['q_value'])}): see all of them on Compare."
        return [Finding("No cluster tells two language models apart at q 0.05", text, "compare", {})]
    return [_cluster_difference(row, names) for row in sure.head(top).iter_rows(named=True)]


def _cluster_difference(row: Mapping[str, Any], names: Mapping[int, str]) -> Finding:
    a, b, low, high = row["a"], row["b"], row["ci_low"], row["ci_high"]
    more, less, first, second = (a, b, "share_a", "share_b") if row["difference"] > 0 else (b, a, "share_b", "share_a")
    low, high = (low, high) if row["difference"] > 0 else (-high, -low)
    name = plain(names.get(row["cluster_id"], f"cluster {row['cluster_id']}"), 60)
    return Finding(
        f"{plain(more, 40)} says more than {plain(less, 40)} of: {name}",
        f"{percent(row[first], 1)} against {percent(row[second], 1)} of responses: {points(abs(row['difference']), 1)} "
        f"({100 * low:+.1f} to {100 * high:+.1f}), q {small(row['q_value'])}, n = {row['n']:,} statements.",
        "compare",
        {"a": a, "b": b, "cluster": row["cluster_id"]},
    )


def _prompt_differences(warehouse: Warehouse, llms: Sequence[str], top: int) -> list[Finding]:
    import polars as pl

    found = []
    for prompt_type in prompt_types(warehouse):
        cells = {(r["llm_id"], r["prompt_name"]): r for r in warehouse.frame(q.rates(prompt_type, llms)).iter_rows(named=True)}
        pairs = warehouse.frame(q.agreement(prompt_type, llms)).filter(
            (pl.col("llm_a") == pl.col("llm_b")) & (pl.col("q_value") <= 0.05)
        )
        shift = ((pl.col("only_a") - pl.col("only_b")) / pl.col("n")).abs()
        for row in pairs.sort(shift, descending=True).head(max(top // 2, 1)).iter_rows(named=True):
            a, b = cells.get((row["llm_a"], row["prompt_a"])), cells.get((row["llm_b"], row["prompt_b"]))
            if a and b and a["rate"] is not None and b["rate"] is not None:
                high, low = (a, b) if a["rate"] >= b["rate"] else (b, a)
                found.append(_prompt_difference(row, high, low, prompt_type))
    return found


def _prompt_difference(row: Mapping[str, Any], high: Mapping[str, Any], low: Mapping[str, Any], prompt_type: str) -> Finding:
    return Finding(
        f"{plain(row['llm_a'], 40)} approves more as “{plain(high['prompt_name'], 40)}” than as "
        f"“{plain(low['prompt_name'], 40)}”",
        f"{interval(high['rate'], high['ci_low'], high['ci_high'])} against "
        f"{interval(low['rate'], low['ci_low'], low['ci_high'])} of answered "
        f"statements; {row['only_a'] + row['only_b']:,} of {row['n']:,} decisions flip, q {small(row['q_value'])}.",
        "approvals",
        {"prompts": prompt_type},
    )


def prompt_types(warehouse: Warehouse) -> list[str]:
    """The prompt types that have approvals (personas, awareness)."""
    table = next((t for t in ("approval_rates", "approvals", "approval_prompts") if warehouse.has(t)), None)
    if table is None:
        return []
    types = warehouse.frame(f"select distinct prompt_type\nfrom {table}\norder by prompt_type desc")["prompt_type"].to_list()
    return [str(t) for t in types]


def llm_ids(warehouse: Warehouse) -> list[str]:
    """The language models, in the order in which they were declared."""
    for table in ("llms", "responses", "approvals"):
        if warehouse.has(table):
            order = "min(rowid)" if table == "llms" else "llm_id"
            return [str(v) for v in warehouse.frame(f"select llm_id\nfrom {table}\ngroup by llm_id\norder by {order}")["llm_id"]]
    return []


def values(warehouse: Warehouse, column: str, tables: Sequence[str]) -> list[str]:
    """The distinct values of a column in the first of these tables that is there (clusterings, embedders)."""
    for table in tables:
        if warehouse.column(table, column):
            frame: pl.DataFrame = warehouse.frame(
                f"select distinct {column}\nfrom {table}\nwhere {column} is not null\norder by {column}"
            )
            if not frame.is_empty():
                return [str(v) for v in frame[column]]
    return []
