"""Read: what did they actually say."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import streamlit as st

from reports import _page as page
from reports import _queries as q
from reports._choices import settings
from reports._texts import markdown, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from reports._scope import Scope

TITLE = "Read"
QUESTION = "What did they actually say? One statement at a time, every language model beside the others."
ICON = ":material/menu_book:"
ORDER = 6

REASONS = {
    "content_filter": "stopped by the provider's content filter",
    "length": "cut off at the token limit",
    "refusal": "refused",
}


def render(scope: Scope) -> None:
    """The page."""
    if not page.needs(scope, "statements"):
        return
    ids = _filtered(scope)
    if not ids:
        page.empty("No statement matches: take back a filter.")
        return
    place = _walk(ids)
    statement = scope.warehouse.row(q.statement(ids[place]))
    _statement(statement)
    _responses(scope, ids[place])
    _decisions(scope, ids[place])


def _filtered(scope: Scope) -> list[str]:
    one, two, three = st.columns([2, 2, 2], vertical_alignment="bottom")
    behaviors = [
        str(b)
        for b in scope.frame("select distinct behavior\nfrom statements\nwhere behavior is not null\norder by behavior")[
            "behavior"
        ]
    ]
    with one:
        behavior = st.selectbox("Behavior", ["all", *behaviors], key="behavior", bind="query-params")
    with two:
        search = st.text_input("Find in texts", key="find", bind="query-params", placeholder="a word or phrase").strip()
    with three:
        cluster = (
            page.cluster_choice(scope, "statement", "statement_cluster", "Cluster of statements")
            if scope.warehouse.has("statement_clusters")
            else None
        )
    sql = q.statement_ids(
        scope.warehouse,
        behavior=None if behavior == "all" else behavior,
        search=search,
        clustering=scope.clustering,
        cluster_id=cluster,
    )
    return [str(i) for i in scope.frame(sql)["statement_id"]]


def _walk(ids: list[str]) -> int:
    """Previous, next, random; the place in the list of the statement that the link names."""
    current = st.query_params.get("statement", ids[0])
    place = ids.index(current) if current in ids else 0

    def go(step: int | None) -> None:
        there = secrets.randbelow(len(ids)) if step is None else (place + step) % len(ids)
        st.query_params["statement"] = ids[there]

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Previous", icon=":material/chevron_left:", key="previous", on_click=go, args=(-1,), shortcut="ArrowLeft")
        st.button(
            "Next",
            icon=":material/chevron_right:",
            icon_position="right",
            key="next",
            on_click=go,
            args=(1,),
            shortcut="ArrowRight",
        )
        st.button("Random", icon=":material/shuffle:", key="random", on_click=go, args=(None,))
        st.caption(f"{place + 1:,} of {len(ids):,} statements · the address of this page is a link to this statement")
    if st.query_params.get("statement") != ids[place]:
        st.query_params["statement"] = ids[place]
    return place


def _statement(row: Mapping[str, Any]) -> None:
    with st.container(border=True):
        page.text(row["statement"], strong=True)
        with st.container(horizontal=True, gap="small"):
            for name in ("behavior", "dataset"):
                if row.get(name):
                    page.badge(f"{name} {row[name]}", "plain")
            if row.get("matching_answer"):
                page.badge(f"{row['matching_answer']} would match the behavior", "plain")
            if row.get("source_file"):
                page.badge(f"{row['source_file']}:{row.get('source_line')}", "plain")


def _responses(scope: Scope, statement_id: str) -> None:
    """One column per language model; the words that the reference lacks are marked on request."""
    st.subheader("Reactions", anchor=False)
    if not page.needs(scope, "responses"):
        return
    sql = q.responses_of(statement_id, scope.llms)
    frame = scope.frame(sql)
    against = None
    if len(scope.llms) > 1:
        against = st.selectbox(
            "Mark words that are not in the response of", ["nobody", *scope.llms], key="against", bind="query-params", width=320
        )
    reference = _first(frame, against) if against in scope.llms else None
    per_row = 3 if len(scope.llms) > 2 else 2
    for start in range(0, len(scope.llms), per_row):
        for column, llm in zip(st.columns(per_row, gap="medium"), scope.llms[start : start + per_row], strict=False):
            with column, st.container(border=True):
                page.llm_title(scope, llm)
                _response(frame, llm, None if llm == against else reference)
    page.data_menu("responses", sql, frame)


def _first(frame: pl.DataFrame, llm: str | None) -> str | None:
    texts = frame.filter(frame["llm_id"] == llm)["response"].drop_nulls().to_list()
    return texts[0] if texts else None


def _response(frame: pl.DataFrame, llm: str, against: str | None) -> None:
    rows = frame.filter(frame["llm_id"] == llm).to_dicts()
    if not rows:
        st.caption("not asked")
    for row in rows:
        if len(rows) > 1:
            st.caption(f"sample {row['sample']}")
        page.text(row["response"], against=against, missing=why_missing(row))
        if row["response"] and row["finish_reason"] in REASONS:
            page.badge(REASONS[row["finish_reason"]], "warn")
        if row["reasoning"]:
            with st.expander("What it thought before"):
                page.text(row["reasoning"])


def why_missing(row: Mapping[str, Any]) -> str:
    """Why there is no response, in words."""
    if row.get("error"):
        return f"no response: the call failed ({plain(row['error'], 160)}). The next bclust build asks again."
    reason = row.get("finish_reason")
    return f"no response: {REASONS.get(reason, reason)}" if reason and reason != "stop" else "an empty response"


def _decisions(scope: Scope, statement_id: str) -> None:
    """The decision under every prompt as badges, and the answers word for word."""
    st.subheader("Approvals", anchor=False)
    if not page.needs(scope, "approvals", "statistics_settings"):
        return
    sql = q.approvals_of(statement_id, scope.llms)
    frame = scope.frame(sql)
    if frame.is_empty():
        page.empty("This statement was not asked for approval.", "bclust build --select approvals")
        return
    asked = frame.filter(frame["wording"] == settings(scope.warehouse).first_wording).unique(
        ["llm_id", "prompt_type", "prompt_name"], keep="first", maintain_order=True
    )
    per_row = 3 if len(scope.llms) > 2 else 2
    for start in range(0, len(scope.llms), per_row):
        for column, llm in zip(st.columns(per_row, gap="medium"), scope.llms[start : start + per_row], strict=False):
            with column:
                page.llm_title(scope, llm)
                _badges(asked.filter(asked["llm_id"] == llm))
    with st.expander("Answers word for word"):
        wide = {"answer": st.column_config.TextColumn("answer", width="large")}
        page.table(frame, "answers", sql, alt="Every answer with its decision", columns=wide)


def _badges(rows: pl.DataFrame) -> None:
    """The decisions of one language model, prompt by prompt."""
    for (prompt_type,), part in sorted(rows.group_by("prompt_type", maintain_order=True), key=lambda g: str(g[0]), reverse=True):
        st.caption(markdown(prompt_type))
        for row in part.iter_rows(named=True):
            with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                page.badge(row["decision"], row["decision"])
                chance = f" · p {row['p_approve']:.2f}" if row["p_approve"] is not None else ""
                st.caption(markdown(f"{row['prompt_name']}{chance}"))
