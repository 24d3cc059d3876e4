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


LEVEL = 0.05


@dataclass(frozen=True)
class Finding:
    """One thing that a reader should know: what, how sure, and where to see it."""

    title: str
    detail: str
    page: str
    link: Mapping[str, Any] = field(default_factory=dict)
    sure: bool = True


def findings(warehouse: Warehouse, llms: Sequence[str], clustering: str, names: Mapping[int, str], top: int = 4) -> list[Finding]:
    """How far language models can be told apart, and the largest differences between them and between prompts.

    Only what has a q-value at or below 0.05 is called a difference; where nothing has, that is said, with the largest.
    """
    found: list[Finding] = []
    if warehouse.has("llm_distances"):
        found += _distances(warehouse, llms)
    if warehouse.has("llm_differences"):
        found += _cluster_differences(warehouse, llms, clustering, names, top)
    types = prompt_types(warehouse)
    behaviors = _behavior_differences(warehouse, llms, types) if warehouse.has("approval_differences") else []
    overall: list[Finding] = []
    if warehouse.has("approval_agreement", "approval_rates"):
        overall = [finding for prompt_type in types for finding in _approval_differences(warehouse, llms, prompt_type)]
    # that nothing differs overall is worth a line only where no behavior differs either
    found += [*behaviors, *(finding for finding in overall if finding.sure or not behaviors)]
    return found


def _distances(warehouse: Warehouse, llms: Sequence[str]) -> list[Finding]:
    """The pair that is easiest to tell apart, and the one that is hardest."""
    rows = warehouse.frame(q.distances(llms)).to_dicts()
    return [_distance(row) for row in ([rows[0], rows[-1]] if len(rows) > 1 else rows)]


def _distance(row: Mapping[str, Any]) -> Finding:
    a, b = plain(row["llm_a"], 40), plain(row["llm_b"], 40)
    apart = row["p_value"] is not None and row["p_value"] <= LEVEL
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
    every = pl.concat(frames).sort(pl.col("difference").abs(), descending=True)
    sure = every.filter(pl.col("q_value") <= LEVEL)
    if sure.is_empty():
        largest = every.row(0, named=True)
        text = f"The largest difference is {points(largest['difference'], 1)} (q {small(largest['q_value'])})."
        return [Finding(f"No cluster tells two language models apart at q {LEVEL}", text, "compare")]
    # every pair has its largest first, so that a small difference of a close pair is not crowded out
    place = pl.int_range(pl.len()).over("a", "b")
    chosen = sure.sort(place, pl.col("difference").abs(), descending=[False, True], maintain_order=True).head(top)
    return [_cluster_difference(row, names) for row in chosen.iter_rows(named=True)]


def _cluster_difference(row: Mapping[str, Any], names: Mapping[int, str]) -> Finding:
    a, b, low, high = row["a"], row["b"], row["ci_low"], row["ci_high"]
    more, less, first, second = (a, b, "share_a", "share_b") if row["difference"] > 0 else (b, a, "share_b", "share_a")
    low, high = (low, high) if row["difference"] > 0 else (-high, -low)
    name = plain(names.get(row["cluster_id"], f"cluster {row['cluster_id']}"), 60)
    return Finding(
        f"More from {plain(more, 40)} than from {plain(less, 40)}: {name}",
        f"{percent(row[first], 1)} against {percent(row[second], 1)} of responses: {points(abs(row['difference']), 1)} "
        f"({100 * low:+.1f} to {100 * high:+.1f}), q {small(row['q_value'])}, n = {row['n']:,} statements.",
        "compare",
        {"a": a, "b": b, "cluster": row["cluster_id"]},
    )


def _approval_differences(warehouse: Warehouse, llms: Sequence[str], prompt_type: str) -> list[Finding]:
    """The largest shift of approvals by a prompt, and between two language models under one prompt."""
    import polars as pl

    cells = {(r["llm_id"], r["prompt_name"]): r for r in warehouse.frame(q.rates(prompt_type, llms)).iter_rows(named=True)}
    shift = ((pl.col("only_a") - pl.col("only_b")) / pl.col("n")).abs()
    pairs = warehouse.frame(q.agreement(prompt_type, llms)).filter(pl.col("n") > 0).with_columns(shift=shift)
    found = []
    for same, what in (
        (pl.col("llm_a") == pl.col("llm_b"), "prompt"),
        (pl.col("prompt_a") == pl.col("prompt_b"), "language model"),
    ):
        part = pairs.filter(same).sort("shift", descending=True)
        sure = part.filter(pl.col("q_value") <= LEVEL)
        if not part.is_empty():
            found.append(
                _approval_difference(
                    (part if sure.is_empty() else sure).row(0, named=True), cells, prompt_type, what, bool(len(sure))
                )
            )
    return [finding for finding in found if finding is not None]


