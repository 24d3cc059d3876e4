"""The findings as one file, or every figure as an image: `bclust report --export FILE` runs this.

    python reports/export.py --warehouse warehouse.duckdb --out report.html [--no-text]
    python reports/export.py --warehouse warehouse.duckdb --out findings.md --format md
    python reports/export.py --warehouse warehouse.duckdb --out figures/ --format png

The HTML opens from disk and asks nothing of any server: plotly.js is inside, and its content security policy forbids every
request. All text is escaped. PNG, SVG and PDF go through kaleido (pip install 'bclust[png]') and need Chromium or Chrome.
Plot settings come as JSON in the environment variable BCLUST_REPORT_SETTINGS (see ``charts.style.Style``).
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, Python puts this folder there, not the project's
    sys.path.insert(0, str(ROOT))

from bclust.errors import BclustError, UsageError  # noqa: E402 - the path comes first
from reports import _queries as q  # noqa: E402 - the path comes first
from reports import charts  # noqa: E402 - the path comes first
from reports._choices import llm_ids, prompt_types, settings, values  # noqa: E402 - the path comes first
from reports._comparison import NEEDED, shares_of  # noqa: E402 - the path comes first
from reports._findings import HEADINGS, Finding, Findings, findings  # noqa: E402 - the path comes first
from reports._hierarchy import SHARE, approvals_below, cluster_rows, language_model_parts, node_names, strip_look, treemap_rows  # noqa: E402 - the path comes first
from reports._map import Choice, coded_points  # noqa: E402 - the path comes first
from reports._scope import Scope  # noqa: E402 - the path comes first
from reports._texts import dollars, plain  # noqa: E402 - the path comes first
from reports._tree import Tree  # noqa: E402 - the path comes first
from reports._warehouse import Warehouse, warehouse_path  # noqa: E402 - the path comes first

if TYPE_CHECKING:
    from collections.abc import Iterator

    import plotly.graph_objects as go
    import polars as pl


IMAGES = ("png", "svg", "pdf")
MAP_POINTS, SVG_POINTS, TABLE_ROWS, PAIRS = 20_000, 3_000, 500, 6
FONT = "Source Sans 3, Source Sans Pro, system-ui, sans-serif"


@dataclass(frozen=True)
class Figure:
    """One figure of the report."""

    name: str
    section: str
    title: str
    note: str
    fig: go.Figure


def scope_of(warehouse: Warehouse, style: charts.Style) -> Scope:
    """Everything, under the main clustering and the first embedder."""

    llms = llm_ids(warehouse)
    clusterings = values(warehouse, "clustering", ["response_clusters", "statement_clusters", "clusterings"]) or ["main"]
    embedders = values(warehouse, "embedder", ["response_map", "statement_map", "embedders"]) or ["default"]
    return Scope(warehouse, llms, llms, "main" if "main" in clusterings else clusterings[0], embedders[0], style)


# --- figures ---------------------------------------------------------------------------------------------------


def figures(scope: Scope, *, text: bool = True) -> Iterator[Figure]:
    """All figures that the warehouse has the tables for, but those that the settings hide."""
    hidden = set(scope.style.hide)
    if "all" in hidden:
        return
    for made in (_maps(scope, text=text), _comparisons(scope), _approvals(scope), _hierarchies(scope)):
        yield from (figure for figure in made if not hidden & {figure.name, figure.section.lower()})


def _maps(scope: Scope, *, text: bool) -> Iterator[Figure]:

    if scope.warehouse.has("response_map", "statements"):
        per_llm = max(MAP_POINTS // max(len(scope.llms), 1), 1)
        points = scope.frame(_points_sql(scope, "response", per_llm, text=text))
        for colour, title in (("llm", "by language model"), ("cluster", "by cluster")):
            if len(points) and (colour == "llm" or "cluster_id" in points.columns):
                coded, categories, centres = coded_points(scope, Choice("response", colour), points)
                fig = charts.point_map(coded, categories, scope.style, centres, webgl=len(coded) > SVG_POINTS)
                yield Figure(
                    f"response_map_{colour}",
                    "Map",
                    f"Responses {title}",
                    "Texts that mean similar things lie close together.",
                    fig,
                )
    if scope.warehouse.has("statement_map", "statements", "approvals") and scope.llms:
        points = scope.frame(_points_sql(scope, "statement", MAP_POINTS // 4, text=text))
        for prompt_type in prompt_types(scope.warehouse):
            choice = Choice("statement", "decision", facet=True, prompt_type=prompt_type, llm=scope.llms[0])
            coded, categories, _ = coded_points(scope, choice, points)
            if len(coded):
                fig = charts.point_map(coded, categories, scope.style, height=420, webgl=len(coded) > SVG_POINTS)
                yield Figure(
                    f"statement_map_{prompt_type}",
                    "Map",
                    f"Statements by decision of {scope.llms[0]}: {prompt_type}",
                    "One map per prompt.",
                    fig,
                )


def _points_sql(scope: Scope, kind: str, sample: int, *, text: bool) -> str:
    total = int(scope.warehouse.row(f"select count(*) as n from {kind}_map")["n"])
    hover, clusters = text and total <= 5000, scope.warehouse.has(f"{kind}_clusters")
    if kind == "response":
        hover = hover and scope.warehouse.has("responses")
        return q.response_points(scope.clustering, scope.embedder, scope.llms, hover=hover, sample=sample, clusters=clusters)
    return q.statement_points(scope.clustering, scope.embedder, hover=hover, sample=sample, clusters=clusters)


def _comparisons(scope: Scope) -> Iterator[Figure]:

    if not scope.warehouse.has(*NEEDED):
        return
    known = settings(scope.warehouse)
    for a, b in list(combinations(scope.llms, 2))[:PAIRS]:
        differences = scope.frame(q.differences(scope.clustering, a, b, known.fdr))
        if differences.is_empty():
            continue
        note = _counted(differences, "clusters", known.fdr)
        fig = charts.volcano(differences, a, b, scope.colours, known.fdr, known.margin, scope.style)
        yield Figure(f"difference_{a}_{b}", "Compare", f"{a} against {b}: effect and evidence", note, fig)
        fig = charts.dumbbell(shares_of(scope, differences, a, b).head(15), a, b, scope.colours, scope.style)
        yield Figure(
            f"shares_{a}_{b}",
            "Compare",
            f"{a} against {b}: shares of clusters",
            "Clearest differences first, 95 % intervals; hollow: not shown to differ, a square: alike.",
            fig,
        )


def _counted(differences: pl.DataFrame, what: str, fdr: float) -> str:
    """How many of some rows differ, are alike, and are not shown."""
    verdicts = differences["verdict"].to_list()
    differ, alike, n = verdicts.count("differs"), verdicts.count("alike"), len(verdicts)
    rest = f"{alike} are alike, {n - differ - alike} are not shown to be either"
    return f"{differ} of {n} {what} differ at a false discovery rate of {fdr:g}, {rest}."


def _approvals(scope: Scope) -> Iterator[Figure]:
    if not scope.warehouse.has("approval_rates_by_wording", "statistics_settings"):
        return
    wording = settings(scope.warehouse).first_wording
    for prompt_type in prompt_types(scope.warehouse):
        rates = scope.frame(q.rates(prompt_type, scope.llms, wording))
        if rates.is_empty():
            continue
        asked = f"Asked as “{wording}”."
        yield Figure(
            f"decisions_{prompt_type}",
            "Approvals",
            f"Decisions: {prompt_type}",
            f"Of everything asked. {asked}",
            charts.diverging_bars(rates, scope.llms, scope.style),
        )
        fig = charts.rate_dots(rates, scope.llms, scope.colours, scope.style)
        note = f"Of the statements decided, 95 % intervals. {asked}"
        yield Figure(f"rates_{prompt_type}", "Approvals", f"Approval rates: {prompt_type}", note, fig)
        fig = charts.rate_heatmap(rates, scope.llms, scope.style)
        note = f"Of the statements decided, with their number. {asked}"
        yield Figure(f"heatmap_{prompt_type}", "Approvals", f"Approval rates side by side: {prompt_type}", note, fig)
        yield from _behaviors(scope, prompt_type)


def _behaviors(scope: Scope, prompt_type: str) -> Iterator[Figure]:
    """The pairs of language models that part in the most behaviors, each under the prompt where they do."""
    import polars as pl

    if not scope.warehouse.has("approval_differences"):
        return
    known = settings(scope.warehouse)
    frame = scope.frame(q.behavior_differences(prompt_type, scope.llms)).filter(pl.col("llm_a") != pl.col("llm_b"))
    keys = ["llm_a", "llm_b", "prompt_a"]
    differ = frame.group_by(keys, maintain_order=True).agg(differ=(pl.col("verdict") == "differs").sum())
    most = differ.sort("differ", descending=True, maintain_order=True).unique(keys[:2], keep="first", maintain_order=True)
    for a, b, prompt, _ in most.head(PAIRS).iter_rows():
        part = frame.filter((pl.col("llm_a") == a) & (pl.col("llm_b") == b) & (pl.col("prompt_a") == prompt))
        labelled = part.with_columns(label=pl.col("behavior"))
        fig = charts.forest(labelled, a, b, scope.colours, known.fdr, known.margin, scope.style)
        note = f"As {prompt}, paired by question, 95 % intervals: {_counted(part, 'behaviors', known.fdr)}"
        yield Figure(
            f"behaviors_{prompt_type}_{a}_{b}", "Approvals", f"{a} and {b}, behavior by behavior: {prompt_type}", note, fig
        )


def _hierarchies(scope: Scope) -> Iterator[Figure]:

    for kind in ("statement", "response"):
        if not scope.warehouse.has(f"{kind}_cluster_tree"):
            continue
        tree = Tree(scope.frame(q.tree(kind, scope.clustering)))
        names = node_names(tree, scope.names(kind))
        strips = []
        if kind == "response" and scope.warehouse.has("response_cluster_tree_shares"):
            strips = [("", language_model_parts(scope))]
        elif kind == "statement" and scope.warehouse.has("statement_cluster_tree_approvals"):
            strips = [(t, approvals_below(scope, t, scope.llms)) for t in prompt_types(scope.warehouse)]
        for prompt_type, strip in strips if tree.nodes else []:
            cut = tree.cut(100)
            look = strip_look(scope, kind, cut, strip)
            fig = charts.dendrogram(tree, cut, strip.rates, strip.columns, names, scope.style, **look)
            title = f"Tree of {kind}s" + (f": {prompt_type}" if prompt_type else "")
            yield Figure(
                f"tree_{kind}_{prompt_type}".rstrip("_"),
                "Hierarchy",
                title,
                f"Strip: % {strip.what}. Hover a branch point for everything below it.",
                fig,
            )
            boxes = treemap_rows(scope, kind, tree, names, strip, strip.columns[0] if strip.columns else "size", 12, nested=False)
            colours: dict[str, Any] = {
                "scale": boxes.scale,
                "low": boxes.low,
                "high": boxes.high,
                "title": boxes.title,
                "tickformat": boxes.tickformat,
            }
            fig = charts.boxes(boxes.rows, scope.style, height=560, **colours)
            yield Figure(
                f"treemap_{kind}_{prompt_type}".rstrip("_"),
                "Hierarchy",
                title.replace("Tree", "Treemap"),
                "Click a group to enter it.",
                fig,
            )


# --- texts -----------------------------------------------------------------------------------------------------


def facts(scope: Scope) -> list[tuple[str, str]]:
    """What ran: sizes, failures, cost, the last run."""
    warehouse = scope.warehouse
    found = [
        (name, f"{warehouse.row(f'select count(*) as n from {name}')['n']:,}")
        for name in ("statements", "responses", "approvals")
        if warehouse.has(name)
    ]
    found.insert(1, ("language models", f"{len(scope.all_llms):,}"))
    if warehouse.has("responses") or warehouse.has("approvals"):
        totals = scope.frame(q.call_totals(warehouse))
        found.append(("calls failed", f"{int(totals['failed'].sum()):,}"))
        found.append(("cost", dollars(totals["cost_usd"].sum(), totals["unpriced"].sum())))
    found.append(("published", f"{warehouse.published_at:%Y-%m-%d %H:%M} UTC"))
    return found


def simulated(scope: Scope) -> str:
    """A sentence that says which language models are only simulated; "" when none is."""
    if not scope.warehouse.column("llms", "provider"):
        return ""
    rows = scope.frame("select llm_id\nfrom llms\nwhere provider = 'simulated'\norder by llm_id")["llm_id"]
    who = [llm for llm in rows if llm in scope.all_llms]
    if not who:
        return ""
    names = "All language models" if len(who) == len(scope.all_llms) else plain(", ".join(who), 300)
    return f"{names} are simulated: these answers follow declared profiles, not a real language model."


def found_in(scope: Scope) -> Findings:
    """The sentences of the table; none where it is not built."""
    built = scope.warehouse.has("findings") or scope.warehouse.has("response_findings")
    return findings(scope.warehouse, scope.llms) if built else Findings()


def to_markdown(scope: Scope) -> str:
    """The findings as a short text."""
    lines = ["# What stands out", "", " · ".join(f"{value} {name}" for name, value in facts(scope)), ""]
    lines += [simulated(scope), ""] if simulated(scope) else []
    found = found_in(scope)
    lines += [_md(found.family), ""] if found.family else []
    for kind, heading in HEADINGS.items():
        if found.of(kind):
            lines += [f"## {heading}", "", *(f"- **{_md(f.title)}** {_md(f.detail)}".rstrip() for f in found.of(kind)), ""]
    if not found.shown:
        lines += ["Nothing has been compared yet: `bclust build`.", ""]
    if scope.warehouse.has("approval_rates_by_wording", "statistics_settings"):
        wording = settings(scope.warehouse).first_wording
        for prompt_type in prompt_types(scope.warehouse):
            lines += _rates_in_markdown(scope, prompt_type, wording)
    return "\n".join(lines)


def _rates_in_markdown(scope: Scope, prompt_type: str, wording: str) -> list[str]:
    lines = [
        f"## Approval rates: {_md(prompt_type)}, asked as “{_md(wording)}”",
        "",
        "| prompt | language model | approved | 95 % interval | statements decided | groups | answers that decide nothing |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in scope.frame(q.rates(prompt_type, scope.llms, wording)).iter_rows(named=True):
        rate = "–" if r["rate"] is None else f"{100 * r['rate']:.1f} %"
        ends = "–" if r["rate"] is None else f"{100 * r['ci_low']:.1f} to {100 * r['ci_high']:.1f}"
        nothing = r["refused"] + r["unparsable"] + r["errors"]
        who = f"{_md(r['prompt_name'])} | {_md(r['llm_id'])}"
        lines.append(f"| {who} | {rate} | {ends} | {r['n_statements']:,} | {r['n_groups']:,} | {nothing:,} of {r['n']:,} |")
    return [*lines, ""]


def _md(text: object) -> str:
    """Escaped for Markdown and for the HTML that Markdown lets through; ``q < 0.001`` stays readable."""
    marked = "".join(f"\\{c}" if c in "\\`*[]|#!" else c for c in plain(text))
    marked = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", marked)  # within a word it means nothing
    return re.sub(r"<(?! )", "&lt;", marked)


# --- HTML ------------------------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light; --line: #e1e3e8; --faint: #6b7079; --accent: #4d5fd6; }
* { box-sizing: border-box; }
body { font: 15px/1.5 "Source Sans 3", "Source Sans Pro", system-ui, sans-serif; color: #24262b; margin: 0 auto;
  max-width: 1180px; padding: 1.5rem 1.2rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin: 0; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0; }
p.note { color: var(--faint); margin: .1rem 0 .4rem; }
p.notice { background: #eef4ff; padding: .6rem .9rem; border-radius: .4rem; }
nav { position: sticky; top: 0; background: #fffffff2; padding: .5rem 0; z-index: 2; border-bottom: 1px solid var(--line); }
nav a { margin-right: 1rem; color: var(--accent); text-decoration: none; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
.facts div { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .8rem; }
.facts b { display: block; font-size: 1.25rem; font-weight: 600; }
.facts span { color: var(--faint); }
ul.findings { padding: 0; list-style: none; }
ul.findings li { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .9rem; margin: .5rem 0; }
ul.findings span { color: var(--faint); display: block; }
ul.findings.warning li { background: #fff6e0; border-color: #e8c468; }
ul.findings details { margin-top: .3rem; }
ul.findings summary { color: var(--accent); cursor: pointer; }
ul.findings ol li { border: 0; padding: .1rem 0; margin: 0; background: none; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; min-width: 4rem; }
th { background: #f5f6f8; position: sticky; top: 0; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow: auto; max-height: 620px; }
.figure { overflow-x: auto; }
input { font: inherit; padding: .35rem .6rem; border: 1px solid var(--line); border-radius: .4rem; width: min(24rem, 100%);
  margin: .4rem 0; }
"""
FILTER = """
for (const box of document.querySelectorAll("input[data-table]")) {
  const rows = document.getElementById(box.dataset.table).tBodies[0].rows;
  box.addEventListener("input", () => {
    const word = box.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(word);
  });
}
"""
# unsafe-eval: plotly compiles its WebGL programs
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:"
)


