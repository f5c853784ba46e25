"""Figures of one layer's scores: in order, how they are spread, and how large its filters are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from pages.ui import charts, theme
from pages.ui.language import _
from pages.ui.literal import plotted

CELLS, CHANNELS, PAIRS = "cells", "channels", "pairs"  # the traces that take the clicks


def ranked(frame: pd.DataFrame, *, name: str, layer: str, ratio: float) -> go.Figure:
    """A layer's channels in order of their score, with the cut. `frame` as `frames.channels` makes it.

    Points can be picked one by one or with a box; they lie on the trace `CHANNELS`, customdata is the channel.
    """
    cut = int(frame["cut"].sum())
    figure = charts.blank(
        _("{n} channels of {layer} in order of {name}; at a ratio of {ratio:.0f} % the first {cut} go.").format(
            n=len(frame), layer=layer, name=name, ratio=100 * ratio, cut=cut
        ),
        height=360,
        x_title=_("Channels of {layer}, least important first").format(layer=plotted(layer)),
        y_title=_("Score: {name}").format(name=name),
    )
    figure.add_scatter(
        x=frame["rank"],
        y=frame["score"],
        mode="markers",
        marker={
            "size": 10,
            "color": [theme.CUT if gone else theme.ACCENT for gone in frame["cut"]],
            "symbol": ["x" if planned else "circle" for planned in frame["planned"]],
            "line": {"width": 0},
        },
        selected={"marker": {"opacity": 1, "size": 14}},
        unselected={"marker": {"opacity": 0.75}},
        customdata=frame["channel"],
        hovertext=[
            _("<b>channel {channel}</b><br>score {score:.5g}<br>rank {rank} of {n}").format(
                channel=row.channel, score=row.score, rank=row.rank + 1, n=len(frame)
            )
            + (_("<br>in the plan") if row.planned else "")
            for row in frame.itertuples(index=False)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        name=CHANNELS,
        showlegend=False,
    )
    for color, symbol, label in (
        (theme.CUT, "circle", _("below the cut")),
        (theme.ACCENT, "circle", _("kept")),
        (theme.NEUTRAL, "x", _("in the plan already")),
    ):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker={"color": color, "symbol": symbol, "size": 10}, name=label
        )
    if cut:
        figure.add_vline(x=cut - 0.5, line={"color": theme.CUT, "width": 2, "dash": "dash"})
    # Drawing boxes from the start would take the clicks away: the tool for it is above the plot.
    figure.update_layout(hovermode="closest", dragmode=False)
    return figure


def distribution(values: NDArray[np.float64], *, title: str, cut: float | None, alt: str) -> go.Figure:
    """A histogram, with the line below which channels go."""
    figure = charts.blank(alt, height=260, x_title=title, y_title=_("Channels"))
    figure.add_histogram(
        x=values, nbinsx=min(60, max(8, len(values) // 2)), marker={"color": theme.ACCENT, "line": {"width": 0}},
        hovertemplate=_("{scores}: {n} channels").format(scores="%{x}", n="%{y}") + "<extra></extra>", showlegend=False,
    )  # fmt: skip
    if cut is not None:
        figure.add_vline(x=cut, line={"color": theme.CUT, "width": 2, "dash": "dash"})
        figure.add_annotation(  # in the margin, where no bar stands
            text=_("the cut"), x=cut, y=1, yref="paper", yanchor="bottom", showarrow=False, font={"color": theme.CUT}
        )
        figure.update_layout(margin_t=30)
    figure.update_layout(bargap=0.05)
    return figure


def norms(values: NDArray[np.float64], *, layer: str) -> go.Figure:
    """The two conditions as their paper draws them: how wide the norms spread, how near zero the smallest is."""
    mean, spread, least = float(values.mean()), float(values.std()), float(values.min())
    figure = distribution(
        values, title=_("Euclidean norm of the filters of {layer}").format(layer=plotted(layer)), cut=None,
        alt=_(
"Norms of {n} filters: mean {mean:.3g}, deviation {spread:.3g}, smallest {least:.3g}."
).format(n=len(values), mean=mean, spread=spread, least=least),
    )  # fmt: skip
    figure.add_vrect(
        x0=mean - spread, x1=mean + spread, fillcolor=theme.faded(theme.NEUTRAL, 0.18), line_width=0, layer="below"
    )  # fmt: skip
    figure.add_annotation(  # in the margin, where no bar stands
        text=_("spread (mean ± deviation)"), x=mean + spread, xanchor="right", y=1, yref="paper", yanchor="bottom",
        showarrow=False,
        font={"color": theme.NEUTRAL, "size": 12},
    )  # fmt: skip
    figure.update_layout(margin_t=30)
    figure.add_vline(x=least, line={"color": theme.CUT, "width": 2})
    figure.add_annotation(  # left of every bar
        text=_("smallest"), x=least, xanchor="right", xshift=-14, y=0.5, yref="paper", showarrow=False,
        font={"color": theme.CUT, "size": 12},
    )  # fmt: skip
    figure.update_xaxes(rangemode="tozero", range=[0, float(values.max()) * 1.05])
    return figure
