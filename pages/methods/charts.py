"""Figures of a running method. No streamlit here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from pages.methods.frames import Seen
from pages.ui import charts, measured, theme
from pages.ui.language import _, said
from pruning_core.measuring.measures import TOP1, Accuracy

HEIGHT = 240


@dataclass(frozen=True)
class Point:
    """What one run reached; ``chance``: it was a cut by chance."""

    label: str
    chance: bool
    accuracy: Accuracy


def beside(points: Sequence[Point]) -> go.Figure:
    """One row for each run, best first, with its interval; behind them the band from the worst to the best chance."""
    key = points[0].accuracy.measure if points else TOP1
    judged = measured.measure(key)
    ordered = sorted((each for each in points if not each.chance), key=lambda each: -judged.better(each.accuracy.top1))
    lucky = [each.accuracy.top1 for each in points if each.chance]
    best = (
        _("; best {label} with {value}").format(label=ordered[0].label, value=measured.value(ordered[0].accuracy))
        if ordered
        else ""
    )
    span = (
        _("{low} to {high}").format(low=measured.written(key, min(lucky)), high=measured.written(key, max(lucky)))
        if lucky
        else ""
    )
    band = _("; cuts by chance reached {span}").format(span=span) if lucky else ""
    figure = charts.blank(
        _("Test {named_in} of {n} runs{best}{band}.").format(
            named_in=measured.named_in(key), n=len(ordered), best=best, band=band
        ),
        height=80 + charts.ROW_PX * max(3, len(ordered)),
        x_title=_("{axis_title} in the end, test images").format(axis_title=measured.axis_title(key)),
        y_title="",
    )
    if lucky:
        figure.add_vrect(x0=min(lucky), x1=max(lucky), fillcolor=theme.faded(theme.NEUTRAL, 0.3), line_width=0)
        figure.add_vline(x=sum(lucky) / len(lucky), line={"color": theme.NEUTRAL, "width": 1, "dash": "dot"})
    figure.add_scatter(
        x=[each.accuracy.top1 for each in ordered],
        y=[each.label for each in ordered],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [each.accuracy.high - each.accuracy.top1 for each in ordered],
            "arrayminus": [each.accuracy.top1 - each.accuracy.low for each in ordered],
            "color": theme.ACCENT,
            "thickness": 1.5,
        },
        mode="markers",
        marker={"color": theme.ACCENT, "size": 8},
        text=[measured.text(each.accuracy) for each in ordered],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(tickformat=measured.ticks(key))
    charts.rows(figure, [each.label for each in ordered])
    return figure


def watch(seen: Seen) -> go.Figure:
    """A line over epochs; or the histogram of the last epoch over that of the first one."""
    if seen.values[-1].low is None:
        return _line(seen)
    first, last = seen.values[0], seen.values[-1]
    figure = charts.blank(
        _("{title} during “{phase}”: a histogram at epoch {epochs} over that at epoch {epochs_2}.").format(
            title=said(seen.watch.title), phase=said(seen.phase), epochs=seen.epochs[-1], epochs_2=seen.epochs[0]
        ),
        height=HEIGHT,
        x_title=f"{said(seen.watch.title)} ({said(seen.watch.unit)})",
        y_title=_("Count"),
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
            name=_("epoch {n}").format(n=epoch),
            hovertemplate="%{x:.3g}: %{y:.0f}",
        )
    figure.update_layout(barmode="overlay", showlegend=True)
    return figure


def _line(seen: Seen) -> go.Figure:
    share = seen.watch.unit == "share"
    values = [each.values[0] for each in seen.values]
    figure = charts.blank(
        _("{title} during “{phase}”: {values:.3g} at epoch {epochs}, {values_2:.3g} at epoch {epochs_2}.").format(
            title=said(seen.watch.title),
            phase=said(seen.phase),
            values=values[0],
            epochs=seen.epochs[0],
            values_2=values[-1],
            epochs_2=seen.epochs[-1],
        ),
        height=HEIGHT,
        x_title=_("Epoch of this training"),
        y_title=said(seen.watch.unit),
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
    figure.update_yaxes(rangemode="tozero", tickformat=theme.PERCENT if share else None)
    return figure