def to_html(scope: Scope, *, text: bool = True) -> str:
    """The whole report as one page that needs nothing else."""
    from plotly.offline import get_plotlyjs

    sections: dict[str, list[str]] = {}
    for i, figure in enumerate(figures(scope, text=text)):
        figure.fig.update_layout(font_family=FONT)
        body = figure.fig.to_html(full_html=False, include_plotlyjs=False, config=charts.CONFIG, div_id=f"figure-{i}")
        sections.setdefault(figure.section, []).append(
            f'<h3>{_h(figure.title)}</h3><p class="note">{_h(figure.note)}</p><div class="figure" role="img" '
            f'aria-label="{_h(figure.title)}">{body}</div>'
        )
    sections["Clusters"] = [_cluster_table(scope, kind) for kind in ("response", "statement")]
    sections["Methods"] = [_methods(scope)]
    parts = [f'<h2 id="{_h(name)}">{_h(name)}</h2>' + "".join(body) for name, body in sections.items() if any(body)]
    links = "".join(
        f'<a href="#{_h(name)}">{_h(name)}</a>' for name in ["Findings", *(n for n, body in sections.items() if any(body))]
    )
    cards = "".join(f"<div><b>{_h(value)}</b><span>{_h(name)}</span></div>" for name, value in facts(scope))
    notice = f'<p class="notice">{_h(simulated(scope))}</p>' if simulated(scope) else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        'initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="referrer" content="no-referrer">'
        f"<title>bclust report</title><style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body>"
        f'<h1>How do the language models differ?</h1><nav>{links}</nav><div class="facts">{cards}</div>{notice}'
        f'<h2 id="Findings">What stands out</h2>{_findings_in_html(found_in(scope), text=text)}'
        f"{''.join(parts)}<script>{FILTER}</script></body></html>"
    )


