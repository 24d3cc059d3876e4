"""Compare: which clusters tell one language model from another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from reports import _page as page
from reports import _queries as q
from reports import charts
from reports._comparison import named, with_limits
from reports._texts import markdown, plain, points, small

if TYPE_CHECKING:
    import polars as pl

    from reports._scope import Scope

TITLE = "Compare"
QUESTION = "Which clusters of responses tell one language model from another, and how sure is it?"
ICON = ":material/compare_arrows:"
ORDER = 3

SHOWN = 15
LEVELS = [0.01, 0.05, 0.1, 0.2]


def render(scope: Scope) -> None:
    """The page."""
    if len(scope.all_llms) < 2:
        page.empty("There is one language model: nothing to compare. Add another to the seed llms in bclust.yml.", "bclust build")
        return
    one, two, three = st.columns([2, 2, 2], vertical_alignment="bottom")
    with one:
        a = st.selectbox("A", scope.all_llms, key="a", bind="query-params")
    with two:
        b = st.selectbox("B", scope.all_llms, index=1, key="b", bind="query-params")
    with three:
        fdr = st.select_slider("False discovery rate", LEVELS, value=0.05, key="fdr", bind="query-params")
    if a == b:
        page.empty("A and B are the same language model: choose two.")
        return
    if not page.needs(scope, "llm_differences"):
        return
    sql = q.differences(scope.clustering, a, b)
    differences = named(scope, scope.frame(sql))
    if differences.is_empty():
        page.empty(
            f"{a} and {b} were not compared under the clustering {scope.clustering}.", "bclust build --select llm_differences"
        )
        return
    _summary(scope, differences, a, b, fdr)
    cluster = _choose(differences)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Effect against evidence", anchor=False)
        page.chart(
            scope,
            charts.volcano(differences, a, b, scope.colours, fdr, scope.style),
            "volcano",
            sql,
            data=differences,
            select=("points",),
            alt=f"Difference in share of each cluster between {plain(a)} and {plain(b)}, against its q-value",
        )
    with right:
        st.subheader("Largest differences", anchor=False)
        top = with_limits(scope, differences.head(SHOWN), a, b)
        shares_sql = [sql, q.shares(scope.clustering, [a, b])] if scope.warehouse.has("llm_cluster_shares") else sql
        page.chart(
            scope,
            charts.dumbbell(top, a, b, scope.colours, scope.style),
            "dumbbell",
            shares_sql,
            data=top,
            select=("points",),
            alt=f"Share of each cluster in {plain(a)} and {plain(b)} with intervals",
        )
    st.caption(
        "Each cluster is tested on statements that did not define it: both language models answered the same statements, "
        "exact McNemar (mid-p), "
        "Benjamini-Hochberg over all clusters and pairs. What a cluster is called is a summary; read its texts below."
    )
    _table(differences, sql)
    if cluster is not None:
        _examples(scope, differences, cluster, a, b)


def _summary(scope: Scope, differences: pl.DataFrame, a: str, b: str, fdr: float) -> None:
    """How many clusters differ, and whether responses can be told apart at all."""
    import polars as pl

    sure = differences.filter(pl.col("q_value") <= fdr)
    columns = st.columns(3)
    columns[0].metric("clusters that differ", f"{len(sure)} of {len(differences)}", border=True, help=f"q-value at most {fdr:g}")
    largest = (sure if len(sure) else differences).row(0, named=True)
    columns[1].metric("largest difference", points(largest["difference"], 1), border=True, help=markdown(largest["label"], 200))
    if scope.warehouse.has("llm_distances"):
        pair = scope.frame(q.distances([a, b]))
        if not pair.is_empty():
            row = pair.row(0, named=True)
            columns[2].metric(
                "separability (AUC)",
                f"{row['separability']:.2f}",
                border=True,
                help=f"{row['ci_low']:.2f} to {row['ci_high']:.2f} (95 %), permutation p {small(row['p_value'])}; 0.5 is chance."
                if row["ci_low"] is not None
                else "0.5 is chance.",
            )
    if sure.is_empty():
        page.empty(
            f"No cluster differs at a false discovery rate of {fdr:g}. The largest is {points(largest['difference'], 1)} "
            f"({100 * largest['ci_low']:+.1f} to {100 * largest['ci_high']:+.1f}), q {small(largest['q_value'])}: "
            f"{plain(largest['label'], 80)}."
        )


def _choose(differences: pl.DataFrame) -> int | None:
    """The cluster to read: from a click, the table or the link."""
    known = differences["cluster_id"].to_list()
    for key in ("volcano", "dumbbell"):
        click = page.new_click(key)
        value = click.get("customdata") if click else None
        value = value[0] if isinstance(value, list) and value else value
        if value in known:
            st.session_state["cluster"] = value
    labels = dict(differences.select("cluster_id", "label").iter_rows())
    return page.one_cluster(labels, "cluster", "Read a cluster (or click a point)", "none")


def _table(differences: pl.DataFrame, sql: str) -> None:
    with st.expander(f"All {len(differences)} clusters"):
        shares = {
            c: st.column_config.NumberColumn(page.title(c), format="percent")
            for c in ("share_a", "share_b", "difference", "ci_low", "ci_high")
        }
        order = [
            "cluster_id",
            "label",
            "n",
            "share_a",
            "share_b",
            "difference",
            "ci_low",
            "ci_high",
            "p_value",
            "q_value",
            "significant",
        ]
        page.table(differences, "differences", sql, alt="All clusters with their differences", columns=shares, order=order)


def _examples(scope: Scope, differences: pl.DataFrame, cluster: int, a: str, b: str) -> None:
    """Both responses to the statements of a cluster, side by side."""
    if not page.needs(scope, "responses", "statements", "response_clusters"):
        return
    sql = q.pair_examples(scope.warehouse, scope.clustering, cluster, a, b)
    frame = scope.frame(sql)
    name = next((r["label"] for r in differences.iter_rows(named=True) if r["cluster_id"] == cluster), f"cluster {cluster}")
    st.subheader(f"Side by side: {markdown(name, 70)}", anchor=False)
    if frame.is_empty():
        page.empty("No statement with a response of both lies in this cluster.")
        return
    config: dict[str, Any] = {
        "statement": st.column_config.TextColumn("statement", width="medium"),
        "response_a": st.column_config.TextColumn(plain(a, 30), width="large"),
        "response_b": st.column_config.TextColumn(plain(b, 30), width="large"),
        "in_a": st.column_config.CheckboxColumn(f"in it: {plain(a, 20)}"),
        "in_b": st.column_config.CheckboxColumn(f"in it: {plain(b, 20)}"),
    }
    picked = page.table(
        frame,
        "examples",
        sql,
        alt="Statements of the cluster with both responses",
        columns=config,
        select=True,
        height=300,
        order=["statement", "response_a", "response_b", "in_a", "in_b", "behavior"],
    )
    row = frame.row(picked or 0, named=True)
    with st.container(border=True):
        page.text(row["statement"], strong=True)
        left, right = st.columns(2, gap="medium")
        for column, llm, mine, other in ((left, a, "response_a", "response_b"), (right, b, "response_b", "response_a")):
            with column:
                page.llm_title(scope, llm)
                page.text(row[mine], against=row[other])
        page.read_link(row["statement_id"])
