"""What all pages share: the scope chosen in the sidebar, charts and tables with their SQL, clicks, links and empty states."""

from __future__ import annotations

import functools
import html
import io
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from bclust.errors import BclustError
from reports import _queries as q
from reports import charts
from reports._texts import markdown, plain, word_diff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import plotly.graph_objects as go
    import polars as pl

    from reports._scope import Scope
    from reports._tree import Tree

SHOWN_ROWS = 500
# Columns of ours in words; others (prompts, language models, what somebody selects) are shown as they are called.
WORDS = {
    "llm_id": "language model",
    "prompt_name": "prompt",
    "prompt_type": "prompts",
    "cluster_id": "cluster",
    "ci_low": "from",
    "ci_high": "to",
    "n_statements": "statements",
    "n_groups": "groups",
    "llm_a": "language model A",
    "llm_b": "language model B",
    "prompt_a": "prompt A",
    "prompt_b": "prompt B",
}
WORDS |= {
    name: name.replace("_", " ")
    for name in (
        "answered_a", "answered_b", "balanced_high", "balanced_low", "balanced_rate", "bound_high", "bound_low", "built_at",
        "calls_cached", "calls_failed", "calls_new", "cost_usd", "ended_at", "failed_calls", "finish_reason", "holds_under",
        "input_tokens", "interaction_theme", "latency_ms", "matching_answer", "n_clusters", "n_rows", "only_a", "only_b",
        "output_tokens", "p_approve", "p_value", "q_value", "ran_at", "rate_a", "rate_b", "resource_type", "response_theme",
        "share_a", "share_b", "source_file", "source_line", "started_at", "statement_theme", "system_message",
        "theme_source", "theme_validity", "unconfirmed_theme", "validity_high", "validity_low", "yes_bias", "yes_bias_high",
        "yes_bias_low",
    )
}  # fmt: skip


# --- states ----------------------------------------------------------------------------------------------------


def needs(scope: Scope, *tables: str) -> bool:
    """Whether these tables are built; if not, says which and with what command."""
    missing = [t for t in tables if not scope.warehouse.has(t)]
    if missing:
        empty(f"This part reads {' and '.join(missing)}, not built yet.", f"bclust build --select {' '.join(missing)}")
    return not missing


def empty(sentence: str, command: str | None = None) -> None:
    """One sentence on why there is nothing to see, and the command that helps."""
    st.info(markdown(sentence, None), icon=":material/info:")
    if command:
        st.code(command, language=None)


def show_error(error: BclustError) -> None:
    """An error as a sentence and a command, never a traceback."""
    st.warning(markdown(error.message, 400), icon=":material/warning:")
    if error.hint:
        st.code(error.hint, language=None)


def guarded(render: Callable[..., None]) -> Callable[..., None]:
    """A page or a fragment whose errors of ours are shown as sentences."""

    @functools.wraps(render)
    def wrapper(*arguments: Any, **named: Any) -> None:
        try:
            render(*arguments, **named)
        except BclustError as error:
            show_error(error)

    return wrapper


# --- charts and tables -----------------------------------------------------------------------------------------


def chart(
    scope: Scope,
    fig: go.Figure,
    key: str,
    sql: str | Sequence[str],
    *,
    alt: str,
    data: pl.DataFrame | None = None,
    select: tuple[Literal["points", "box", "lasso"], ...] = (),
) -> None:
    """A figure with its SQL and its numbers on request.

    Args:
        scope: of the page.
        fig: the figure.
        key: names the element; a click is read with ``clicked(key)``.
        sql: what it was drawn from.
        alt: what it shows, for those who cannot see it.
        data: the rows to download.
        select: selection modes, "points", "box", "lasso".
    """
    if {"all", key} & set(scope.style.hide):
        st.caption("This figure is hidden by the report's settings.")
        return
    config = (
        charts.CONFIG
        if select
        else {**charts.CONFIG, "modeBarButtonsToRemove": [*charts.CONFIG["modeBarButtonsToRemove"], "select2d", "lasso2d"]}
    )
    if select:
        st.plotly_chart(fig, key=key, config=config, alt=alt, on_select="rerun", selection_mode=select)
    else:
        st.plotly_chart(fig, key=key, config=config, alt=alt)
    data_menu(key, sql, data)


