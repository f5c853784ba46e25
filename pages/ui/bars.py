"""Bars and points for a few measured numbers. No streamlit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from pages.ui import charts, theme

TITLE = 30  # characters of a title below bars, in a line


def bars(
    names: Sequence[str],
    values: Sequence[float],
    *,
    alt: str,
    x_title: str,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    marked: Sequence[bool] | None = None,
    percent: bool = False,
) -> go.Figure:
    """One bar for each name, from top to bottom; `low` and `high` are ends of intervals, marked ones are orange."""
    told = ", ".join(f"{name} {value:.3g}" for name, value in zip(names, values))
    title = textwrap.wrap(x_title, TITLE)  # as wide as a narrow page has room for
    height = 62 + 18 * len(title) + 30 * len(names)
    figure = charts.blank(f"{alt} {told}.", height=height, x_title="<br>".join(title), y_title="")
    figure.add_bar(
        y=list(names),
        x=list(values),
        orientation="h",
        marker={
            "color": [theme.CUT if mark else theme.ACCENT for mark in marked or [False] * len(names)],
            "pattern": {"shape": ["/" if mark else "" for mark in marked or [False] * len(names)]},
        },
        error_x=None
        if low is None or high is None
        else {
            "type": "data",
            "array": [top - value for top, value in zip(high, values)],
            "arrayminus": [value - bottom for bottom, value in zip(low, values)],
            "thickness": 1.5,
        },
        hovertemplate="%{y}: %{x:.3g}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(tickformat=theme.PERCENT if percent else None, rangemode="tozero")
    charts.rows(figure, list(names))
    return figure


def points(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    *,
    alt: str,
    x_title: str,
    y_title: str,
    x_percent: bool = False,
    y_percent: bool = False,
    named: bool = False,
) -> go.Figure:
    """A point for each name; with ``named`` each has a symbol of its own, and its name stands above."""
    figure = charts.blank(alt, height=340, x_title=x_title, y_title=y_title)
    hover = "%{hovertext}: %{x:.3g}, %{y:.3g}<extra></extra>"
    if not named:
        figure.add_scatter(x=list(x), y=list(y), mode="markers", marker={"size": 10, "color": theme.ACCENT},
                           hovertext=list(names), hovertemplate=hover, showlegend=False)  # fmt: skip
    for index, (name, across, up) in enumerate(zip(names, x, y) if named else ()):  # words beside points would collide
        figure.add_scatter(
            x=[across], y=[up], mode="markers", name=name, hovertext=[name], hovertemplate=hover, showlegend=True,
            marker={"size": 11, "color": theme.color(index), "symbol": theme.SYMBOLS[index % len(theme.SYMBOLS)]},
        )  # fmt: skip
    figure.update_xaxes(tickformat=theme.PERCENT if x_percent else None)
    figure.update_yaxes(tickformat=theme.PERCENT if y_percent else None)
    return figure
