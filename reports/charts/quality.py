"""Calls: how many, how dear, how slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports._texts import label
from reports.charts.style import ACCENT, Style, finished

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go
    import polars as pl


def amounts(
    frame: pl.DataFrame,
    name: str,
    value: str,
    colours: Mapping[str, str],
    style: Style,
    *,
    tickformat: str = ",",
    title: str = "",
) -> go.Figure:
    """Horizontal bars of one amount per name (a language model, a function)."""
    import plotly.graph_objects as go

    rows = frame.reverse()
    fig = go.Figure(
        go.Bar(
            y=[label(v, 30) for v in rows[name]],
            x=rows[value],
            orientation="h",
            marker={"color": [colours.get(v, ACCENT) for v in rows[name]]},
            texttemplate=f"%{{x:{tickformat}}}",
            textposition="auto",
            hovertemplate=f"%{{y}}: %{{x:{tickformat}}}<extra></extra>",
        )
    )
    fig.update_xaxes(tickformat=tickformat, title=title or None)
    fig.update_yaxes(showgrid=False)
    return finished(fig, style, height=90 + 34 * max(len(rows), 2), margin={"l": 8, "r": 8, "t": 10, "b": 8})


def latency(frame: pl.DataFrame, colours: Mapping[str, str], style: Style) -> go.Figure:
    """How long calls took per language model: median, middle half, 95th percentile (rows: llm_id, p25, p50, p75, p95 in ms)."""
    import plotly.graph_objects as go

    rows = frame.reverse()
    names = [label(v, 30) for v in rows["llm_id"]]
    fig = go.Figure()
    for i, row in enumerate(rows.iter_rows(named=True)):
        colour = colours.get(row["llm_id"], ACCENT)
        fig.add_trace(
            go.Scatter(
                x=[row["p50"], row["p95"]],
                y=[names[i]] * 2,
                mode="lines",
                line={"color": colour, "width": 1.5},
                hoverinfo="skip",
                showlegend=False,
            )
        )
        fig.add_trace(
            go.Scatter(
                x=[row["p25"], row["p75"]],
                y=[names[i]] * 2,
                mode="lines",
                line={"color": colour, "width": 9},
                hoverinfo="skip",
                showlegend=False,
                opacity=0.55,
            )
        )
        fig.add_trace(
            go.Scatter(
                x=[row["p50"], row["p95"]],
                y=[names[i]] * 2,
                mode="markers",
                marker={"color": colour, "size": [12, 7]},
                showlegend=False,
                text=[f"median {row['p50']:,.0f} ms", f"95 % under {row['p95']:,.0f} ms"],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    fig.update_xaxes(title="ms a call: middle half, median, 95th percentile", rangemode="tozero")
    fig.update_yaxes(showgrid=False)
    return finished(fig, style, height=90 + 34 * max(len(rows), 2), margin={"l": 8, "r": 8, "t": 10, "b": 8})