def table(
    frame: pl.DataFrame,
    key: str,
    sql: str | Sequence[str],
    *,
    alt: str,
    columns: Mapping[str, Any] | None = None,
    select: bool = False,
    total: int | None = None,
    height: int | None = None,
    order: Sequence[str] | None = None,
) -> int | None:
    """A table with its SQL, CSV and Parquet; returns the row that is selected, where ``select``.

    The browser gets at most ``SHOWN_ROWS`` rows, the files all of ``frame``.
    """
    shown = frame.head(SHOWN_ROWS)
    config = {name: st.column_config.Column(title(name)) for name in frame.columns if name in WORDS} | dict(columns or {})
    arguments: dict[str, Any] = {
        "key": key, "hide_index": True, "column_config": config, "alt": alt, "column_order": order, "placeholder": "–",
    }  # fmt: skip
    if height:
        arguments["height"] = height
    picked = None
    if select:
        event = st.dataframe(shown, on_select="rerun", selection_mode="single-row", **arguments)
        rows = event["selection"]["rows"]
        picked = rows[0] if rows and rows[0] < len(shown) else None
    else:
        st.dataframe(shown, **arguments)
    n = len(frame) if total is None else total
    data_menu(key, sql, frame, note=f"{n:,} rows" if n <= len(shown) else f"first {len(shown):,} of {n:,} rows")
    return picked


def title(column: str) -> str:
    """One of our columns in words."""
    return WORDS.get(column) or column.replace("_", " ")


def data_menu(key: str, sql: str | Sequence[str], data: pl.DataFrame | None, note: str = "") -> None:
    """The SQL of a chart or table, and its rows as files, behind one small button."""
    queries = [sql] if isinstance(sql, str) else list(sql)
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small", key=f"menu_{key}"):
        if note:
            st.caption(note)
        with st.popover("Data and SQL", type="tertiary", icon=":material/database:"):
            for query in queries:
                st.code(query, language="sql")
            if data is not None:
                with st.container(horizontal=True):
                    for kind, mime, write in [("csv", "text/csv", as_csv), ("parquet", "application/octet-stream", as_parquet)]:
                        st.download_button(
                            kind.upper() if kind == "csv" else "Parquet",
                            functools.partial(write, data),
                            f"{key}.{kind}",
                            mime,
                            key=f"{key}_{kind}",
                            on_click="ignore",
                            icon=":material/download:",
                        )


def as_csv(frame: pl.DataFrame) -> bytes:
    """UTF-8 CSV; nested columns as JSON; texts that a spreadsheet would run as formulas get an apostrophe before them."""
    import polars as pl

    nested = [c for c, t in frame.schema.items() if t.is_nested()]
    safe = [
        pl.when(pl.col(c).str.contains(r"^[=+\-@\t\r]")).then("'" + pl.col(c)).otherwise(pl.col(c)).alias(c)
        for c, t in frame.schema.items()
        if t == pl.String
    ]
    flat = frame.with_columns(*[pl.col(c).map_elements(str, return_dtype=pl.String) for c in nested], *safe)
    return flat.write_csv().encode()


