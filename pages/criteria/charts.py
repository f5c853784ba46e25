"""Accuracy against MACs, who agrees with whom, and what one criterion says of one layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from pages.criteria import frames
from pages.ui import charts, measured, theme
from pages.ui.literal import plotted

CELLS, CHANNELS, PAIRS = "cells", "channels", "pairs"  # the traces that take the clicks


def tradeoff(frame: pd.DataFrame, *, names: Sequence[str], origins: Mapping[str, float], full_macs: int) -> go.Figure:
    """One line per criterion and moment: what networks are judged by against the MACs that are left.

    `frame` as `frames.summary` makes it, without the unpruned network. Colour and marker tell criteria apart, the dash
    tells the moments. Bars are 95 % intervals; several draws become a band from the worst to the best.
    `origins`: value of the unpruned network by moment.
    """
    moments, measure = list(dict.fromkeys(frame["when"])), frames.measure_of(frame)
    figure = charts.blank(
        _tradeoff_alt(frame, names, moments, measure), height=460,
        x_title="MACs left (share of the unpruned network)", y_title=measured.axis_title(measure),
    )  # fmt: skip
    for (name, when), part in frame.groupby(["criterion", "when"], sort=False):
        part = part.sort_values("macs")
        index = list(names).index(name) if name in names else 0
        x, hue = part["macs"] / full_macs, theme.color(index)
        several = bool((part["draws"] > 1).any())
        if several:
            figure.add_scatter(
                x=[*x, *x[::-1]], y=[*part["high"], *part["low"][::-1]], fill="toself", mode="lines",
                fillcolor=theme.faded(hue, 0.2), line={"width": 0}, hoverinfo="skip", showlegend=False,
                legendgroup=str(name),
            )  # fmt: skip
        figure.add_scatter(
            x=x,
            y=part["top1"],
            name=str(name),
            legendgroup=str(name),
            showlegend=when == moments[0],
            mode="lines+markers",
            line={"color": hue, "width": 2, "dash": theme.DASHES[moments.index(when) % len(theme.DASHES)]},
            marker={"color": hue, "size": 8, "symbol": theme.SYMBOLS[index % len(theme.SYMBOLS)]},
            error_y=None
            if several
            else {
                "type": "data",
                "array": part["high"] - part["top1"],
                "arrayminus": part["top1"] - part["low"],
                "color": theme.faded(hue, 0.55),
                "thickness": 1.2,
                "width": 3,
            },
            hovertext=[_point_text(str(name), str(when), row, measure) for row in part.to_dict("records")],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    if len(moments) > 1:
        for when in moments:
            figure.add_scatter(
                x=[None], y=[None], mode="lines", name=when,
                line={"color": theme.NEUTRAL, "width": 2, "dash": theme.DASHES[moments.index(when)]},
            )  # fmt: skip
    for label, value in origins.items():
        charts.add_baseline(figure, value, label, "top left")
    figure.update_xaxes(tickformat=theme.PERCENT)
    figure.update_yaxes(tickformat=measured.ticks(measure))
    return figure


def _point_text(name: str, when: str, row: Mapping[str, Any], measure: str) -> str:
    span = measured.span_of(measure, row["low"], row["high"])
    meaning = f"{row['draws']} repeats, between {span}" if row["draws"] > 1 else f"95 % interval {span}"
    return (
        f"<b>{name}</b>, {when}<br>{measured.measure(measure).name} {measured.written(measure, row['top1'])} "
        f"({meaning})<br>"
        f"{row['macs']:,} MACs, {row['parameters']:,} parameters"
    )


def _tradeoff_alt(frame: pd.DataFrame, names: Sequence[str], moments: Sequence[str], measure: str) -> str:
    found = measured.measure(measure)
    text = f"{found.name} against MACs for {len(names)} criteria, {', '.join(moments) or 'nothing measured yet'}."
    if len(frame):
        best = frame.loc[frame["top1"].idxmax() if found.rises else frame["top1"].idxmin()]
        text += f" Best: {best['criterion']} with {measured.written(measure, best['top1'])} at {best['macs']:,} MACs."
    return text


def agreement(
    names: Sequence[str], matrix: NDArray[np.float64], *, title: str, low: float, selected: tuple[str, str] | None
) -> go.Figure:
    """Criterion by criterion. `low` is the end of the scale: -1 for a correlation, 0 for a share.

    A click lands on the trace `CELLS`; `cell_at` turns its point index into two names.
    """
    count, side = len(names), max(26, min(56, 640 // max(1, len(names))))
    figure = charts.blank(_agreement_alt(names, matrix, title), height=140 + side * count, x_title="", y_title="")
    figure.add_heatmap(
        z=matrix,
        x=list(range(count)),
        y=list(range(count)),
        text=[["–" if np.isnan(v) else f"{v:.2f}" for v in row] for row in matrix],
        texttemplate="%{text}" if count <= 16 else None,
        textfont={"size": 11},
        coloraxis="coloraxis",
        hoverinfo="skip",
        xgap=2,
        ygap=2,
    )
    rows, columns = np.meshgrid(range(count), range(count), indexing="ij")
    figure.add_bar(
        x=columns.ravel(),
        y=np.full(rows.size, 1.0),
        base=rows.ravel() - 0.5,
        width=1.0,
        marker={"color": "rgba(0,0,0,0)", "line": {"width": 0}},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        hovertext=[
            f"{a}<br>{b}<br><b>{matrix[i, j]:.3f}</b>" for i, a in enumerate(names) for j, b in enumerate(names)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        name=CELLS,
        showlegend=False,
    )
    for first, second in [selected] if selected and set(selected) <= set(names) else []:
        i, j = list(names).index(first), list(names).index(second)
        for color, width in (("white", 4), ("#1B2425", 1.8)):
            figure.add_shape(
                type="rect", x0=j - 0.48, x1=j + 0.48, y0=i - 0.48, y1=i + 0.48, line={"color": color, "width": width}
            )
    # A diverging scale where the middle means no relation, the sequential one where there is no middle.
    figure.update_layout(
        coloraxis={
            "cmin": low,
            "cmax": 1.0,
            **({"cmid": 0.0, "autocolorscale": True} if low < 0 else {}),
            "colorbar": {"title": {"text": title, "side": "right"}, "thickness": 12, "outlinewidth": 0},
        },
        barmode="overlay",
        bargap=0,
        dragmode=False,
    )
    ticks = {"tickvals": list(range(count)), "ticktext": list(names), "showgrid": False}
    figure.update_xaxes(**ticks, range=[-0.5, count - 0.5], tickangle=-40)
    figure.update_yaxes(**ticks, range=[count - 0.5, -0.5])
    return figure


def cell_at(index: int, names: Sequence[str]) -> tuple[str, str]:
    row, column = divmod(index, len(names))
    return names[row], names[column]


def _agreement_alt(names: Sequence[str], matrix: NDArray[np.float64], title: str) -> str:
    text = f"{title} of {len(names)} criteria with each other."
    apart = matrix[~np.eye(len(names), dtype=bool)]
    if len(apart) and not np.isnan(apart).all():
        text += f" From {np.nanmin(apart):.2f} to {np.nanmax(apart):.2f}, mean {np.nanmean(apart):.2f}."
    return text


def pairs(
    first: tuple[str, NDArray[np.float64]], second: tuple[str, NDArray[np.float64]], *, texts: Sequence[str],
    selected: int | None, layer: str, note: str,
) -> go.Figure:  # fmt: skip
    """Both criteria's scores of one layer's channels; `texts` (C,) is what hovering a channel shows.

    A click lands on the trace `PAIRS`; its point index is the channel.
    """
    (x_name, x), (y_name, y) = first, second
    figure = charts.blank(
        f"{y_name} against {x_name} for the {len(x)} channels of {layer}; {note}.", height=420,
        x_title=f"Score: {x_name}", y_title=f"Score: {y_name}",
    )  # fmt: skip
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={
            "color": [theme.CUT if channel == selected else theme.ACCENT for channel in range(len(x))],
            "size": [14 if channel == selected else 9 for channel in range(len(x))],
            "opacity": 0.8,
        },
        selected={"marker": {"opacity": 0.8}},
        unselected={"marker": {"opacity": 0.8}},
        hovertext=list(texts),
        hovertemplate="%{hovertext}<extra></extra>",
        name=PAIRS,
        showlegend=False,
    )
    figure.update_layout(dragmode=False, hovermode="closest", hoverlabel={"font": {"family": "monospace"}})
    return figure


def ranked(frame: pd.DataFrame, *, name: str, layer: str, ratio: float) -> go.Figure:
    """A layer's channels in order of their score, with the cut. `frame` as `frames.channels` makes it.

    Points can be picked one by one or with a box; they lie on the trace `CHANNELS`, customdata is the channel.
    """
    cut = int(frame["cut"].sum())
    figure = charts.blank(
        f"{len(frame)} channels of {layer} in order of {name}; at a ratio of {100 * ratio:.0f} % the first {cut} go.",
        height=360,
        x_title=f"Channels of {plotted(layer)}, least important first",
        y_title=f"Score: {name}",
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
            f"<b>channel {row.channel}</b><br>score {row.score:.5g}<br>rank {row.rank + 1} of {len(frame)}"
            + ("<br>in the plan" if row.planned else "")
            for row in frame.itertuples(index=False)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        name=CHANNELS,
        showlegend=False,
    )
    for color, symbol, label in (
        (theme.CUT, "circle", "below the cut"),
        (theme.ACCENT, "circle", "kept"),
        (theme.NEUTRAL, "x", "in the plan already"),
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
    figure = charts.blank(alt, height=260, x_title=title, y_title="Channels")
    figure.add_histogram(
        x=values, nbinsx=min(60, max(8, len(values) // 2)), marker={"color": theme.ACCENT, "line": {"width": 0}},
        hovertemplate="%{x}: %{y} channels<extra></extra>", showlegend=False,
    )  # fmt: skip
    if cut is not None:
        figure.add_vline(x=cut, line={"color": theme.CUT, "width": 2, "dash": "dash"})
        figure.add_annotation(  # in the margin, where no bar stands
            text="cut", x=cut, y=1, yref="paper", yanchor="bottom", showarrow=False, font={"color": theme.CUT}
        )
        figure.update_layout(margin_t=30)
    figure.update_layout(bargap=0.05)
    return figure


def norms(values: NDArray[np.float64], *, layer: str) -> go.Figure:
    """The two conditions as their paper draws them: how wide the norms spread, how near zero the smallest is."""
    mean, spread, least = float(values.mean()), float(values.std()), float(values.min())
    figure = distribution(
        values, title=f"Euclidean norm of the filters of {plotted(layer)}", cut=None,
        alt=f"Norms of {len(values)} filters: mean {mean:.3g}, deviation {spread:.3g}, smallest {least:.3g}.",
    )  # fmt: skip
    figure.add_vrect(
        x0=mean - spread, x1=mean + spread, fillcolor=theme.faded(theme.NEUTRAL, 0.18), line_width=0, layer="below"
    )  # fmt: skip
    figure.add_annotation(  # in the margin, where no bar stands
        text="spread (mean ± deviation)", x=mean, y=1, yref="paper", yanchor="bottom", showarrow=False,
        font={"color": theme.NEUTRAL, "size": 12},
    )  # fmt: skip
    figure.update_layout(margin_t=30)
    figure.add_vline(x=least, line={"color": theme.CUT, "width": 2})
    figure.add_annotation(  # left of every bar
        text="smallest", x=least, xanchor="right", xshift=-14, y=0.5, yref="paper", showarrow=False,
        font={"color": theme.CUT, "size": 12},
    )  # fmt: skip
    figure.update_xaxes(rangemode="tozero", range=[0, float(values.max()) * 1.05])
    return figure
