"""The picture of the survey's axes, the years with who builds on whom, and the scores of one layer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from pages.taxonomy.frames import Line
from pages.ui import charts, theme
from pages.ui.language import _, said
from pages.ui.literal import plotted

NODES = "nodes"  # the trace that takes the clicks
PAPERS = "papers"
FIRST = 2014  # the year at the left edge: the few older ones would press the others together
LONGEST = 15  # characters of a line of text at a dot
HEIGHT = 640  # of a table: as the picture, which fits one screen
COLUMNS, FEWEST, ROW_PX = 3, 16, 14
INDENT, SHARES = (0.0, 0.012, 0.03), (0.62, 0.36, 0.13)  # by depth: of a column, and how strong its colour is


def outline(lines: Sequence[Line], *, selected: str | None) -> go.Figure:
    """The axes as a list in columns: a band for each value of the outer axis, in it those of the inner one and the
    methods. A click lands on the trace `NODES`, whose customdata is the line's id."""
    places, tall = _columns(lines)
    branches = list(dict.fromkeys(line.path[0] for line in lines))
    hue = {branch: theme.color(i) for i, branch in enumerate(branches)}
    methods = sum(line.depth == 2 for line in lines)
    figure = charts.blank(
        _(
            "Map of {methods} methods: {n} parts by the outer axis ({branches}), each divided by "
            "the inner axis, one line for each method."
        ).format(methods=methods, n=len(branches), branches=", ".join(map(said, branches))),
        height=8 + ROW_PX * tall,
        x_title="",
        y_title="",
    )
    figure.add_bar(
        orientation="h",
        base=[column + INDENT[line.depth] for line, (column, _row) in zip(lines, places)],
        x=[0.985 - INDENT[line.depth] for line in lines],
        y=[place[1] for place in places],
        width=0.94,
        marker={
            "color": [theme.tinted(hue[line.path[0]], SHARES[line.depth]) for line in lines],
            "line": {
                "width": [2.5 if line.id == selected else 0 for line in lines],
                "color": theme.CUT,
            },
        },
        text=[f"<b>{line.label}</b> {line.count}" if line.depth < 2 else line.label for line in lines],
        textposition="inside",
        insidetextanchor="start",
        constraintext="none",
        textangle=0,
        textfont={"size": 11, "color": theme.ON_TINT},
        cliponaxis=True,
        customdata=[line.id for line in lines],
        hovertext=[line.name if line.depth == 2 else f"{line.name}: {line.count}" for line in lines],
        hovertemplate="%{hovertext}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        name=NODES,
        showlegend=False,
    )
    figure.update_xaxes(visible=False, range=[0, max(1 + place[0] for place in places)])
    figure.update_yaxes(visible=False, range=[tall - 0.4, -0.6])
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0}, dragmode=False, hovermode="closest", barmode="overlay"
    )
    return figure


