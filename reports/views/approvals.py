"""Approvals: who approves what, under which prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from reports import _page as page
from reports import _queries as q
from reports import charts
from reports._findings import prompt_types
from reports._texts import markdown, percent, plain
from reports._tree import with_wilson

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from reports._scope import Scope

TITLE = "Approvals"
QUESTION = "Who approves what, under which prompt? Rates count those that answered; no answer is shown beside them."
ICON = ":material/thumbs_up_down:"
ORDER = 4

FEW, SILENT, LEVEL = 30, 0.2, 0.05
DECISIONS = ["approved", "disapproved", "refused", "unparsable", "error"]


def render(scope: Scope) -> None:
    """The page."""
    if not page.needs(scope, "approvals", "statements"):
        return
    types = prompt_types(scope.warehouse)
    if not types:
        page.empty("No approval has been asked for yet.", "bclust build --select approval_rates")
        return
    one, two, three = st.columns([2, 2, 3], vertical_alignment="bottom")
    with one:
        prompt_type = st.segmented_control(
            "Prompts", types, key="prompts", bind="query-params", default=types[0], required=True, format_func=markdown
        )
    with two:
        wording = st.segmented_control(
            "Asked as",
            ["approve", "object"],
            key="wording",
            bind="query-params",
            default="approve",
            required=True,
            format_func=lambda w: {"approve": "approve?", "object": "object?"}[w],
            help="The same question both ways: approved means that the language model approves, or does not object.",
        )
    with three:
        cluster = (
            page.cluster_choice(scope, "statement", "statement_cluster") if scope.warehouse.has("statement_clusters") else None
        )
    counts, counts_sql = counted(scope, prompt_type, wording, cluster)
    if counts.is_empty():
        page.empty(f"There are no {prompt_type} approvals with these choices.")
        return
    _warnings(counts)
    st.subheader("Decisions", anchor=False)
    page.chart(
        scope,
        charts.diverging_bars(counts, scope.llms, scope.style),
        "decisions",
        counts_sql,
        data=counts,
        alt="Share approved, without an answer, and disapproved, for each prompt and language model",
    )
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Rates with intervals", anchor=False)
        page.chart(
            scope,
            charts.rate_dots(counts, scope.llms, scope.colours, scope.style),
            "rates",
            counts_sql,
            data=counts,
            alt="Approval rate of those that answered, with 95 % intervals",
        )
    with right:
        st.subheader("Rates side by side", anchor=False)
        page.chart(
            scope,
            charts.rate_heatmap(counts, scope.llms, scope.style),
            "heatmap",
            counts_sql,
            data=counts,
            alt="Approval rate of each language model under each prompt, with denominators",
        )
    if cluster is None and wording == "approve":
        _pairs(scope, prompt_type)
        _behavior_pairs(scope, prompt_type)
        _bias(scope, prompt_type)
        _behaviors(scope, prompt_type)
    _pivot(scope, prompt_type, wording, cluster)


def counted(scope: Scope, prompt_type: str, wording: str, cluster: int | None) -> tuple[pl.DataFrame, str]:
    """Counts, rates and intervals: those of ``approval_rates``, or counted anew in one cluster or for the other wording."""
    if cluster is None and wording == "approve" and scope.warehouse.has("approval_rates"):
        sql = q.rates(prompt_type, scope.llms)
        return scope.frame(sql), sql
    import polars as pl

    sql = q.counts(prompt_type, scope.llms, wording=wording, clustering=scope.clustering, cluster_id=cluster)
    frame = scope.frame(sql)
    rated = with_wilson(frame.with_columns(k=pl.col("approved"), asked=pl.col("n"), n=pl.col("approved") + pl.col("disapproved")))
    return rated.with_columns(n=pl.col("asked")).drop("k", "asked"), sql


def _warnings(counts: pl.DataFrame) -> None:
    """Cells that say little: few answers, or many that did not answer."""
    import polars as pl

    answered = pl.col("approved") + pl.col("disapproved")
    few = counts.filter(answered < FEW)
    silent = counts.filter((pl.col("n") - answered) / pl.col("n") > SILENT).sort(
        (pl.col("n") - answered) / pl.col("n"), descending=True
    )
    if few.is_empty() and silent.is_empty():
        return
    with st.container(horizontal=True, gap="small"):
        for row in few.head(4).iter_rows(named=True):
            page.badge(f"{row['llm_id']} · {row['prompt_name']}: only {row['approved'] + row['disapproved']} answered", "warn")
        for row in silent.head(4).iter_rows(named=True):
            share = 1 - (row["approved"] + row["disapproved"]) / row["n"]
            page.badge(f"{row['llm_id']} · {row['prompt_name']}: {percent(share)} without an answer", "warn")
        hidden = max(len(few) - 4, 0) + max(len(silent) - 4, 0)
        if hidden:
            page.badge(f"and {hidden} more", "warn")


def _pairs(scope: Scope, prompt_type: str) -> None:
    """Flips against a baseline prompt, and agreement of every two cells."""
    import polars as pl

    if not page.needs(scope, "approval_agreement"):
        return
    sql = q.agreement(prompt_type, scope.llms)
    pairs = scope.frame(sql)
    if pairs.is_empty():
        return
    same = pairs.filter((pl.col("llm_a") == pl.col("llm_b")) & (pl.col("prompt_a") != pl.col("prompt_b")))
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Flips against a baseline", anchor=False)
        prompts = sorted({*same["prompt_a"].to_list(), *same["prompt_b"].to_list()})
        if not prompts:
            page.empty("One prompt has nothing to be compared with.")
        else:
            baseline = st.selectbox("Baseline prompt", prompts, key="baseline", bind="query-params")
            flips = flipped(same, baseline)
            page.chart(
                scope,
                charts.flips(flips, baseline, scope.style),
                "flips",
                sql,
                data=flips,
                alt="Statements whose decision flips when a prompt replaces the baseline",
            )
    with right:
        st.subheader("Agreement", anchor=False)
        modes = ["language models", "prompts"]
        mode = st.segmented_control("Between", modes, key="between", bind="query-params", default=modes[0], required=True)
        if mode == modes[0]:
            chosen = pairs.filter(pl.col("prompt_a") == pl.col("prompt_b")).with_columns(
                pair=pl.format("{} and {}", "llm_a", "llm_b"), column="prompt_a"
            )
        else:
            chosen = same.with_columns(pair=pl.format("{} and {}", "prompt_a", "prompt_b"), column="llm_a")
        if chosen.is_empty():
            page.empty("There is only one of them: nothing to compare.")
        else:
            page.chart(
                scope, charts.agreement_heatmap(chosen, scope.style), "agreement", sql, data=pairs, alt="Kappa of every two cells"
            )


def flipped(same: pl.DataFrame, baseline: str) -> pl.DataFrame:
    """Pairs of prompts of one language model, turned so that the baseline comes first."""
    import polars as pl

    straight = same.filter(pl.col("prompt_a") == baseline).select(
        "llm_a", "n", "q_value", prompt_name="prompt_b", to_disapproved="only_a", to_approved="only_b"
    )
    turned = same.filter(pl.col("prompt_b") == baseline).select(
        "llm_a", "n", "q_value", prompt_name="prompt_a", to_disapproved="only_b", to_approved="only_a"
    )
    return pl.concat([straight, turned], how="diagonal").rename({"llm_a": "llm_id"}).sort("prompt_name", "llm_id")


def _behavior_pairs(scope: Scope, prompt_type: str) -> None:
    """In which behaviors two cells part: the pairs with the most differences first."""
    import polars as pl

    if not scope.warehouse.has("approval_differences"):
        return
    sql = q.behavior_differences(prompt_type, scope.llms)
    frame = scope.frame(sql)
    if frame.is_empty():
        return
    st.subheader("Behaviors that part", anchor=False)
    keys = ["llm_a", "prompt_a", "llm_b", "prompt_b"]
    sure = (pl.col("q_value") <= LEVEL).sum()
    pairs = (
        frame.group_by(keys, maintain_order=True)
        .agg(sure=sure)
        .sort("sure", "llm_a", "prompt_a", descending=[True, False, False])
    )
    options = {_pair_name(row): row for row in pairs.iter_rows(named=True)}
    name = st.selectbox("Pair", list(options), key="pair", bind="query-params", label_visibility="collapsed")
    row = options[name]
    part = frame.filter(pl.all_horizontal(pl.col(k) == row[k] for k in keys)).with_columns(label=pl.col("behavior"))
    same = row["llm_a"] == row["llm_b"]
    a, b = (row["prompt_a"], row["prompt_b"]) if same else (row["llm_a"], row["llm_b"])
    st.caption(
        "Share of decisions that show the behavior (approving a statement that goes with it, disapproving one against it), "
        "paired by statement; saying yes to everything makes no difference here. Grey: not sure at q 0.05."
    )
    page.chart(
        scope,
        charts.forest(part, a, b, scope.colours, LEVEL, scope.style),
        "behavior_pairs",
        sql,
        data=frame,
        alt=f"Difference of each behavior between {plain(a)} and {plain(b)}, with intervals",
    )


def _pair_name(row: Mapping[str, Any]) -> str:
    who = (
        f"{row['llm_a']}: {row['prompt_a']} and {row['prompt_b']}"
        if row["llm_a"] == row["llm_b"]
        else f"{row['llm_a']} and {row['llm_b']} as {row['prompt_a']}"
    )
    return plain(f"{who} ({row['sure']} differ)", 120)


def _bias(scope: Scope, prompt_type: str) -> None:
    """Yes-bias: agreeing with everything, apart from agreeing with this."""
    if not scope.warehouse.has("approval_rates"):
        return
    sql = q.rates(prompt_type, scope.llms)
    frame = scope.frame(sql).select("llm_id", "prompt_name", "n", "rate", "ci_low", "ci_high", "balanced_rate", "yes_bias")
    with st.expander("Yes-bias and balanced rates"):
        st.caption(
            "yes bias: how far yes is said more often than the statements' keys or the other wording allow; "
            "balanced rate: the approval rate with that taken out."
        )
        shares = {c: st.column_config.NumberColumn(page.title(c), format="percent") for c in frame.columns[3:]}
        page.table(frame, "bias", sql, alt="Yes-bias per language model and prompt", columns=shares)


def _behaviors(scope: Scope, prompt_type: str) -> None:
    """Approval of each behavior, a column per prompt and language model."""
    if not scope.warehouse.has("approval_rates_by_behavior"):
        return
    import polars as pl

    sql = q.rates_by_behavior(prompt_type, scope.llms)
    frame = scope.frame(sql).filter(pl.col("behavior").is_not_null())
    if frame.is_empty():
        return
    with st.expander("Rates by behavior"):
        cells = frame.with_columns(cell=pl.concat_str("prompt_name", "llm_id", separator=" · "))
        wide = cells.pivot("cell", index="behavior", values="rate").sort("behavior")
        shares = {c: st.column_config.NumberColumn(plain(c, 40), format="percent") for c in wide.columns[1:]}
        page.table(wide, "behaviors", sql, alt="Approval rate of each behavior", columns=shares)


def _pivot(scope: Scope, prompt_type: str, wording: str, cluster: int | None) -> None:
    """Every decision as a table, either way round."""
    st.subheader("Statement by statement", anchor=False)
    one, two, three, four = st.columns([2, 2, 2, 2], vertical_alignment="bottom")
    layouts = {"prompt_name": "a column per prompt", "llm_id": "a column per language model"}
    with one:
        page.remember("columns", list(layouts))
        across = st.selectbox("Layout", list(layouts), key="columns", format_func=layouts.__getitem__, persist_state="session")
        page.linked("columns", across, "prompt_name")
    with two:
        decision = st.selectbox("With the decision", ["any", *DECISIONS], key="decision", bind="query-params")
    with three:
        search = st.text_input("Find in statements", key="find", bind="query-params", placeholder="a word or phrase").strip()
    with four:
        only = st.toggle(
            "Disagreements only", key="disagree", bind="query-params", help="Rows where one approves and another disapproves"
        )
    sql = q.decision_pivot(
        prompt_type,
        scope.llms,
        across=across,
        wording=wording,
        clustering=scope.clustering,
        cluster_id=cluster,
        decision=None if decision == "any" else decision,
        disagreements=only,
        search=search,
        limit=20_000,
    )
    frame = scope.frame(sql)
    if frame.is_empty():
        page.empty("No statement matches: take back a filter.")
        return
    config = {"statement": st.column_config.TextColumn("statement", width="large")}
    picked = page.table(
        frame,
        "pivot",
        sql,
        alt="Decisions per statement",
        columns=config,
        select=True,
        order=[c for c in frame.columns if c != "statement_id"],
        height=380,
    )
    if picked is not None:
        row = frame.row(picked, named=True)
        with st.container(border=True):
            st.text(row["statement"])
            page.read_link(row["statement_id"])