def _findings_in_html(found: Findings, *, text: bool) -> str:
    """The sentences under their headings, with statements to read where texts are wanted."""
    parts = [f'<p class="note">{_h(found.family)}</p>'] if found.family else []
    for kind, heading in HEADINGS.items():
        listed = "".join(_finding_in_html(finding, text=text) for finding in found.of(kind))
        parts += [f'<h3>{_h(heading)}</h3><ul class="findings {kind}">{listed}</ul>'] if listed else []
    return "".join(parts) if found.shown else "<p>Nothing has been compared yet.</p>"


def _finding_in_html(finding: Finding, *, text: bool) -> str:
    statements = "".join(f"<li>{_h(row['statement'])}</li>" for row in finding.statements) if text else ""
    to_read = f"<details><summary>Where it shows most</summary><ol>{statements}</ol></details>" if statements else ""
    return f"<li><b>{_h(finding.title)}</b> <span>{_h(finding.detail)}</span>{to_read}</li>"


def _h(value: object) -> str:
    return html.escape(plain(value))


def _cluster_table(scope: Scope, kind: str) -> str:

    if not scope.warehouse.has(f"{kind}_cluster_themes"):
        return ""
    frame, _ = cluster_rows(scope, kind)
    name = f"clusters-{kind}"
    return (
        f'<h3>Clusters of {kind}s</h3><input type="search" placeholder="filter" aria-label="filter" data-table="{name}">'
        + _table(frame, name)
    )


