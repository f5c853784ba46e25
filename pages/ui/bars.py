"""Bars and points for a few measured numbers. No streamlit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from pages.ui import charts, theme

TITLE, NAME = 30, 26  # characters in a line, of a title below bars, and of the name of one
FAR, ROOM = 1.6, 1.4  # of the longest other bar: how far the axis goes; and what it has for words behind a bar


def bars(
    names: Sequence[str],
    values: Sequence[float],
    *,
    alt: str,
    x_title: str,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    marked: Sequence[bool] | None = None,
    quiet: Sequence[bool] | None = None,
    percent: bool = False,
    told: Sequence[str] | None = None,
) -> go.Figure:
    """One bar for each name, from top to bottom; `low` and `high` are ends of intervals.

    Marked ones are orange, quiet ones grey. `told`: what is written at the ends of the bars. With it a bar that is so
    long that it would press the others together runs out of the figure, and what is written says how far.
    """
    names = [_in_lines(name) for name in names]
    end = _axis_end(values, high or values) if told else None
    looks = zip(marked or [False] * len(names), quiet or [False] * len(names))
    colors = [theme.CUT if mark else theme.NEUTRAL if grey else theme.ACCENT for mark, grey in looks]
    said = ", ".join(f"{name} {value:.3g}" for name, value in zip(names, values))
    title = textwrap.wrap(x_title, TITLE)  # as wide as a narrow page has room for
    height = 62 + 18 * len(title) + sum(max(30, 18 * len(name.split("<br>"))) for name in names)
    figure = charts.blank(f"{alt} {said}.".replace("<br>", " "), height=height, x_title="<br>".join(title), y_title="")
    figure.add_bar(
        y=list(names),
        x=list(values),
        orientation="h",
        marker={
            "color": colors,
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
    if told and end:
        _add_told(figure, names, values, high or values, told, colors, end)
    charts.rows(figure, names)
    return figure


def _in_lines(name: str) -> str:
    return "<br>".join(textwrap.wrap(name, NAME)) or name


def _axis_end(values: Sequence[float], high: Sequence[float]) -> float:
    """Where the axis ends, with room for what is written: at the longest bar, or at the next one if that is far off."""
    tops = sorted((max(top, value) for top, value in zip(high, values)), reverse=True)
    longest, next_one = tops[0], tops[1] if len(tops) > 1 else 0.0
    return (FAR * next_one if next_one and longest > 2 * FAR * next_one else longest) * ROOM or 1.0


def _add_told(
    figure: go.Figure, names: Sequence[str], values: Sequence[float], high: Sequence[float], told: Sequence[str],
    colors: Sequence[str], end: float,
) -> None:  # fmt: skip
    """What is written: behind the bar's interval, or inside a bar that runs out of the figure."""
    for row, (value, top, text) in enumerate(zip(values, high, told)):
        runs_out = value > end
        figure.add_annotation(
            y=names[row], x=end if runs_out else max(value, top), text=f"{text} ▸" if runs_out else text,
            showarrow=False, xanchor="right" if runs_out else "left", xshift=-4 if runs_out else 6,
            font={"color": "#FFFFFF", "size": 13} if runs_out else {"size": 13},
            bgcolor=colors[row] if runs_out else None, borderpad=3 if runs_out else 0,
        )  # fmt: skip
    figure.update_xaxes(range=[0, end])


def means(
    names: Sequence[str],
    values: Sequence[float],
    *,
    low: Sequence[float],
    high: Sequence[float],
    single: Sequence[Sequence[float]],
    alt: str,
    x_title: str,
    marked: Sequence[bool],
) -> go.Figure:
    """Shares that lie close together: a mark and the interval of each, below it in `single` what it is the mean of.

    The axis is as long as what is on it, so marks and no bars: a bar would have to begin at zero.
    """
    told = ", ".join(f"{name} {100 * value:.1f} %" for name, value in zip(names, values))
    figure = charts.blank(f"{alt} {told}.", height=80 + 54 * len(names), x_title=x_title, y_title="")
    colors = [theme.CUT if mark else theme.ACCENT for mark in marked]
    for row, (value, bottom, top, own) in enumerate(zip(values, low, high, single)):
        look = {"color": colors[row], "size": 13, "symbol": "square" if marked[row] else "circle"}
        figure.add_scatter(
            x=[value], y=[row], mode="markers+text", text=[f"{100 * value:.1f} %"], textposition="top center",
            error_x={"type": "data", "array": [top - value], "arrayminus": [value - bottom], "thickness": 2},
            marker=look, hovertemplate="%{x:.1%}<extra></extra>", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=list(own), y=[row + 0.28] * len(own), mode="markers", showlegend=False,
            marker={"symbol": "circle-open", "size": 8, "color": colors[row], "line": {"width": 1.5}},
            hovertemplate="%{x:.1%}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(tickformat=theme.PERCENT)
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[_in_lines(name) for name in names],
        range=[len(names) - 0.4, -0.6], showgrid=False,
    )  # fmt: skip
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
