"""All networks at once as parallel coordinates. No streamlit here.

Drawn as usual lines: plotly's own kind puts white shadows behind its numbers, which a dark page cannot bear, and has no
names to hover over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from pages.compare.charts import AXES
from pages.compare.measured import Row, value
from pages.ui import charts, measured, numbers, theme
from pages.ui.language import _, ngettext, said
from pages.ui.literal import plotted
from pruning_core.zoo import ModelRef

WORTH = "worth"  # by what the networks are judged by
WRITTEN: dict[str, Callable[[float], str]] = {
    "macs": numbers.count,
    "parameters": numbers.count,
    "size_bytes": numbers.size_bytes,
    "latency": numbers.milliseconds,
}


def complete(rows: Sequence[Row]) -> list[Row]:
    """Those of which everything is measured."""
    return [row for row in rows if row.accuracy is not None and row.latency is not None]


def figure(rows: Sequence[Row], key: str, pinned: ModelRef, other: ModelRef) -> go.Figure:
    """A line per network through its costs and its value of the measure ``key``, each axis from the least to the most.

    ``rows`` are complete. The two that are compared have colours of their own and are drawn last.
    """
    shown = sorted(rows, key=lambda row: (row.node.model == pinned) + 2 * (row.node.model == other))
    alt = ngettext("Costs and worth of {n} network as one line.", "Costs and worth of {n} networks, a line each.",
                   len(shown)).format(n=len(shown))  # fmt: skip
    drawn = charts.blank(alt, height=360, x_title="", y_title="")
    written = {**WRITTEN, WORTH: lambda number: measured.written(key, number)}
    axes = {axis: [_value(row, axis) for row in shown] for axis in written}
    places = range(len(axes))
    for at in places:
        drawn.add_vline(x=at, line={"color": theme.GRID, "width": 1})
    for number, row in enumerate(shown):
        chosen = row.node.model in (pinned, other)
        colour = theme.CUT if row.node.model == other else theme.ACCENT if chosen else theme.NEUTRAL
        drawn.add_scatter(
            x=list(places),
            y=[_place(values, number) for values in axes.values()],
            mode="lines+markers",
            name=plotted(row.node.label),
            showlegend=chosen,
            opacity=1.0 if chosen else 0.6,
            line={"color": colour, "width": 3 if chosen else 1.5},
            marker={"color": colour, "size": 8 if chosen else 6,
                    "symbol": "diamond" if row.node.model == pinned else "circle"},
            customdata=[written[axis](values[number]) for axis, values in axes.items()],
            hovertemplate="%{customdata}<extra>" + plotted(row.node.label) + "</extra>",
        )  # fmt: skip
    for at, (axis, values) in enumerate(axes.items()):
        for end, least in ((1.0, max(values)), (0.0, min(values))):
            drawn.add_annotation(
                x=at, y=end, text=written[axis](least).replace(numbers.THIN, " "), showarrow=False,
                yshift=14 if end else -14, font={"size": 12, "color": theme.NEUTRAL},
            )  # fmt: skip
    titles = [_(title) for title in AXES.values()] + [said(measured.axis_title(key))]
    drawn.update_xaxes(tickvals=list(places), ticktext=titles, range=[-0.4, len(axes) - 0.6], showgrid=False)
    drawn.update_yaxes(visible=False, range=[-0.15, 1.15])
    return drawn


def _value(row: Row, axis: str) -> float:
    found = row.accuracy.top1 if axis == WORTH and row.accuracy else value(row, axis)
    assert found is not None  # the row is complete
    return found


def _place(values: Sequence[float], at: int) -> float:
    """0 for the least and 1 for the most; in the middle where all are one."""
    low, high = min(values), max(values)
    return (values[at] - low) / (high - low) if high > low else 0.5
