"""Figures of a running method. No streamlit here."""

from __future__ import annotations

import plotly.graph_objects as go

from pages.methods.frames import Seen
from pages.ui import charts, theme

HEIGHT = 240


def watch(seen: Seen) -> go.Figure:
    """A line over epochs; or the histogram of the last epoch over that of the first one."""
    if seen.values[-1].low is None:
        return _line(seen)
    first, last = seen.values[0], seen.values[-1]
    figure = charts.blank(
        f"{seen.watch.title} during “{seen.phase}”: a histogram at epoch {seen.epochs[-1]} over that at epoch "
        f"{seen.epochs[0]}.",
        height=HEIGHT,
        x_title=f"{seen.watch.title} ({seen.watch.unit})",
        y_title="Count",
    )
    for values, epoch, color in (
        (first, seen.epochs[0], theme.faded(theme.NEUTRAL, 0.4)),
        (last, seen.epochs[-1], theme.faded(theme.ACCENT, 0.75)),
    ):
        assert values.low is not None and values.high is not None
        width = (values.high - values.low) / len(values.values)
        figure.add_bar(
            x=[values.low + (i + 0.5) * width for i in range(len(values.values))],
            y=values.values,
            width=width,
            marker={"color": color, "line": {"width": 0}},
            name=f"epoch {epoch}",
            hovertemplate="%{x:.3g}: %{y:.0f}",
        )
    figure.update_layout(barmode="overlay", showlegend=True)
    return figure


def _line(seen: Seen) -> go.Figure:
    share = seen.watch.unit == "share"
    values = [each.values[0] for each in seen.values]
    figure = charts.blank(
        f"{seen.watch.title} during “{seen.phase}”: {values[0]:.3g} at epoch {seen.epochs[0]}, {values[-1]:.3g} at "
        f"epoch {seen.epochs[-1]}.",
        height=HEIGHT,
        x_title="Epoch of this training",
        y_title=f"{seen.watch.unit}",
    )
    figure.add_scatter(
        x=seen.epochs,
        y=values,
        mode="lines+markers",
        name=seen.watch.title,
        line={"color": theme.ACCENT, "width": 2},
        marker={"color": theme.ACCENT, "size": 7},
        showlegend=False,
    )
    figure.update_yaxes(rangemode="tozero", tickformat=".0%" if share else None)
    return figure