def _table(frame: pl.DataFrame, name: str) -> str:
    head = "".join(f"<th>{_h(c.replace('_', ' '))}</th>" for c in frame.columns)
    numeric = {c for c, t in frame.schema.items() if t.is_numeric()}
    rows = [
        "<tr>"
        + "".join(
            f'<td class="number">{_number(v, share=c.startswith(SHARE))}</td>'
            if c in numeric
            else f"<td>{_h('' if v is None else v)}</td>"
            for c, v in row.items()
        )
        + "</tr>"
        for row in frame.head(TABLE_ROWS).iter_rows(named=True)
    ]
    more = f'<p class="note">first {TABLE_ROWS} of {len(frame):,}</p>' if len(frame) > TABLE_ROWS else ""
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table id="{_h(name)}">{body}</table></div>{more}'


def _number(value: Any, *, share: bool) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if share else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _methods(scope: Scope) -> str:
    """Language models, prompts, embedders, clusterings, and how the numbers were made."""
    text = (
        "<p>Every language model answered the same statements. Approval rates count the statements decided, with Wilson "
        "intervals. Pairs are compared on the same questions; near-duplicates of a statement count as one. A comparison is the "
        "mean difference of shares, tested by flipping signs, with an interval from the same test; q-values are "
        "Benjamini-Hochberg's over all rows of a table. Two are called alike only where the whole interval lies within the "
        "margin; what is not shown may still be there. Clusters that are compared between language models were fitted on one "
        "half of the statements and tested on the other. A map is a picture, not evidence.</p>"
    )
    for name in ("statistics_settings", "wordings", "llms", "embedders", "clusterings", "approval_prompts"):
        if scope.warehouse.has(name):
            text += f"<h3>{_h(name.replace('_', ' '))}</h3>" + _table(scope.frame(f"from {name}"), f"methods-{name}")
    return text