def _approval_difference(
    row: Mapping[str, Any], cells: Mapping[tuple[str, str], Mapping[str, Any]], prompt_type: str, what: str, sure: bool
) -> Finding | None:
    a, b = cells.get((row["llm_a"], row["prompt_a"])), cells.get((row["llm_b"], row["prompt_b"]))
    if a is None or b is None or a["rate"] is None or b["rate"] is None:
        return None
    high, low = (a, b) if a["rate"] >= b["rate"] else (b, a)
    first, second = (interval(cell["rate"], cell["ci_low"], cell["ci_high"]) for cell in (high, low))
    numbers = (
        f"{first} against {second} of answered statements; {row['only_a'] + row['only_b']:,} of {row['n']:,} decisions differ, "
        f"q {small(row['q_value'])}."
    )
    who, prompt = plain(high["llm_id"], 40), plain(high["prompt_name"], 40)
    title = f"{who} approves more as “{prompt}” than as “{plain(low['prompt_name'], 40)}”"
    if what == "language model":
        title = f"{who} approves more than {plain(low['llm_id'], 40)} as “{prompt}”"
    if not sure:
        numbers = f"The largest shift: {title}, {numbers}"
        title = f"Approvals do not differ by {what} at q {LEVEL} ({prompt_type})"
    return Finding(title, numbers, "approvals", {"prompts": prompt_type}, sure)


def _behavior_differences(warehouse: Warehouse, llms: Sequence[str], types: Sequence[str]) -> list[Finding]:
    """The behavior in which each two language models part most, and that which a prompt of each type moves most."""
    import polars as pl

    frames = [warehouse.frame(q.behavior_differences(t, llms)).with_columns(prompt_type=pl.lit(t)) for t in types]
    if not frames:
        return []
    sure = (
        pl.concat(frames)
        .filter(pl.col("q_value") <= LEVEL)
        .sort(pl.col("difference").abs(), descending=True, maintain_order=True)
    )
    between = sure.filter(pl.col("llm_a") != pl.col("llm_b")).unique(["llm_a", "llm_b"], keep="first", maintain_order=True)
    moved = sure.filter(pl.col("llm_a") == pl.col("llm_b")).unique("prompt_type", keep="first", maintain_order=True)
    return [_behavior_difference(row) for row in pl.concat([between.head(4), moved]).iter_rows(named=True)]


def _behavior_difference(row: Mapping[str, Any]) -> Finding:
    a, b = (plain(row[c], 40) for c in ("llm_a", "llm_b"))
    first, second = (f"“{plain(row[c], 40)}”" for c in ("prompt_a", "prompt_b"))
    more = row["difference"] > 0
    low, high = (row["ci_low"], row["ci_high"]) if more else (-row["ci_high"], -row["ci_low"])
    rates = [percent(row["rate_a"]), percent(row["rate_b"])]
    if a != b:
        who = f"{a if more else b} shows more of {plain(row['behavior'], 60)} than {b if more else a}, as {first}"
    else:
        who = f"{a} shows more of {plain(row['behavior'], 60)} as {first if more else second} than as {second if more else first}"
    rates = rates if more else rates[::-1]
    numbers = f"{points(abs(row['difference']))} ({100 * low:+.0f} to {100 * high:+.0f}), q {small(row['q_value'])}"
    detail = f"{rates[0]} against {rates[1]} of decisions: {numbers}, n = {row['n']:,} statements."
    return Finding(who, detail, "approvals", {"prompts": row["prompt_type"]})


def prompt_types(warehouse: Warehouse) -> list[str]:
    """The prompt types that have approvals (personas, awareness)."""
    table = next((t for t in ("approval_rates", "approvals", "approval_prompts") if warehouse.has(t)), None)
    if table is None:
        return []
    types = warehouse.frame(f"select distinct prompt_type\nfrom {table}\norder by prompt_type desc")["prompt_type"].to_list()
    return [str(t) for t in types]


def llm_ids(warehouse: Warehouse) -> list[str]:
    """The language models under study, in the order in which they were declared."""
    return [str(llm) for llm in warehouse.frame(q.subjects(warehouse))["llm_id"]]


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
