"""Runs and quality: what it cost, what failed, what drifted; and SQL over everything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from bclust.errors import BclustError
from reports import _page as page
from reports import _queries as q
from reports import charts
from reports._texts import dollars, markdown, percent

if TYPE_CHECKING:
    import polars as pl

    from reports._scope import Scope

TITLE = "Runs and quality"
QUESTION = "What did it cost, what failed, what drifted?"
ICON = ":material/monitoring:"
ORDER = 7

PARTS = ["Calls", "Failures", "Tests", "Runs", "Settings", "SQL"]
MAX_ROWS, SECONDS = 1000, 10.0


def render(scope: Scope) -> None:
    """The page."""
    part = st.segmented_control(
        "Show", PARTS, key="show", bind="query-params", default=PARTS[0], required=True, label_visibility="collapsed"
    )
    {"Calls": _calls, "Failures": _failures, "Tests": _tests, "Runs": _runs, "Settings": _settings, "SQL": _sql}[part](scope)


def _calls(scope: Scope) -> None:
    """Calls, tokens, cost, latency; refusals."""
    import polars as pl

    if not (scope.warehouse.has("responses") or scope.warehouse.has("approvals")):
        page.needs(scope, "responses", "approvals")
        return
    sql = q.call_totals(scope.warehouse)
    totals = scope.frame(sql).filter(pl.col("llm_id").is_in(scope.llms))
    if totals.is_empty():
        page.empty("No call has been made yet.", "bclust build")
        return
    cards = st.columns(4)
    failed, calls = int(totals["failed"].sum()), int(totals["calls"].sum())
    cards[0].metric("answers", f"{calls:,}", border=True)
    cards[1].metric("failed", f"{failed:,}", border=True, help=percent(failed / max(calls, 1), 2))
    tokens = sum(int(totals[c].sum() or 0) for c in ("input_tokens", "output_tokens"))
    cards[2].metric("tokens", _short(tokens), border=True, help=f"{tokens:,}")
    cards[3].metric(
        "cost",
        dollars(totals["cost_usd"].sum(), totals["unpriced"].sum()),
        border=True,
        help="What the answers in this warehouse cost when they were asked",
    )
    if failed:
        st.caption(f"{failed:,} calls have no answer; the next build asks only for those:")
        st.code("bclust build", language=None)
    per_llm = totals.group_by("llm_id", maintain_order=True).agg(
        pl.col("cost_usd").sum(), pl.col("calls").sum(), pl.col("input_tokens").sum() + pl.col("output_tokens").sum()
    )
    left, right = st.columns(2, gap="medium")
    priced = (per_llm["cost_usd"].sum() or 0) > 0
    with left:
        st.subheader("Cost" if priced else "Tokens", anchor=False)
        value, form = ("cost_usd", "$.3~f") if priced else ("input_tokens", ",")
        page.chart(
            scope,
            charts.amounts(per_llm, "llm_id", value, scope.colours, scope.style, tickformat=form),
            "cost",
            sql,
            data=totals,
            alt="Cost per language model",
        )
    with right:
        step = totals["step"][0]
        st.subheader(f"Latency of {step}", anchor=False)
        timed = totals.filter((pl.col("step") == step) & pl.col("p50").is_not_null())
        if timed.is_empty():
            page.empty("No latency was recorded.")
        else:
            page.chart(
                scope,
                charts.latency(timed, scope.colours, scope.style),
                "latency",
                sql,
                data=timed,
                alt="Latency per language model",
            )
    page.table(totals, "calls", sql, alt="Calls per step and language model")
    _unanswered(scope)


def _short(n: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.1f}{letter}"
    return f"{n:,.0f}"


def _unanswered(scope: Scope) -> None:
    """What spoils the answers, and how many came to nothing."""
    st.subheader("What came to nothing, and contradictions", anchor=False)
    table = "answer_problems" if scope.warehouse.has("answer_problems") else "response_problems"
    if not page.needs(scope, table):
        return
    sql = q.problems(table, scope.llms)
    problems = scope.frame(sql)
    for sentence in problems["problem"]:
        st.warning(markdown(sentence, None), icon=":material/warning:")
    if problems.is_empty():
        st.caption("No language model has so much of it that it would spoil a comparison.")
    else:
        parts = {
            c: st.column_config.NumberColumn(page.title(c), format="percent") for c, t in problems.schema.items() if t.is_float()
        }
        page.table(problems, "problems", sql, alt="Shares of answers that came to nothing", columns=parts)
    if not scope.warehouse.has("answered_rates"):
        return
    sql = q.unanswered(scope.llms)
    shares = {c: st.column_config.NumberColumn(page.title(c), format="percent") for c in ("rate", "ci_low", "ci_high")}
    alt = "Share of answers refused, unparsable, empty, cut off or incoherent"
    page.table(scope.frame(sql), "unanswered", sql, alt=alt, columns=shares)


def _failures(scope: Scope) -> None:
    """Calls without an answer, and input rows that were rejected."""
    st.subheader("Calls without an answer", anchor=False)
    if scope.warehouse.has("responses") or scope.warehouse.has("approvals"):
        sql = q.failures(scope.warehouse)
        frame = scope.frame(sql)
        if frame.is_empty():
            page.empty("Every call was answered.")
        else:
            words = st.text_input("Find in errors", key="find", bind="query-params", placeholder="timeout").strip().lower()
            shown = (
                frame.filter(frame["error"].fill_null("").str.to_lowercase().str.contains(words, literal=True))
                if words
                else frame
            )
            page.table(
                shown,
                "failed_calls",
                sql,
                alt="Failed calls",
                columns={"error": st.column_config.TextColumn("error", width="large")},
            )
            st.caption("The next build asks for these again, and for nothing else:")
            st.code("bclust build", language=None)
    st.subheader("Rejected input rows", anchor=False)
    if not scope.warehouse.has("_bclust.rejected_rows"):
        page.empty("This warehouse keeps no record of rejected rows.")
        return
    sql = q.rejected_rows()
    frame = scope.frame(sql)
    if frame.is_empty():
        page.empty("Every input row was accepted.")
    else:
        page.table(frame, "rejected", sql, alt="Input rows that were rejected, and why")


def _tests(scope: Scope) -> None:
    """How every data test ended last."""
    if not scope.warehouse.has("_bclust.results"):
        page.empty("This warehouse keeps no test results.", "bclust build")
        return
    sql = q.latest_tests()
    frame = scope.frame(sql)
    if frame.is_empty():
        page.empty("No test has run.", "bclust test")
        return
    bad = frame.filter(frame["status"].is_in(["fail", "error", "warn"]))
    st.caption(f"{len(frame):,} tests, {len(bad):,} that did not pass")
    choice = st.segmented_control(
        "Tests",
        ["not passed", "all"],
        key="tests",
        bind="query-params",
        default="not passed" if len(bad) else "all",
        required=True,
    )
    page.table(bad if choice == "not passed" else frame, "tests_table", sql, alt="Test results")
    st.code("bclust test", language=None)


def _runs(scope: Scope) -> None:
    """Builds, and the difference between two of them."""
    if not scope.warehouse.has("_bclust.runs"):
        page.empty("This warehouse keeps no record of runs.", "bclust build")
        return
    sql = "select *\nfrom _bclust.runs\norder by started_at desc"
    frame = scope.frame(sql)
    if frame.is_empty():
        page.empty("No run is recorded.", "bclust build")
        return
    order = [
        c
        for c in ("started_at", "ended_at", "target", "status", "calls_new", "calls_cached", "calls_failed", "cost_usd", "args")
        if c in frame.columns
    ]
    page.table(frame, "runs_table", sql, alt="Runs", order=order)
    if len(frame) > 1:
        _difference(frame)
    st.subheader("What the last build of each table took", anchor=False)
    nodes_sql = "select name, resource_type, n_rows, failed_calls, seconds, built_at\nfrom _bclust.nodes\norder by built_at, name"
    if scope.warehouse.has("_bclust.nodes"):
        page.table(scope.frame(nodes_sql), "nodes", nodes_sql, alt="Tables with rows and seconds")


def _difference(frame: pl.DataFrame) -> None:
    """Two runs side by side: only what differs."""
    import polars as pl

    st.subheader("Two runs compared", anchor=False)
    runs = {f"{r['started_at']:%Y-%m-%d %H:%M:%S} · {r['target']}": r for r in frame.iter_rows(named=True)}
    one, two = st.columns(2)
    left = runs[one.selectbox("One", list(runs), index=1 if len(runs) > 1 else 0, key="run_a")]
    right = runs[two.selectbox("Other", list(runs), key="run_b")]
    rows = []
    for column in frame.columns:
        before, after = _flat(column, left[column]), _flat(column, right[column])
        rows += [
            {"what": k, "one": before.get(k), "other": after.get(k)} for k in {**before, **after} if before.get(k) != after.get(k)
        ]
    if rows:
        st.dataframe(
            pl.DataFrame(rows, schema={"what": pl.String, "one": pl.String, "other": pl.String}),
            hide_index=True,
            alt="What differs between the runs",
        )
    else:
        page.empty("The two runs do not differ in anything that is recorded.")


def _flat(column: str, value: Any) -> dict[str, str]:
    """A value as text; JSON objects one row a key."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return {f"{column}.{k}": json.dumps(v, ensure_ascii=False, default=str) for k, v in json.loads(value).items()}
        except json.JSONDecodeError:
            pass
    return {column: "" if value is None else str(value)}