# --- images and the command ------------------------------------------------------------------------------------


def write_images(scope: Scope, folder: Path, kind: str) -> list[Path]:
    """Every figure as PNG, SVG or PDF, in one browser."""
    try:
        import kaleido
    except ModuleNotFoundError as error:
        raise UsageError("figures as images need kaleido", hint="pip install 'bclust[png]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    jobs, paths = [], []
    for figure in figures(scope):
        figure.fig.update_layout(
            paper_bgcolor=scope.style.ground,
            title={"text": charts.label(figure.title, 90), "x": 0.01, "y": 1, "yanchor": "top", "pad": {"t": 12}},
        )
        figure.fig.update_layout(margin={"t": (figure.fig.layout.margin.t or 30) + 44})
        path = folder / f"{_file_name(figure.name)}.{kind}"
        size = {"width": figure.fig.layout.width or 1100, "height": (figure.fig.layout.height or 600) + 44}
        jobs.append({"fig": figure.fig, "path": str(path), "opts": {"format": kind, "scale": 2 if kind == "png" else 1, **size}})
        paths.append(path)
    if not jobs:
        raise UsageError(
            "there is no figure to write", hint="build something first (bclust build), or take back hide in the report's settings"
        )
    kaleido.write_fig_from_object_sync(jobs)
    return paths


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:100]


