"""Every size as a point: what it costs and what its outputs are worth. No streamlit here."""

from __future__ import annotations

import plotly.graph_objects as go

from pages.ui import charts, measured, numbers, theme
from pages.ui.language import _, said
from pages.ui.sizes import Sizes


def front(found: Sizes, chosen: int) -> go.Figure:
    """The value of the measure with its interval against the work of one image; the size in view is marked."""
    sizes, key = found.sizes, found.whole.accuracy.measure
    title = _("Accuracy") if found.of_classes else said(measured.measure(key).title)
    alt = _(
        "{measure} against MACs at {n} sizes, from {first} for the whole network to {last} for the smallest."
    ).format(
        measure=title, n=len(sizes), first=measured.value(sizes[0].accuracy), last=measured.value(sizes[-1].accuracy)
    )
    beside = _("{measure}, test images").format(measure=said(measured.axis_title(key)))
    figure = charts.blank(alt, height=300, x_title=_("MACs of one image"), y_title=beside)
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
            f"{measured.text(each.accuracy)}<br>"
            + _("{n} MACs, {time}").format(
                n=numbers.count(each.macs), time=numbers.milliseconds(each.latency.median_ms)
            )
            for each in sizes
        ],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(tickformat=measured.ticks(key))
    return figure
