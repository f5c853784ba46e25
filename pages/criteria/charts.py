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
from pages.ui.language import _, said

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
        x_title=_("MACs left (share of the unpruned network)"), y_title=measured.axis_title(measure),
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
            name=said(str(name)),
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
                x=[None], y=[None], mode="lines", name=said(when),
                line={"color": theme.NEUTRAL, "width": 2, "dash": theme.DASHES[moments.index(when)]},
            )  # fmt: skip
    for label, value in origins.items():
        charts.add_baseline(figure, value, label, "top left")
    figure.update_xaxes(tickformat=theme.PERCENT)
    figure.update_yaxes(tickformat=measured.ticks(measure))
    return figure


def _point_text(name: str, when: str, row: Mapping[str, Any], measure: str) -> str:
    span = measured.span_of(measure, row["low"], row["high"])
    meaning = (
        _("{row} repeats, between {span}").format(row=row["draws"], span=span)
        if row["draws"] > 1
        else _("95 % interval {span}").format(span=span)
    )
    return _("<b>{name}</b>, {when}<br>{name_2} {written} ({meaning})<br>{row:,} MACs, {row_2:,} parameters").format(
        name=said(name),
        when=said(when),
        name_2=said(measured.measure(measure).name),
        written=measured.written(measure, row["top1"]),
        meaning=meaning,
        row=row["macs"],
        row_2=row["parameters"],
    )


def _tradeoff_alt(frame: pd.DataFrame, names: Sequence[str], moments: Sequence[str], measure: str) -> str:
    found = measured.measure(measure)
    text = _("{name} against MACs for {n} criteria, {value}.").format(
        name=said(found.name), n=len(names), value=", ".join(map(said, moments)) or _("nothing measured yet")
    )
    if len(frame):
        best = frame.loc[frame["top1"].idxmax() if found.rises else frame["top1"].idxmin()]
        text += _(" Best: {best} with {written} at {best_2:,} MACs.").format(
            best=said(best["criterion"]), written=measured.written(measure, best["top1"]), best_2=best["macs"]
        )
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
            f"{said(a)}<br>{said(b)}<br><b>{matrix[i, j]:.3f}</b>"
            for i, a in enumerate(names)
            for j, b in enumerate(names)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        name=CELLS,
        showlegend=False,
    )
    for first, second in [selected] if selected and set(selected) <= set(names) else []:
        i, j = list(names).index(first), list(names).index(second)
        charts.add_outline(figure, column=j, row=i)
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
    ticks = {"tickvals": list(range(count)), "ticktext": list(map(said, names)), "showgrid": False}
    figure.update_xaxes(**ticks, range=[-0.5, count - 0.5], tickangle=-40)
    figure.update_yaxes(**ticks, range=[count - 0.5, -0.5])
    return figure


def cell_at(index: int, names: Sequence[str]) -> tuple[str, str]:
    row, column = divmod(index, len(names))
    return names[row], names[column]


def _agreement_alt(names: Sequence[str], matrix: NDArray[np.float64], title: str) -> str:
    text = _("{title} of {n} criteria with each other.").format(title=title, n=len(names))
    apart = matrix[~np.eye(len(names), dtype=bool)]
    if len(apart) and not np.isnan(apart).all():
        text += _(" From {nanmin:.2f} to {nanmax:.2f}, mean {nanmean:.2f}.").format(
            nanmin=np.nanmin(apart), nanmax=np.nanmax(apart), nanmean=np.nanmean(apart)
        )
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
        _("{y_name} against {x_name} for the {n} channels of {layer}; {note}.").format(
            y_name=y_name, x_name=x_name, n=len(x), layer=layer, note=note
        ),
        height=420,
        x_title=_("Score: {x_name}").format(x_name=x_name),
        y_title=_("Score: {y_name}").format(y_name=y_name),
    )
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
