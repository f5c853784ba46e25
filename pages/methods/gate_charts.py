"""Figures of gates that open image by image. No streamlit here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from pages.ui import charts, measured, theme
from pages.ui.language import _, said
from pages.ui.literal import distinct
from pruning_core.measuring.measures import TOP1


def channels(rows: Mapping[str, Sequence[float]], of: str) -> go.Figure:
    """Layer name -> the share of positions at which each channel ran: one row a layer, one cell a channel."""
    width = max(len(row) for row in rows.values())
    cells = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows.values()):
        cells[place, : len(row)] = row
    ran = sum(sum(row) for row in rows.values()) / sum(len(row) for row in rows.values())
    names = distinct(list(rows))
    figure = charts.blank(
        _("Which channels ran for {of} in {n} layers: {ran:.0f} % of them on average.").format(
            of=of, n=len(rows), ran=100 * ran
        ),
        height=120 + charts.ROW_PX * len(rows),
        x_title=_("Channel"),
        y_title="",
    )
    figure.add_heatmap(
        z=cells,
        x=list(range(width)),
        y=names,
        zmin=0.0,
        zmax=1.0,
        xgap=1,
        ygap=2,
        hoverongaps=False,
        colorbar={"title": {"text": "ran"}, "tickformat": ".0%", "thickness": 12},
        hovertemplate=_("{layer}, channel {n}: ran at {share} of the positions").format(
            layer="%{y}", n="%{x}", share="%{z:.0%}"
        )
        + "<extra></extra>",
    )
    charts.rows(figure, names)
    figure.update_xaxes(showgrid=False)
    return figure


@dataclass(frozen=True)
class Reached:
    """One network: what an image needs of it on average, and what it is worth with the bounds of its interval."""

    name: str
    macs: float
    top1: float
    low: float
    high: float
    gates: bool
    measure: str = TOP1


def against_macs(found: Sequence[Reached]) -> go.Figure:
    """Value against average MACs; networks with gates differ from those that need the same for every image."""
    key = found[0].measure
    judged = measured.measure(key)
    best = max(found, key=lambda each: judged.better(each.top1))
    figure = charts.blank(
        _("{name} against the MACs of an image, {n} networks. {name_2} is best: {key} with {macs:,.0f} MACs.").format(
            name=said(judged.name), n=len(found), name_2=best.name, key=measured.written(key, best.top1), macs=best.macs
        ),
        height=340,
        x_title=_("MACs of an image, on average"),
        y_title=_("{axis_title}, test images").format(axis_title=measured.axis_title(key)),
    )
    for index, (name, gates) in enumerate(((_("the same for every image"), False), (_("gates, image by image"), True))):
        own = [each for each in found if each.gates is gates]
        if not own:
            continue
        figure.add_scatter(
            x=[each.macs for each in own],
            y=[each.top1 for each in own],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [each.high - each.top1 for each in own],
                "arrayminus": [each.top1 - each.low for each in own],
                "thickness": 1.2,
            },
            text=[
                _("{name}<br>{macs:,.0f} MACs, {key}").format(
                    name=each.name, macs=each.macs, key=measured.written(key, each.top1)
                )
                for each in own
            ],
            name=name,
            mode="markers",
            marker={"color": theme.color(index), "size": 9, "symbol": theme.SYMBOLS[index]},
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_xaxes(rangemode="tozero", tickformat="~s")
    figure.update_yaxes(tickformat=measured.ticks(key))
    figure.update_layout(showlegend=True)
    return figure
