"""Maps: every text a point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports._texts import label
from reports.charts.style import Style, finished, mixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go
    import polars as pl

RASTER, SHADES = (420, 320), 4


@dataclass(frozen=True)
class Category:
    """One colour of a map and what it stands for."""

    name: str
    colour: str


def point_map(
    points_: pl.DataFrame,
    categories: Sequence[Category],
    style: Style,
    centres: pl.DataFrame | None = None,
    height: int = 560,
    *,
    webgl: bool = True,
) -> go.Figure:
    """A map, as one shuffled WebGL trace a facet, so that no category is painted over the others.

    Args:
        points_: rows (row, x, y, code, facet, hover): ``row`` is what a click returns; ``code`` is the place in
            ``categories``, -1 for what is faded out; ``facet`` and ``hover`` may be missing.
        categories: colours and names.
        centres: rows (x, y, label, n) of cluster labels to write on the map.
        style: the look.
        height: pixels of one row of facets.
        webgl: drawn by the graphics card; a page with many maps had better draw small ones without, since browsers
            allow few WebGL canvases.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    facets = points_["facet"].unique(maintain_order=True).sort().to_list() if "facet" in points_.columns else [None]
    columns = min(len(facets), 3 if len(facets) != 4 else 2)
    rows = -(-len(facets) // max(columns, 1))
    titles = [label(f, 48) for f in facets] if facets != [None] else None
    fig = make_subplots(
        rows=rows, cols=columns, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.06 if rows > 1 else 0
    )
    size = (
        math.sqrt(style.marker_size)
        if style.marker_size
        else min(max(13.5 - 2.3 * math.log10(len(points_) / len(facets) + 1), 3.0), 9.0)
    )
    for i, facet in enumerate(facets):
        part = points_ if facet is None else points_.filter(points_["facet"] == facet)
        fig.add_trace(_points_trace(part, size, style, webgl=webgl), row=i // columns + 1, col=i % columns + 1)
    for category in categories if len(categories) <= 14 else []:
        # a trace with no point, since one trace with many colours has no legend of its own
        marker = {"color": category.colour, "size": 10}
        fig.add_trace(
            go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=label(category.name, 36), hoverinfo="skip")
        )
    for i in range(len(facets)):
        fig.update_yaxes(scaleanchor=f"x{i + 1 if i else ''}", row=i // columns + 1, col=i % columns + 1)
    if len(facets) > 1:
        fig.update_xaxes(matches="x")
        fig.update_yaxes(matches="y")
    fig.update_xaxes(visible=False, showgrid=False, zeroline=False)
    fig.update_yaxes(visible=False, showgrid=False, zeroline=False)
    if centres is not None and facets == [None]:
        _write_centres(fig, centres, style)
    tall = height if rows == 1 else round(height * 0.72) * rows
    return finished(
        fig,
        style,
        height=tall,
        dragmode="select",
        uirevision="map",
        free=True,
        margin={"l": 0, "r": 0, "t": 56 if titles else 30, "b": 0},
        coloraxis={
            "colorscale": steps([style.faint, *(c.colour for c in categories)]),
            "cmin": -1.5,
            "cmax": len(categories) - 0.5,
            "showscale": False,
        },
        legend={"itemclick": False, "itemdoubleclick": False, "y": 1.05 if titles else 1.01},
    )


def density_map(
    points_: pl.DataFrame, categories: Sequence[Category], style: Style, centres: pl.DataFrame | None = None, height: int = 560
) -> go.Figure:
    """A map of very many points as a raster: each cell has the colour of its most frequent category, stronger where there
    are more points. Arguments as ``point_map``; facets are drawn together."""
    import numpy as np
    import plotly.graph_objects as go

    x, y, code = points_["x"].to_numpy(), points_["y"].to_numpy(), points_["code"].to_numpy().astype(np.int64)
    x_edges, y_edges = np.linspace(x.min(), x.max(), RASTER[0] + 1), np.linspace(y.min(), y.max(), RASTER[1] + 1)
    counts = np.stack([np.histogram2d(y[code == k], x[code == k], (y_edges, x_edges))[0] for k in range(-1, len(categories))])
    total = counts.sum(axis=0)
    shades = np.clip(np.ceil(SHADES * np.log1p(total) / np.log1p(max(np.quantile(total[total > 0], 0.98), 1))), 1, SHADES) - 1
    z = np.where(total > 0, counts.argmax(axis=0) * SHADES + shades, np.nan).astype(np.float32)
    colours = [
        mixed(c, style.ground, 0.35 + 0.65 * s / (SHADES - 1))
        for c in (style.faint, *(k.colour for k in categories))
        for s in range(SHADES)
    ]
    fig = go.Figure(
        go.Heatmap(
            z=z,
            x=(x_edges[1:] + x_edges[:-1]) / 2,
            y=(y_edges[1:] + y_edges[:-1]) / 2,
            colorscale=steps(colours),
            zmin=-0.5,
            zmax=len(colours) - 0.5,
            showscale=False,
            hoverinfo="skip",
        )
    )
    for category in categories if len(categories) <= 14 else []:
        marker = {"color": category.colour, "size": 10}
        fig.add_trace(
            go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=label(category.name, 36), hoverinfo="skip")
        )
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False, scaleanchor="x")
    if centres is not None:
        _write_centres(fig, centres, style)
    legend = {"itemclick": False, "itemdoubleclick": False}
    return finished(
        fig,
        style,
        height=height,
        dragmode="select",
        uirevision="map",
        free=True,
        margin={"l": 0, "r": 0, "t": 30, "b": 0},
        legend=legend,
    )


