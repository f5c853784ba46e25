"""The coupling map: which layers must lose the same channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from pages.ui import charts, theme
from pages.ui.language import N_, _, said
from pages.ui.literal import distinct, plotted
from pruning_core.errors import clip

POINTS = "points"  # the trace that takes the clicks
MOST_LANES = 9  # fewer lanes are not stretched over the whole width


@dataclass(frozen=True)
class Look:
    title: str
    does: str
    filled: bool
    symbol: str
    size: int


@dataclass(frozen=True)
class Dot:
    """One layer's part in one group."""

    lane: int
    row: int
    group: str
    text: str
    hue: str
    look: Look


LOOKS = {
    "producer": Look(
        N_("makes the channels"),
        N_("<b>{layer}</b> makes the {channels} channels of group<br>{group}"),
        True,
        "circle",
        12,
    ),
    "consumer": Look(
        N_("reads the channels"),
        N_("<b>{layer}</b> reads the {channels} channels of group<br>{group}"),
        False,
        "circle",
        12,
    ),
    "carrier": Look(
        N_("passes on the channels"),
        N_("<b>{layer}</b> passes on the {channels} channels of group<br>{group}"),
        True,
        "square",
        7,
    ),
}


def lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for each span (first row, last row), so that spans in one lane never touch.

    The longest come first and lie leftmost: the residual streams of a network are then its trunk.
    """
    taken: list[list[tuple[int, int]]] = []
    chosen = [0] * len(spans)
    for number in sorted(range(len(spans)), key=lambda i: (spans[i][0] - spans[i][1], spans[i][0])):
        first, last = spans[number]
        free = next(
            (lane for lane, used in enumerate(taken) if all(last < start or end < first for start, end in used)),
            len(taken),
        )
        if free == len(taken):
            taken.append([])
        taken[free].append((first, last))
        chosen[number] = free
    return chosen


def coupling(
    links: pd.DataFrame, *, layers: Sequence[str], blocked: pd.DataFrame | None = None, selected: str | None = None
) -> go.Figure:
    """Layers from top to bottom in the order of execution; each group of coupled channels is one vertical line.

    A filled dot on a group's line: this layer makes the channels, so its outputs are cut with the group. A ring: this
    layer reads them, so its inputs are cut. A small square: they pass through it one by one, as in a depthwise
    convolution. Lines share lanes like the branches of a version history, so that even
    ResNet-50's 37 groups need only a few.

    `links` has one row per (group, layer): `group`, `channels`, `exact` (bool), `layer`, `role` ("producer",
    "consumer" or "carrier"). `blocked` has `layer` and `reason`. `selected` is a group's key: the others fade.
    A click lands on the trace `POINTS`, whose customdata is the group's key.
    """
    row = {layer: i for i, layer in enumerate(layers)}
    links = links.assign(row=links["layer"].map(row))
    groups = [(str(key), part) for key, part in links.groupby("group", sort=False)]
    lane_of = lanes([(int(part["row"].min()), int(part["row"].max())) for _, part in groups])
    width = max(lane_of, default=0) + 1
    figure = charts.blank(_alt(groups, layers, blocked), height=96 + 20 * len(layers), x_title="", y_title="")
    _add_flow(figure, links, dict(zip((key for key, _ in groups), lane_of)))
    for index, ((key, part), lane) in enumerate(zip(groups, lane_of)):
        _add_group(figure, key, part, lane, theme.color(index), dim=selected not in (None, key))
    _add_points(figure, groups, lane_of, selected)
    if blocked is not None and len(blocked):
        _add_blocked(figure, blocked.assign(row=blocked["layer"].map(row)), width)
    _add_legend(figure, set(links["role"]))
    figure.update_xaxes(visible=False, range=[-0.8, max(width + 0.6, MOST_LANES)])
    figure.update_yaxes(
        tickvals=list(range(len(layers))), ticktext=distinct(layers), range=[len(layers) - 0.4, -0.6], showgrid=False
    )
    figure.update_layout(dragmode=False, hovermode="closest")
    return figure


def _add_flow(figure: go.Figure, links: pd.DataFrame, lane_of: dict[str, int]) -> None:
    """A thin line from the lane a layer reads to the lane it writes: how channels pass through it."""
    x: list[float | None] = []
    y: list[float | None] = []
    for at, part in links.groupby("row"):
        used = [lane_of[str(group)] for group in part["group"]]
        if len(set(used)) > 1:
            x += [min(used), max(used), None]
            y += [float(at), float(at), None]
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": theme.GRID, "width": 2}, hoverinfo="skip", showlegend=False
    )


def _add_group(figure: go.Figure, key: str, part: pd.DataFrame, lane: int, hue: str, *, dim: bool) -> None:
    exact = bool(part["exact"].iloc[0])
    figure.add_scatter(
        x=[lane, lane],
        y=[part["row"].min(), part["row"].max()],
        mode="lines",
        line={"color": theme.faded(hue, 0.2) if dim else hue, "width": 4, "dash": "solid" if exact else "dot"},
        hoverinfo="skip",
        showlegend=False,
        name=plotted(key),
    )


def _add_points(
    figure: go.Figure, groups: Sequence[tuple[str, pd.DataFrame]], lane_of: Sequence[int], selected: str | None
) -> None:
    dots: list[Dot] = []
    for index, ((key, part), lane) in enumerate(zip(groups, lane_of)):
        hue = theme.color(index) if selected in (None, key) else theme.faded(theme.color(index), 0.3)
        for link in part.itertuples(index=False):
            look = LOOKS[link.role]
            text = _(look.does).format(layer=plotted(link.layer), channels=link.channels, group=plotted(key))
            dots.append(Dot(lane, link.row, key, text, hue, look))
    figure.add_scatter(
        x=[dot.lane for dot in dots],
        y=[dot.row for dot in dots],
        mode="markers",
        name=POINTS,
        marker={
            "size": [dot.look.size for dot in dots],
            "symbol": [dot.look.symbol for dot in dots],
            "color": [dot.hue if dot.look.filled else "rgba(0,0,0,0)" for dot in dots],
            "line": {"color": [dot.hue for dot in dots], "width": 2.5},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        customdata=[dot.group for dot in dots],
        hovertext=[dot.text for dot in dots],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )


def _add_blocked(figure: go.Figure, blocked: pd.DataFrame, lane: int) -> None:
    figure.add_scatter(
        x=[lane] * len(blocked),
        y=blocked["row"],
        mode="markers",
        marker={"symbol": "x", "size": 10, "color": theme.CUT},
        hovertext=[f"<b>{plotted(b.layer)}</b><br>{plotted(said(b.reason))}" for b in blocked.itertuples(index=False)],
        hovertemplate="%{hovertext}<extra></extra>",
        name=_("cannot be cut (hover for the reason)"),
    )


def _add_legend(figure: go.Figure, roles: set[str]) -> None:
    for role, look in LOOKS.items():
        if role in roles:
            figure.add_scatter(
                x=[None],
                y=[None],
                mode="markers",
                marker={
                    "size": look.size,
                    "symbol": look.symbol,
                    "color": theme.NEUTRAL if look.filled else "rgba(0,0,0,0)",
                    "line": {"color": theme.NEUTRAL, "width": 2.5},
                },
                name=_(look.title),
            )


def _alt(groups: Sequence[tuple[str, pd.DataFrame]], layers: Sequence[str], blocked: pd.DataFrame | None) -> str:
    largest = max(groups, key=lambda item: item[1]["layer"].nunique(), default=None)
    text = _("Coupling map of {layers} layers in {groups} groups.").format(layers=len(layers), groups=len(groups))
    if largest is not None:
        text += " " + _("The widest group, {group}, ties {n} layers.").format(
            group=clip(largest[0]), n=largest[1]["layer"].nunique()
        )
    if blocked is None or blocked.empty:
        return text
    return text + " " + _("{n} dimensions cannot be cut.").format(n=len(blocked))