def _settings(scope: Scope) -> None:
    """What was built from what: language models, clusterings, prompts, variables."""
    import polars as pl

    for name, caption in [
        ("llms", "Language models"),
        ("embedders", "Embedders"),
        ("clusterings", "Clusterings"),
        ("approval_prompts", "Approval prompts"),
    ]:
        if scope.warehouse.has(name):
            st.subheader(caption, anchor=False)
            sql = f"from {name}"
            page.table(scope.frame(sql), f"settings_{name}", sql, alt=caption)
    if scope.warehouse.has("_bclust.nodes"):
        sql = "select name, vars\nfrom _bclust.nodes\nwhere vars is not null and vars <> '{}'\norder by name"
        rows = [
            {"variable": k, "value": json.dumps(v, ensure_ascii=False), "read by": name}
            for name, text in scope.frame(sql).iter_rows()
            for k, v in json.loads(text).items()
        ]
        if rows:
            st.subheader("Variables", anchor=False)
            frame = (
                pl.DataFrame(rows)
                .group_by("variable", "value", maintain_order=True)
                .agg(pl.col("read by").str.join(", "))
                .sort("variable")
            )
            page.table(frame, "variables", sql, alt="Variables and the tables that read them")


def _sql(scope: Scope) -> None:
    """A box for SQL over the published warehouse."""
    st.caption(
        f"Read-only SQL over this warehouse: at most {MAX_ROWS:,} rows and {SECONDS:.0f} s; no files, no other databases. "
        "The query is part of the link."
    )
    query = st.text_area(
        "SQL",
        "select llm_id, count(*) as n\nfrom responses\ngroup by llm_id",
        key="query",
        bind="query-params",
        height=150,
        label_visibility="collapsed",
    )
    left, right = st.columns([5, 3], gap="medium")
    with right, st.container(height=420):
        for table, columns in sorted(scope.warehouse.tables().items(), key=lambda t: (t[0].startswith("_"), t[0])):
            st.caption(f"**{markdown(table)}** {markdown(', '.join(columns), 400)}")
    with left:
        st.button("Run", type="primary", icon=":material/play_arrow:", key="run_sql", shortcut="Ctrl+Enter")
        if not query.strip():
            page.empty("Type a query.")
            return
        try:
            frame, more = scope.warehouse.bounded(query, max_rows=MAX_ROWS, seconds=SECONDS)
        except BclustError as error:
            page.show_error(error)
            return
        if not frame.width:
            page.empty("The statement returned no table.")
            return
        page.table(frame, "result", query, alt="Result of the query")
        if more:
            st.caption(f"There are more rows than {MAX_ROWS:,}; for all of them: bclust sql --format parquet -o FILE")
