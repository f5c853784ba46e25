"""The tree of networks, their front, and what they confuse. No streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from pages.compare.measured import Row, value
from pages.compare.tree import Node
from pages.ui import charts, measured, theme
from pages.ui.language import N_, _, said
from pages.ui.literal import distinct, plotted
from pruning_core.zoo import ModelRef

POINTS = "networks"  # the trace that takes the clicks
AXES = {
    "macs": N_("MACs of one image"),
    "parameters": N_("Parameters"),
    "size_bytes": N_("Bytes"),
    "latency": N_("Latency (ms)"),
}
ROW = 34


def tree(nodes: Sequence[Node], pinned: ModelRef, other: ModelRef) -> go.Figure:
    """One row per network, further right the more was done to it; on each edge what was done."""
    alt = _("A tree of {n} networks made from {label}.").format(n=len(nodes), label=nodes[0].label)
    figure = charts.blank(alt, height=60 + ROW * len(nodes), x_title="", y_title="")
    at = {node.model: node for node in nodes}
    for node in nodes:
        if node.parent is None or node.parent not in at:
            continue
        parent = at[node.parent]
        figure.add_scatter(
            x=[parent.depth, parent.depth, node.depth], y=[parent.row, node.row, node.row], mode="lines",
            line={"color": theme.faded(theme.NEUTRAL, 0.7), "width": 1.5}, hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_annotation(
            x=(parent.depth + node.depth) / 2, y=node.row, text=plotted(node.operation), showarrow=False, yshift=9,
            font={"size": 11, "color": theme.NEUTRAL},
        )  # fmt: skip
    figure.add_scatter(
        x=[node.depth for node in nodes],
        y=[node.row for node in nodes],
        mode="markers+text",
        name=POINTS,
        text=[f" {_short(node)}{_(' (pinned)') if node.model == pinned else ''}" for node in nodes],
        textposition="middle right",
        cliponaxis=False,
        marker={
            "size": [15 if node.model in (pinned, other) else 10 for node in nodes],
            "symbol": ["diamond" if node.model == pinned else "circle" for node in nodes],
            "color": [theme.CUT if node.model == other else theme.ACCENT for node in nodes],
        },
        hovertext=[plotted(node.label) for node in nodes],
        hoverinfo="text",
        showlegend=False,
    )
    deepest = max(node.depth for node in nodes)
    figure.update_xaxes(visible=False, range=[-0.15, deepest + 1.1])
    figure.update_yaxes(visible=False, range=[len(nodes) - 0.4, -0.6])
    return figure


def _short(node: Node) -> str:
    """What the edge does not say already."""
    return plotted(node.label if node.parent is None else node.label.rpartition(", ")[2])


def front(rows: Sequence[Row], axis: str, key: str, best: set[int], pinned: ModelRef, other: ModelRef) -> go.Figure:
    """The value of the measure ``key`` with its interval against ``axis``; the line joins those that none beats."""
    shown = [
        (row, row.accuracy, cost, at in best)
        for at, row in enumerate(rows)
        if row.accuracy is not None and (cost := value(row, axis)) is not None
    ]
    alt = _("{measure} of {n} networks against {axes}; {n_2} of them are beaten by none.").format(
        measure=said(measured.measure(key).title), n=len(shown), axes=_(AXES[axis]), n_2=len(best)
    )
    beside = _("{measure}, test images").format(measure=said(measured.axis_title(key)))
    figure = charts.blank(alt, height=380, x_title=_(AXES[axis]), y_title=beside)
    line = sorted((cost, accuracy.top1) for row, accuracy, cost, top in shown if top)
    figure.add_scatter(
        x=[cost for cost, top1 in line], y=[top1 for cost, top1 in line], mode="lines", name=_("beaten by none"),
        line={"color": theme.ACCENT, "width": 2, "shape": "hv"}, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=[cost for row, accuracy, cost, top in shown],
        y=[accuracy.top1 for row, accuracy, cost, top in shown],
        mode="markers",
        name=POINTS,
        showlegend=False,
        marker={
            "color": [theme.CUT if row.node.model == other else theme.ACCENT if top else theme.NEUTRAL
                      for row, accuracy, cost, top in shown],
            "symbol": ["diamond" if row.node.model == pinned else "circle" for row, *_ in shown],
            "size": [14 if row.node.model in (pinned, other) else 9 for row, *_ in shown],
        },
        error_y={
            "type": "data",
            "array": [accuracy.high - accuracy.top1 for row, accuracy, cost, top in shown],
            "arrayminus": [accuracy.top1 - accuracy.low for row, accuracy, cost, top in shown],
            "color": theme.faded(theme.NEUTRAL, 0.7),
            "thickness": 1.1,
            "width": 3,
        },
        error_x=_spread([row for row, *_ in shown]) if axis == "latency" else None,
        hovertext=[
            f"{plotted(row.node.label)}<br>{plotted(measured.text(accuracy))}"
            for row, accuracy, cost, top in shown
        ],
        hoverinfo="text",
    )  # fmt: skip
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(tickformat=measured.ticks(key))
    return figure


def _spread(rows: Sequence[Row]) -> dict[str, object]:
    """From the 10th to the 90th percentile of the passes."""
    times = [row.latency for row in rows if row.latency is not None]
    return {
        "type": "data",
        "array": [each.p90_ms - each.median_ms for each in times],
        "arrayminus": [each.median_ms - each.p10_ms for each in times],
        "color": theme.faded(theme.NEUTRAL, 0.7),
        "thickness": 1.1,
        "width": 3,
    }


def confusion(counts: NDArray[np.int64], classes: Sequence[str], who: str) -> go.Figure:
    """Rows are the right classes. What is right has no colour, so that mistakes are seen; counts are printed."""
    names = distinct(classes)
    mistakes = counts.astype(float)
    np.fill_diagonal(mistakes, np.nan)
    alt = _("What {who} confuses: {nansum} mistakes in {sum} images.").format(
        who=who, nansum=int(np.nansum(mistakes)), sum=int(counts.sum())
    )
    side = 26 * len(names)
    figure = charts.blank(alt, height=max(260, 110 + side), x_title=_("Said"), y_title=_("Right"))
    printed = len(names) <= 20
    figure.add_heatmap(
        z=mistakes,
        x=names,
        y=names,
        text=counts if printed else None,
        texttemplate="%{text}" if printed else None,
        zmin=0,
        zmax=max(1.0, float(np.nan_to_num(mistakes).max(initial=0.0))),  # no mistake has no colour of one
        showscale=False,
        hovertemplate=_("%{y}, said %{x}: %{z} images") + "<extra></extra>",
        xgap=1,
        ygap=1,
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure
