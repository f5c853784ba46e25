"""The years with who builds on whom, and the scores of one layer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from pages.ui import charts, theme
from pages.ui.language import _, said
from pages.ui.literal import plotted

PAPERS = "papers"  # the trace that takes the clicks
FIRST = 2014  # the year at the left edge: the few older ones would press the others together
LONGEST = 15  # characters of a line of text at a dot
HEIGHT = 640  # of a table, which fits one screen


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