def as_parquet(frame: pl.DataFrame) -> bytes:
    """Parquet with zstd."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


# --- clicks and links ------------------------------------------------------------------------------------------


def selection(key: str) -> Mapping[str, Any]:
    """What is selected in a chart: points, box, lasso."""
    state = st.session_state.get(key) or {}
    found: Mapping[str, Any] = state.get("selection") or {}
    return found


def new_click(key: str) -> Mapping[str, Any] | None:
    """The first selected point of a chart, once: None until another one is clicked."""
    points = selection(key).get("points") or []
    point = points[0] if points else None
    seen = f"_seen_{key}"
    if point == st.session_state.get(seen):
        return None
    st.session_state[seen] = point
    found: Mapping[str, Any] | None = point
    return found


def remember(key: str, options: Sequence[Any], read: Callable[[str], Any] = str) -> None:
    """Give a widget the value that the link carries, else the first option, before it is drawn. ``linked`` writes it back.

    For widgets whose options are shown under another name: a parameter bound by Streamlit would be that name.
    """
    text = st.query_params.get(key)
    if key not in st.session_state and text is not None:
        try:
            value = read(text)
        except ValueError:
            value = None
        if value in options:
            st.session_state[key] = value
        else:
            del st.query_params[key]
    if st.session_state.get(key, options) not in options:
        st.session_state[key] = options[0]


def linked(key: str, value: Any, default: Any = None) -> None:
    """Put a widget's value into the link; its default needs no words."""
    if value == default or value is None:
        if key in st.query_params:
            del st.query_params[key]
    elif st.query_params.get(key) != str(value):
        st.query_params[key] = str(value)


def cluster_choice(scope: Scope, kind: str, key: str, label: str = "Cluster") -> int | None:
    """A cluster, or None for all; kept in the link by its number."""
    return one_cluster(scope.names(kind), key, label, "all")


def one_cluster(names: Mapping[int, str], key: str, label: str, nothing: str) -> int | None:
    """One of some named clusters, or None, which is shown as ``nothing``."""
    options: list[int | str] = [nothing, *names]
    remember(key, options, int)
    value = st.selectbox(
        label,
        options,
        key=key,
        persist_state="session",
        format_func=lambda c: f"{plain(names[c], 70)} · {c}" if c in names else c,
    )
    linked(key, value, nothing)
    return value if isinstance(value, int) else None


def cluster_tree(scope: Scope, kind: str) -> Tree | None:
    """The cluster tree, or None with a hint."""
    from reports._tree import Tree

    if not needs(scope, f"{kind}_cluster_tree"):
        return None
    frame = scope.frame(q.tree(kind, scope.clustering))
    if frame.is_empty():
        empty(f"There is no tree for the clustering {scope.clustering}.", f"bclust build --select {kind}_cluster_tree")
        return None
    return Tree(frame)


def badge(text: str, kind: str) -> None:
    """A small coloured label: approved blue, disapproved red, everything else grey."""
    colour = {"approved": "blue", "disapproved": "red", "warn": "orange"}.get(kind, "gray")
    st.badge(markdown(text), color=colour)  # type: ignore[arg-type]


def read_link(statement_id: str) -> None:
    """A link to everything that was said about a statement."""
    st.page_link(
        st.session_state["_pages"]["read"],
        label="read what every language model said",
        icon=":material/menu_book:",
        query_params={"statement": statement_id},
    )


def statement_links(statements: Sequence[Mapping[str, str]]) -> None:
    """Some statements (statement_id, statement), each a link to everything that was said about it."""
    for row in statements:
        st.page_link(
            st.session_state["_pages"]["read"],
            label=markdown(row["statement"], 300),
            icon=":material/menu_book:",
            query_params={"statement": row["statement_id"]},
        )


def text(value: str | None, *, strong: bool = False, against: str | None = None, missing: str = "no response") -> None:
    """What somebody wrote, as it is: escaped, wrapped, in its own reading direction; words that ``against`` lacks are marked."""
    if not value or not value.strip():
        st.caption(missing)
        return
    body = word_diff(value, against) if against else html.escape(value)
    weight = "font-weight:600;" if strong else ""
    st.html(
        '<div dir="auto" '
        f'style="{weight}white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;line-height:1.5">{body}</div>'
    )


def llm_title(scope: Scope, llm: str) -> None:
    """A language model's name with its colour."""
    colour = scope.colours.get(llm, charts.NO_ANSWER)
    st.html(
        '<div style="font-weight:600;overflow-wrap:anywhere"><span '
        'style="display:inline-block;width:.7em;height:.7em;border-radius:50%;'
        f'background:{colour};margin-right:.45em"></span>{html.escape(plain(llm, 80))}</div>'
    )
