"""Figures as pure functions from polars frames to plotly figures: the app, the HTML export and the tests share them.

One colour per language model everywhere; approved blue, disapproved red, no answer grey. Every label is escaped, since
plotly makes links of what a language model wrote.
"""

from reports._texts import label
from reports.charts.approvals import agreement_heatmap, diverging_bars, flips, rate_dots, rate_heatmap
from reports.charts.comparison import dumbbell, forest, volcano
from reports.charts.hierarchy import boxes, dendrogram
from reports.charts.maps import Category, density_map, point_map
from reports.charts.quality import amounts, latency
from reports.charts.style import (
    APPROVED,
    CONFIG,
    DISAPPROVED,
    NO_ANSWER,
    Style,
    amount_scale,
    llm_colours,
    many_colours,
    paint,
    rate_scale,
    style_from_environment,
)

__all__ = [
    "APPROVED",
    "CONFIG",
    "DISAPPROVED",
    "NO_ANSWER",
    "Category",
    "Style",
    "agreement_heatmap",
    "amount_scale",
    "amounts",
    "boxes",
    "dendrogram",
    "density_map",
    "diverging_bars",
    "dumbbell",
    "flips",
    "forest",
    "label",
    "latency",
    "llm_colours",
    "many_colours",
    "paint",
    "point_map",
    "rate_dots",
    "rate_heatmap",
    "rate_scale",
    "style_from_environment",
    "volcano",
]
