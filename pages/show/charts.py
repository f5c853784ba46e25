"""Every size as a point: what it costs and what it gets right. No streamlit here."""

from __future__ import annotations

import plotly.graph_objects as go

from pages.ui import charts, numbers, theme
from pages.ui.language import _
from pages.ui.sizes import Sizes


def front(found: Sizes, chosen: int) -> go.Figure:
    """Accuracy with its interval against the work of one image; the size in view is marked."""
    sizes = found.sizes
    alt = _(
        "Accuracy against MACs at {n} sizes, from {first} for the whole network to {last} for the smallest."
    ).format(n=len(sizes), first=numbers.percent(sizes[0].accuracy.top1), last=numbers.percent(sizes[-1].accuracy.top1))
    figure = charts.blank(alt, height=300, x_title=_("MACs of one image"), y_title=_("Top-1 accuracy, test images"))
    figure.add_scatter(
        x=[each.macs for each in sizes],
        y=[each.accuracy.top1 for each in sizes],
        mode="lines+markers",
        line={"color": theme.ACCENT, "width": 2},
        marker={
            "color": [theme.CUT if at == chosen else theme.ACCENT for at in range(len(sizes))],
            "size": [14 if at == chosen else 8 for at in range(len(sizes))],
            "symbol": ["diamond" if at == chosen else "circle" for at in range(len(sizes))],
        },
        error_y={
            "type": "data",
            "array": [each.accuracy.high - each.accuracy.top1 for each in sizes],
            "arrayminus": [each.accuracy.top1 - each.accuracy.low for each in sizes],
            "color": theme.faded(theme.NEUTRAL, 0.8),
            "thickness": 1.2,
            "width": 4,
        },
        customdata=[
            f"{numbers.accuracy_text(each.accuracy.top1, each.accuracy.low, each.accuracy.high)}<br>"
            + _("{n} MACs, {time}").format(
                n=numbers.count(each.macs), time=numbers.milliseconds(each.latency.median_ms)
            )
            for each in sizes
        ],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(tickformat=theme.PERCENT)
    return figure
