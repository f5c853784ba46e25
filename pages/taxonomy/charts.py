"""The picture of the survey's axes, and the years."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from pages.ui import charts, theme
from pages.ui.literal import plotted

NODES = "nodes"  # the trace that takes the clicks
PAPERS = "papers"
LONGEST = 28  # characters of a label


def icicle(nodes: pd.DataFrame, *, selected: str | None) -> go.Figure:
    """Axes from left to right, methods at the right end. `nodes` as `frames.tree` makes them.

    A click lands on the trace `NODES`, whose customdata is the node's id.
    """
    branches = list(dict.fromkeys(branch for branch in nodes["branch"] if branch))
    hue = {branch: theme.color(i) for i, branch in enumerate(branches)}
    deepest = max(1, int(nodes["depth"].max()))
    colors = [
        theme.tinted(hue.get(row.branch, theme.NEUTRAL), 0.85 - 0.6 * row.depth / deepest if row.branch else 0.25)
        for row in nodes.itertuples(index=False)
    ]
    leaves = int((nodes["depth"] == deepest).sum())
    figure = charts.blank(
        f"Icicle of {leaves} methods along {deepest - 1} axes of the survey.",
        height=max(320, 24 * leaves + 20),
        x_title="",
        y_title="",
    )
    figure.add_icicle(
        ids=nodes["id"],
        parents=nodes["parent"],
        labels=nodes["label"],
        text=[_short(label) for label in nodes["label"]],
        textinfo="text",
        values=nodes["count"],
        customdata=nodes["id"],
        branchvalues="total",
        sort=False,
        marker={
            "colors": colors,
            "line": {
                "width": [3 if node == selected else 1 for node in nodes["id"]],
                "color": [theme.CUT if node == selected else "rgba(255,255,255,0.55)" for node in nodes["id"]],
            },
        },
        leaf={"opacity": 1},  # else the page shines through, and text that is read on a tint is not
        tiling={"orientation": "h", "pad": 1},
        pathbar={"visible": False},
        textfont={"size": 13, "color": theme.ON_TINT},
        hovertemplate="<b>%{label}</b><br>%{value} of them<extra></extra>",
        name=NODES,
    )
    figure.update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 0})
    return figure


def _short(label: str) -> str:
    """What fits: a longer one would be drawn too small to be read. The whole name is in the tooltip."""
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1].rstrip()}…"


def timeline(frame: pd.DataFrame, *, families: Sequence[str], selected: str | None) -> go.Figure:
    """A dot per paper: year against family. Columns `key`, `name`, `year`, `venue`, `family`.

    A click lands on the trace `PAPERS`, whose customdata is the card's key.
    """
    dated = frame.dropna(subset=["year"]).copy()
    dated["year"] = dated["year"].astype(int)
    row = {family: i for i, family in enumerate(families)}
    # Papers of one family and year stand side by side.
    place = dated.groupby(["family", "year"]).cumcount()
    many = dated.groupby(["family", "year"])["key"].transform("count")
    dated["x"] = dated["year"] + (place - (many - 1) / 2) * 0.2
    figure = charts.blank(
        f"Timeline of {len(dated)} papers"
        + (f" from {dated['year'].min()} to {dated['year'].max()}." if len(dated) else "."),
        height=90 + 30 * len(families),
        x_title="Year of the paper",
        y_title="",
    )
    figure.add_scatter(
        x=dated["x"],
        y=[row[family] for family in dated["family"]],
        mode="markers",
        marker={
            "size": [19 if key == selected else 13 for key in dated["key"]],
            "color": [theme.color(row[family]) for family in dated["family"]],
            "symbol": [theme.SYMBOLS[row[family] % len(theme.SYMBOLS)] for family in dated["family"]],
            "line": {"width": [3 if key == selected else 0 for key in dated["key"]], "color": theme.CUT},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        customdata=dated["key"],
        hovertext=[f"<b>{each.name}</b><br>{each.venue} {each.year}" for each in dated.itertuples(index=False)],
        hovertemplate="%{hovertext}<extra></extra>",
        name=PAPERS,
        showlegend=False,
    )
    span = int(dated["year"].max() - dated["year"].min()) if len(dated) else 1
    figure.update_xaxes(dtick=1 if span <= 10 else 5, tickformat="d")
    figure.update_yaxes(
        tickvals=list(row.values()), ticktext=list(row), range=[len(families) - 0.4, -0.6], showgrid=True
    )
    figure.update_layout(dragmode=False, hovermode="closest")
    return figure


def scores(frame: pd.DataFrame, *, title: str, layer: str) -> go.Figure:
    """What one criterion says of one layer, channels in order of their score. Columns `channel`, `score`."""
    ordered = frame.sort_values("score", kind="stable")
    figure = charts.blank(
        f"Scores of {len(frame)} channels of {layer} by {title}: from {ordered['score'].iloc[0]:.4g} to "
        f"{ordered['score'].iloc[-1]:.4g}.",
        height=300,
        x_title=f"Channels of {plotted(layer)}, least important first",
        y_title=f"Score: {title}",
    )
    figure.add_bar(
        x=list(range(len(ordered))),
        y=ordered["score"],
        marker={"color": theme.ACCENT, "line": {"width": 0}},
        customdata=ordered["channel"],
        hovertemplate="channel %{customdata}: %{y:.4g}<extra></extra>",
        showlegend=False,
    )
    few = len(ordered) <= 64
    figure.update_xaxes(
        tickvals=list(range(len(ordered))) if few else None,
        ticktext=[str(channel) for channel in ordered["channel"]] if few else None,
        showticklabels=few,
    )
    figure.update_layout(bargap=0.15 if few else 0)
    return figure