def _columns(lines: Sequence[Line]) -> tuple[list[tuple[int, int]], int]:
    """((column, row) of every line, rows of a column): in columns of equal height, no heading alone at the end."""
    tall = max(FEWEST, -(-len(lines) // COLUMNS))
    places, column, row = [], 0, 0
    for number, line in enumerate(lines):
        left = tall - row
        heading = line.depth < 2
        follows = 2 - line.depth if heading and number + 1 < len(lines) else 0  # lines that must stand below it
        if left <= follows and column + 1 < COLUMNS:
            column, row = column + 1, 0
        places.append((column, row))
        row += 1
    return places, max(tall, max(place[1] for place in places) + 1)


def _lines(label: str) -> str:
    """In short lines."""
    return "<br>".join(textwrap.wrap(label, LONGEST))


def timeline(
    frame: pd.DataFrame, *, families: Sequence[str], selected: str | None, lineage: Sequence[tuple[str, str]] = ()
) -> go.Figure:
    """A dot per paper: year against family. Columns `key`, `name`, `year`, `venue`, `family`.

    `lineage`: pairs (older, newer) of keys, drawn as thin lines; those of the selected one stand out. Years before
    `FIRST` are drawn at the left edge. A click lands on the trace `PAPERS`, whose customdata is the card's key.
    """
    dated = frame.dropna(subset=["year"]).copy()
    dated["year"] = dated["year"].astype(int)
    row = {family: i for i, family in enumerate(families)}
    # Papers of one family and year stand side by side.
    place = dated.groupby(["family", "year"]).cumcount()
    many = dated.groupby(["family", "year"])["key"].transform("count")
    dated["x"] = dated["year"].clip(lower=FIRST) + (place - (many - 1) / 2) * (0.8 / many.clip(lower=4))
    at = {each.key: (each.x, row[each.family]) for each in dated.itertuples(index=False)}
    drawn = [(old, new) for old, new in lineage if old in at and new in at]
    figure = charts.blank(
        _timeline_alt(dated["year"], len(drawn)),
        height=max(260, 100 + 30 * len(families)),
        x_title=_("Year of the paper"),
        y_title="",
    )
    mine = [pair for pair in drawn if selected in pair]
    _add_lineage(figure, [pair for pair in drawn if pair not in mine], at, theme.faded(theme.NEUTRAL, 0.35), 1)
    _add_lineage(figure, mine, at, theme.CUT, 2.5)
    near = {selected, *(key for pair in mine for key in pair)}
    names = dict(zip(dated["key"], map(said, dated["name"])))
    figure.add_scatter(
        x=dated["x"],
        y=[row[family] for family in dated["family"]],
        mode="markers+text",
        text=[_lines(names[key]) if key in near else "" for key in dated["key"]],
        textposition=_beside(dated, near),
        textfont={"size": 11},
        marker={
            "size": [17 if key == selected else 11 for key in dated["key"]],
            "color": [theme.color(row[family]) for family in dated["family"]],
            "symbol": [theme.SYMBOLS[row[family] % len(theme.SYMBOLS)] for family in dated["family"]],
            "line": {"width": [3 if key == selected else 0 for key in dated["key"]], "color": theme.CUT},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        customdata=dated["key"],
        hovertext=[f"<b>{said(each.name)}</b><br>{each.venue} {each.year}" for each in dated.itertuples(index=False)],
        hovertemplate="%{hovertext}<extra></extra>",
        name=PAPERS,
        showlegend=False,
    )
    last = int(dated["year"].max()) if len(dated) else FIRST + 1
    marks = list(range(FIRST, last + 1, 2 if last - FIRST <= 14 else 5))
    early = bool(len(dated)) and int(dated["year"].min()) < FIRST
    figure.update_xaxes(
        tickvals=marks,
        ticktext=[_("until {year}").format(year=mark) if early and mark == FIRST else f"{mark}" for mark in marks],
    )
    figure.update_yaxes(
        tickvals=list(row.values()),
        ticktext=[said(family) for family in row],
        range=[len(families) - 0.2, -1.2],
        showgrid=True,
    )
    figure.update_layout(dragmode=False, hovermode="closest")
    return figure


def _beside(dated: pd.DataFrame, near: set[str | None]) -> list[str]:
    """Names above and below in turns along a row, so that neighbours do not stand in each other's."""
    shown = dated[dated["key"].isin([key for key in near if key])].sort_values("x")
    turn = shown.groupby("family").cumcount() % 2
    below = set(shown["key"][turn == 1])
    return ["bottom center" if key in below else "top center" for key in dated["key"]]


def _timeline_alt(years: pd.Series, lines: int) -> str:
    if years.empty:
        return _("Timeline of 0 papers, and 0 lines from a paper to one that it builds on.")
    return _(
        "Timeline of {papers} papers from {first} to {last}, and {lines} lines from a paper to one that it builds on."
    ).format(papers=len(years), first=years.min(), last=years.max(), lines=lines)


def _add_lineage(
    figure: go.Figure, pairs: Sequence[tuple[str, str]], at: Mapping[str, tuple[float, int]], color: str, width: float
) -> None:
    x: list[float | None] = []
    y: list[float | None] = []
    for old, new in pairs:
        x += [at[old][0], at[new][0], None]
        y += [at[old][1], at[new][1], None]
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": color, "width": width}, hoverinfo="skip", showlegend=False
    )


def scores(frame: pd.DataFrame, *, title: str, layer: str) -> go.Figure:
    """What one criterion says of one layer, in order of the scores. Columns `channel`, `score`, `cut` (bool)."""
    ordered = frame.sort_values("score", kind="stable")
    figure = charts.blank(
        _("Scores of {n} channels of {layer} by {title}, {n2} of them cut: from {iloc:.4g} to {iloc2:.4g}.").format(
            n=len(frame),
            layer=layer,
            title=title,
            n2=int(frame["cut"].sum()),
            iloc=ordered["score"].iloc[0],
            iloc2=ordered["score"].iloc[-1],
        ),
        height=220,
        x_title=_("Channels of {layer}, orange ones go").format(layer=plotted(layer)),
        y_title=_("Score: {title}").format(title=title),
    )
    figure.add_bar(
        x=list(range(len(ordered))),
        y=ordered["score"],
        marker={
            "color": [theme.CUT if cut else theme.ACCENT for cut in ordered["cut"]],
            "pattern": {"shape": ["/" if cut else "" for cut in ordered["cut"]]},
            "line": {"width": 0},
        },
        customdata=ordered["channel"],
        hovertemplate=_("channel %{customdata}: %{y:.4g}") + "<extra></extra>",
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
