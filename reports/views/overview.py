"""Overview: what ran, whether to trust it, what stands out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from reports import _page as page
from reports import _queries as q
from reports._findings import HEADINGS, findings, findings_query, hidden_words
from reports._texts import dollars, markdown, percent

if TYPE_CHECKING:
    from reports._findings import Finding
    from reports._scope import Scope

TITLE = "Overview"
QUESTION = "What ran, can I trust it, what stands out?"
ICON = ":material/home:"
ORDER = 1


def render(scope: Scope) -> None:
    """The page."""
    _cards(scope)
    _provenance(scope)
    _findings(scope)
    _trust(scope)
    _lineage(scope)


def _cards(scope: Scope) -> None:
    """Sizes, failures, cost."""
    warehouse = scope.warehouse
    cells: list[tuple[str, str, str | None]] = []
    for table in ("statements", "llms", "responses", "approvals"):
        if warehouse.has(table):
            n = len(scope.all_llms) if table == "llms" else int(warehouse.row(f"select count(*) as n from {table}")["n"])
            cells.append(({"llms": "language models"}.get(table, table), f"{n:,}", None))
    if warehouse.has("responses") or warehouse.has("approvals"):
        totals = scope.frame(q.call_totals(warehouse))
        calls, failed = int(totals["calls"].sum()), int(totals["failed"].sum())
        cells.append(("calls failed", f"{failed:,}", percent(failed / max(calls, 1), 2)))
        cells.append(("cost", dollars(totals["cost_usd"].sum(), totals["unpriced"].sum()), None))
    if not cells:
        page.empty("This warehouse is empty.", "bclust build")
        return
    with st.container(horizontal=True, gap="small"):
        for name, value, note in cells:
            st.metric(name, value, border=True, help=note, width=138)


def _provenance(scope: Scope) -> None:
    """The last run, and a plain word when language models are simulated."""
    warehouse = scope.warehouse
    if warehouse.has("_bclust.runs"):
        row = warehouse.row("select *\nfrom _bclust.runs\norder by started_at desc\nlimit 1")
        if row:
            # the run that publishes is still going when the file is copied
            words = {"success": "ended well", "error": "ended with errors"}.get(
                str(row["status"]), str(row["status"] or "published")
            )
            st.caption(f"Last run {row['started_at']:%Y-%m-%d %H:%M} · target {markdown(row['target'])} · {markdown(words)}")
    if warehouse.column("llms", "provider"):
        rows = warehouse.frame("select llm_id\nfrom llms\nwhere provider = 'simulated'\norder by llm_id")["llm_id"]
        simulated = [llm for llm in rows if llm in scope.all_llms]
        if simulated:
            who = "All language models" if len(simulated) == len(scope.all_llms) else markdown(", ".join(simulated), 200)
            st.info(
                f"{who} are simulated: these answers follow declared profiles, not a real language model.",
                icon=":material/science:",
            )


def _findings(scope: Scope) -> None:
    """What spoils a comparison, what differs, what is not shown: the sentences of the table, each with statements to read."""
    st.subheader("What stands out", anchor=False)
    if not scope.warehouse.has("response_findings") and not page.needs(scope, "findings"):
        return
    found = findings(scope.warehouse, scope.llms)
    if found.family:
        st.caption(markdown(found.family, None))
    for kind, heading in HEADINGS.items():
        if found.of(kind):
            st.markdown(f"**{heading}**")
        for finding in found.of(kind):
            (_warning if kind == "warning" else _finding)(finding)
    if not found.shown and not found.hidden:
        page.empty("Nothing has been compared yet.", "bclust build")
    st.caption(markdown(hidden_words(found.hidden), None))
    sql = findings_query(scope.warehouse)
    page.data_menu("findings", sql, scope.frame(sql))


def _warning(finding: Finding) -> None:
    with st.container(key=f"finding_{finding.position}"):
        words, link = st.columns([9, 1], vertical_alignment="center")
        words.warning(markdown(f"{finding.title} {finding.detail}".strip(), None), icon=":material/warning:")
        with link:
            _look(finding)


def _finding(finding: Finding) -> None:
    with st.container(border=True, key=f"finding_{finding.position}"):
        words, links = st.columns([5, 1], vertical_alignment="center")
        words.markdown(f"**{markdown(finding.title, None)}**  \n{markdown(finding.detail, None)}", width="stretch")
        with links.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
            if finding.statements:
                with st.popover("read", type="tertiary", icon=":material/menu_book:", help="Statements in which it shows most"):
                    page.statement_links(finding.statements)
            _look(finding)


def _look(finding: Finding) -> None:
    """A link to the page that shows it, with its choices."""
    target = st.session_state["_pages"].get(finding.page)
    if target is not None:
        st.page_link(target, label="look", icon=":material/arrow_forward:", query_params=dict(finding.link))


def _trust(scope: Scope) -> None:
    """What could be seen at all, and the tests that did not pass."""
    st.subheader("Can I trust it", anchor=False)
    if scope.warehouse.has("detectable_differences"):
        sql = 'select note\nfrom detectable_differences\nwhere note is not null\norder by "table"'
        for note in scope.frame(sql)["note"]:
            st.caption(markdown(note, None))
    if not scope.warehouse.has("_bclust.results", "_bclust.runs"):
        page.empty("This warehouse keeps no test results.", "bclust test")
        return
    sql = q.latest_tests()
    frame = scope.frame(sql)
    bad = frame.filter(frame["status"].is_in(["fail", "error", "warn"]))
    if frame.is_empty():
        page.empty("No test has run.", "bclust test")
    elif bad.is_empty():
        st.success(f"All {len(frame):,} tests pass.", icon=":material/check_circle:")
    else:
        st.warning(f"{len(bad):,} of {len(frame):,} tests did not pass.", icon=":material/warning:")
        page.table(bad, "failed_tests", sql, alt="Tests that did not pass")


def _lineage(scope: Scope) -> None:
    """The tables and what each is made from."""
    if not scope.warehouse.column("_bclust.nodes", "inputs"):
        return
    rows = scope.frame("select name, resource_type, n_rows, inputs\nfrom _bclust.nodes\norder by name").to_dicts()
    if not rows:
        return
    with st.expander("How the tables follow from each other", expanded=False):
        st.mermaid_chart(lineage(rows), alt="Lineage of the tables")


def lineage(rows: list[dict[str, Any]]) -> str:
    """The graph of nodes as a Mermaid flowchart; node names are identifiers, everything else is left out."""
    known = {r["name"] for r in rows}
    lines = ["flowchart LR"]
    for row in rows:
        shape = ("([", "])") if row["resource_type"] in ("seed", "source") else ("[", "]")
        lines.append(f'    {row["name"]}{shape[0]}"{row["name"]}"{shape[1]}')
        parents = sorted(json.loads(row["inputs"] or "{}"))
        lines += [f"    {parent} --> {row['name']}" for parent in parents if parent in known]
    return "\n".join(lines)