def export(warehouse_file: Path, out: Path, kind: str, *, text: bool = True) -> list[Path]:
    """Write the report; returns the files.

    Raises:
        WarehouseError: there is no warehouse.
        UsageError: kaleido is missing, or there is nothing to draw.
    """
    style = charts.style_from_environment(images=kind in IMAGES)
    warehouse = Warehouse(warehouse_file)
    try:
        if kind in IMAGES:
            return write_images(scope_of(warehouse, style), out, kind)
        scope = scope_of(warehouse, style)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(to_markdown(scope) if kind == "md" else to_html(scope, text=text), encoding="utf-8")
        return [out]
    finally:
        warehouse.close()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warehouse", type=Path, default=warehouse_path())
    parser.add_argument("--out", type=Path, required=True, help="a file; for images a folder")
    parser.add_argument("--format", choices=["html", "md", *IMAGES], default="html")
    parser.add_argument("--no-text", action="store_true", help="leave statements and responses out of the maps")
    arguments = parser.parse_args()
    try:
        written = export(arguments.warehouse, arguments.out, arguments.format, text=not arguments.no_text)
    except BclustError as error:
        sys.stderr.write(f"ERROR {error}\n")
        return error.exit_code
    size = sum(path.stat().st_size for path in written)
    amount = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
    sys.stderr.write(f"wrote {written[0] if len(written) == 1 else f'{len(written)} figures to {arguments.out}'} ({amount})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
