"""Shares of clusters, and how they differ between two language models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reports._texts import interval, label, percent, points, small, wrapped
from reports.charts.style import ACCENT, NO_ANSWER, Style, finished

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go
    import polars as pl


def volcano(differences: pl.DataFrame, a: str, b: str, colours: Mapping[str, str], fdr: float, style: Style) -> go.Figure:
    """Effect against evidence: the difference in share of each cluster, and how unlikely it is by chance.

    Args:
        differences: rows (cluster_id, label, difference, ci_low, ci_high, q_value, share_a, share_b, n), difference = a - b.
        a: the language model on the right.
        b: the language model on the left.
        colours: of the language models.
        fdr: clusters with a q-value at or below are coloured.
        style: the look.
    """
    import plotly.graph_objects as go

    found = differences.with_columns(
        height=(-differences["q_value"].fill_null(1.0).clip(lower_bound=1e-40).log(10)),
        strong=differences["q_value"].fill_null(1.0) <= fdr,
    )
    paints = [
        (colours.get(a, ACCENT) if row["difference"] > 0 else colours.get(b, ACCENT)) if row["strong"] else NO_ANSWER
        for row in found.iter_rows(named=True)
    ]
    hover = [
        f"<b>{wrapped(row['label'], 50, 2)}</b><br>{label(a)} {percent(row['share_a'], 1)}, {label(b)} "
        f"{percent(row['share_b'], 1)}"
        f"<br>{points(row['difference'], 1)} ({100 * row['ci_low']:+.1f} to {100 * row['ci_high']:+.1f})<br>q "
        f"{label(small(row['q_value']))}, n = {row['n']:,}"
        for row in found.iter_rows(named=True)
    ]
    fig = go.Figure(
        go.Scatter(
            x=found["difference"],
            y=found["height"],
            mode="markers",
            customdata=found["cluster_id"],
            text=hover,
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            marker={
                "size": [8 + 60 * math.sqrt(max(r["share_a"], r["share_b"], 0)) / 3 for r in found.iter_rows(named=True)],
                "color": paints,
                "opacity": style.alpha or 0.85,
                "line": {"width": 1, "color": style.ground},
            },
        )
    )
    limit = -math.log10(fdr) if fdr > 0 else 12.0
    fig.add_hline(y=limit, line={"dash": "dot", "color": NO_ANSWER, "width": 1})
    fig.add_annotation(
        x=1,
        xref="paper",
        y=limit,
        text=f"q = {fdr:g}",
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        font={"color": NO_ANSWER, "size": 11},
    )
    reach = max([0.02, *(abs(v) for v in found["difference"].to_list())]) * 1.25
    tallest = max([limit, *found["height"].to_list()])
    placed: list[tuple[float, float]] = []
    for row in found.filter(found["strong"]).iter_rows(named=True):
        x, y = row["difference"] / reach, row["height"] / tallest
        if len(placed) < 6 and all(abs(y - v) > 0.08 for _, v in placed):
            placed.append((x, y))
            side = {"xanchor": "right", "xshift": 14} if x > 0 else {"xanchor": "left", "xshift": -14}
            fig.add_annotation(
                x=row["difference"],
                y=row["height"],
                text=label(row["label"], 30),
                showarrow=False,
                yshift=18,
                font={"size": 11, "color": style.text},
                **side,
            )
    fig.update_xaxes(
        title=f"← more {label(b, 20)}      difference in share      more {label(a, 20)} →",
        range=[-reach, reach],
        tickformat="+.0%",
        zeroline=True,
    )
    fig.update_yaxes(title="evidence, −log₁₀ q", rangemode="tozero")
    return finished(fig, style, height=420, dragmode="zoom", margin={"l": 8, "r": 8, "t": 20, "b": 8})


def dumbbell(differences: pl.DataFrame, a: str, b: str, colours: Mapping[str, str], style: Style) -> go.Figure:
    """Share of each cluster in two language models with 95 % intervals, the largest differences first.

    Args:
        differences: rows (cluster_id, label, difference, q_value, share_a, share_b) with a_low, a_high, b_low, b_high
            (NULL: no interval), in drawing order from the top.
        a: first language model.
        b: second language model.
        colours: of the language models.
        style: the look.
    """
    import plotly.graph_objects as go

    rows = differences.reverse()
    names = [f"{label(r['label'], 34)} <span style='opacity:.6'>#{r['cluster_id']}</span>" for r in rows.iter_rows(named=True)]
    y = list(range(len(rows)))
    fig = go.Figure()
    xs: list[float | None] = []
    ys: list[float | None] = []
    for i, row in enumerate(rows.iter_rows(named=True)):
        xs += [row["share_a"], row["share_b"], None]
        ys += [i, i, None]
    fig.add_trace(
        go.Scatter(x=xs, y=ys, mode="lines", line={"color": style.faint, "width": 3}, hoverinfo="skip", showlegend=False)
    )
    for llm, side, shift in [(a, "a", 0.13), (b, "b", -0.13)]:
        share = rows[f"share_{side}"].to_list()
        low, high = rows[f"{side}_low"].to_list(), rows[f"{side}_high"].to_list()
        fig.add_trace(
            go.Scatter(
                x=share,
                y=[v + shift for v in y],
                mode="markers",
                name=label(llm),
                customdata=rows["cluster_id"],
                marker={"size": 10, "color": colours.get(llm, ACCENT)},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "thickness": 1.2,
                    "width": 0,
                    "color": colours.get(llm, ACCENT),
                    "array": [0 if h is None else h - s for h, s in zip(high, share, strict=True)],
                    "arrayminus": [0 if lo is None else s - lo for lo, s in zip(low, share, strict=True)],
                },
                text=[
                    f"{label(llm)}: {interval(s, lo, h, 1)}, q {label(small(q))}"
                    for s, lo, h, q in zip(share, low, high, rows["q_value"], strict=True)
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    fig.update_xaxes(tickformat=".0%", rangemode="tozero", title="share of its responses")
    fig.update_yaxes(tickvals=y, ticktext=names, showgrid=False, zeroline=False, range=[-0.7, len(y) - 0.3])
    return finished(fig, style, height=110 + 26 * max(len(rows), 3))


def forest(differences: pl.DataFrame, a: str, b: str, colours: Mapping[str, str], fdr: float, style: Style) -> go.Figure:
    """Differences with their intervals, one row each; those that are not sure are grey.

    Args:
        differences: rows (label, difference, ci_low, ci_high, q_value, rate_a, rate_b, n), difference = a - b, from the top.
        a: what lies on the right.
        b: what lies on the left.
        colours: of a and b, where they have one.
        fdr: q-value up to which a difference is sure.
        style: the look.
    """
    import plotly.graph_objects as go

    rows = differences.reverse().to_dicts()
    paints = [colours.get(a if r["difference"] > 0 else b, ACCENT) if (r["q_value"] or 0) <= fdr else NO_ANSWER for r in rows]
    fig = go.Figure()
    for y, (row, colour) in enumerate(zip(rows, paints, strict=True)):
        line = {"color": colour, "width": 2}
        fig.add_trace(
            go.Scatter(x=[row["ci_low"], row["ci_high"]], y=[y, y], mode="lines", line=line, hoverinfo="skip", showlegend=False)
        )
    hover = [
        f"<b>{label(r['label'])}</b><br>{label(a)} {percent(r['rate_a'])}, {label(b)} {percent(r['rate_b'])}"
        f"<br>{points(r['difference'])} ({100 * r['ci_low']:+.0f} to {100 * r['ci_high']:+.0f})"
        f"<br>q {label(small(r['q_value']))}, n = {r['n']:,}"
        for r in rows
    ]
    fig.add_trace(
        go.Scatter(
            x=[r["difference"] for r in rows],
            y=list(range(len(rows))),
            mode="markers",
            marker={"size": 10, "color": paints},
            text=hover,
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    )
    fig.update_xaxes(title=f"← more {label(b, 20)}      difference      more {label(a, 20)} →", tickformat="+.0%", zeroline=True)
    ticks = {"tickvals": list(range(len(rows))), "ticktext": [label(r["label"], 40) for r in rows]}
    fig.update_yaxes(showgrid=False, zeroline=False, range=[-0.7, len(rows) - 0.3], **ticks)
    return finished(fig, style, height=90 + 26 * max(len(rows), 3), margin={"l": 8, "r": 8, "t": 10, "b": 8})