def _points_trace(part: pl.DataFrame, size: float, style: Style, *, webgl: bool) -> go.Scattergl | go.Scatter:
    import numpy as np
    import plotly.graph_objects as go

    faded = part["code"].to_numpy() < 0
    order = np.argsort(~faded, kind="stable")  # what is faded lies below
    part = part[order]
    text = part["hover"].to_list() if "hover" in part.columns else None
    opacity = style.alpha or (0.85 if len(part) <= 5000 else 0.7)
    trace = go.Scattergl if webgl else go.Scatter
    return trace(
        x=part["x"].to_numpy().astype(np.float32),
        y=part["y"].to_numpy().astype(np.float32),
        mode="markers",
        customdata=part["row"].to_numpy().astype(np.int32),
        text=text,
        hovertemplate="%{text}<extra></extra>" if text else None,
        hoverinfo=None if text else "skip",
        marker={
            "size": size,
            "color": part["code"].to_numpy().astype(np.int16),
            "coloraxis": "coloraxis",
            "opacity": opacity,
            "line": {"width": 0},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.15}},
        showlegend=False,
    )


def steps(colours: Sequence[str]) -> list[list[Any]]:
    """A scale of equal steps; its last stop is exactly 1, without which plotly draws nothing."""
    n = len(colours)
    scale = [[edge, colour] for i, colour in enumerate(colours) for edge in (i / n, (i + 1) / n)]
    scale[-1][0] = 1.0
    return scale


def _write_centres(fig: go.Figure, centres: pl.DataFrame, style: Style) -> None:
    """Names at the middles of the largest clusters; one that would lie on another is left out."""
    import numpy as np

    if centres.is_empty():
        return
    wide, high = (float(np.ptp(centres[axis].to_numpy())) or 1.0 for axis in ("x", "y"))
    placed: list[tuple[float, float]] = []
    for row in centres.sort("n", descending=True).iter_rows(named=True):
        if len(placed) >= 18 or any(abs(row["x"] - x) < 0.24 * wide and abs(row["y"] - y) < 0.06 * high for x, y in placed):
            continue
        placed.append((row["x"], row["y"]))
        fig.add_annotation(
            x=row["x"],
            y=row["y"],
            text=label(row["label"], 30),
            showarrow=False,
            captureevents=False,
            font={"size": (style.font_size or 12) - 1, "color": style.text},
            bgcolor=_veil(style),
            borderpad=2,
        )


def _veil(style: Style) -> str:
    return "rgba(22,24,29,.72)" if style.dark else "rgba(255,255,255,.78)"
