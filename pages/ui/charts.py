"""Tidy data in, plotly figure out; no streamlit here.

Each figure carries a sentence for those who cannot see it (`alt_text`), names the unit on every axis, and uses
colours that are readable on the light and the dark page (`theme`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from pages.ui import theme
from pages.ui.language import _
from pages.ui.literal import distinct
from pruning_core.errors import clip

ALT = 800  # characters: names in it are a stranger's
ROW_PX = 22  # a row that can be read and hit with a mouse


def layout(alt: str, *, height: int, x_title: str, y_title: str) -> dict[str, Any]:
    """The house's style, as a figure is made from: changing a finished one takes plotly several times as long."""
    axis = {"automargin": True, "gridcolor": theme.GRID, "zeroline": False}
    return {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "meta": {"alt": clip(alt, ALT)},
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
        "xaxis": {"title": {"text": x_title}, **axis},
        "yaxis": {"title": {"text": y_title}, **axis},
    }


def blank(alt: str, *, height: int, x_title: str, y_title: str) -> go.Figure:
    """An empty figure in the house's style."""
    return go.Figure(layout=layout(alt, height=height, x_title=x_title, y_title=y_title))


def alt_text(figure: go.Figure) -> str:
    """What a screen reader says instead of the figure."""
    return str((figure.layout.meta or {}).get("alt", ""))


def lines(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    alt: str,
    x_title: str,
    y_title: str,
    by: str | None = None,
    low: str | None = None,
    high: str | None = None,
    x_percent: bool = False,
    y_percent: bool = False,
    baseline: tuple[float, str] | None = None,
    height: int = 340,
) -> go.Figure:
    """One line per value of `by`, each with a band from `low` to `high` where those columns are named.

    Lines differ by colour, marker and dash. `baseline` is a horizontal line with its label.
    """
    figure = blank(alt, height=height, x_title=x_title, y_title=y_title)
    series = [("", frame)] if by is None else [(str(name), part) for name, part in frame.groupby(by, sort=False)]
    for index, (name, part) in enumerate(series):
        hue = theme.color(index)
        if low and high:
            figure.add_scatter(
                x=[*part[x], *part[x][::-1]],
                y=[*part[high], *part[low][::-1]],
                fill="toself",
                fillcolor=theme.faded(hue, 0.18),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
        figure.add_scatter(
            x=part[x],
            y=part[y],
            name=name,
            mode="lines+markers",
            line={"color": hue, "width": 2, "dash": theme.DASHES[index % len(theme.DASHES)]},
            marker={"color": hue, "size": 7, "symbol": theme.SYMBOLS[index % len(theme.SYMBOLS)]},
            legendgroup=name,
            showlegend=by is not None,
        )
    if baseline is not None:
        add_baseline(figure, *baseline)
    figure.update_xaxes(tickformat=theme.PERCENT if x_percent else None)
    figure.update_yaxes(tickformat=theme.PERCENT if y_percent else None)
    return figure


def add_baseline(figure: go.Figure, value: float, label: str, position: str = "bottom right") -> None:
    figure.add_hline(
        y=value,
        line={"color": theme.NEUTRAL, "width": 1.5, "dash": "dot"},
        annotation={"text": label, "font": {"color": theme.NEUTRAL, "size": 12}},
        annotation_position=position,
    )


def curves(frame: pd.DataFrame, *, y: str, y_title: str, alt: str, y_percent: bool = False) -> go.Figure:
    """Training curves. Columns: `epoch` (float, may be within an epoch), `run` (a name per line) and `y`.

    Light lines without markers: these grow while one watches.
    """
    figure = blank(alt, height=280, x_title=_("Epoch"), y_title=y_title)
    for index, (name, part) in enumerate(frame.groupby("run", sort=False)):
        few = len(part) <= 40
        figure.add_scatter(
            x=part["epoch"],
            y=part[y],
            name=str(name),
            mode="lines+markers" if few else "lines",
            line={"color": theme.color(index), "width": 2, "dash": theme.DASHES[index % len(theme.DASHES)]},
            marker={"color": theme.color(index), "size": 6, "symbol": theme.SYMBOLS[index % len(theme.SYMBOLS)]},
        )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(tickformat=theme.PERCENT if y_percent else None)
    return figure


def widths(frame: pd.DataFrame, *, alt: str) -> go.Figure:
    """Channels of every layer before and after. Columns: `layer`, `before`, `after` (counts), in network order."""
    figure = blank(alt, height=90 + ROW_PX * len(frame), x_title=_("Channels"), y_title="")
    layers = distinct(frame["layer"])
    figure.add_bar(
        y=layers,
        x=frame["before"],
        name=_("before"),
        orientation="h",
        marker={"color": theme.faded(theme.NEUTRAL, 0.28), "line": {"color": theme.NEUTRAL, "width": 1}},
        hovertemplate=_("%{y}: %{x} before<extra></extra>"),
    )
    figure.add_bar(
        y=layers,
        x=frame["after"],
        name=_("after"),
        orientation="h",
        marker={"color": theme.ACCENT},
        hovertemplate=_("%{y}: %{x} kept<extra></extra>"),
        width=0.5,
    )
    figure.update_layout(barmode="overlay", bargap=0.2)
    rows(figure, layers)
    return figure


def rows(figure: go.Figure, names: Sequence[str]) -> None:
    """A category axis that reads like a list: first name on top, every name shown."""
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(names), autorange="reversed", dtick=1, showgrid=False, ticks=""
    )


def add_outline(figure: go.Figure, column: int, row: int) -> None:
    """Around one cell of a heatmap whose cells are numbered: dark inside white, to be seen on any colour."""
    for color, width in (("white", 4), (theme.ON_TINT, 1.8)):
        figure.add_shape(
            type="rect",
            x0=column - 0.48,
            x1=column + 0.48,
            y0=row - 0.48,
            y1=row + 0.48,
            line={"color": color, "width": width},
        )
