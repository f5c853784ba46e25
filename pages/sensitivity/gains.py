"""The heatmap of what mending brings: in each cell by how much the mended network is better than the one just cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages.sensitivity import parts
from pages.ui import changes, charts, measured, theme
from pages.ui.language import _
from pruning_core.errors import clip
from pruning_core.graph import Network
from pruning_core.measuring.measures import TOP1, Cell

COLUMNS = ("group", "ratio", "cut", "mended", "gain", "low", "high", "within_noise", "estimated")
VALUES, FLAGS = ("cut", "mended", "gain", "low", "high"), ("within_noise", "estimated")
LEAST = 0.1  # the scale reaches at least so far, so that noise is pale
TICKS = (0.0, 0.02, 0.10, 0.25, 0.50, 1.0)
PALE = "#E3E6EA"  # opaque: the colour of a number is chosen for its cell's, on a dark page as on a light one
Cells = Mapping[tuple[str, float], Cell]


def table(cut: Cells, mended: Cells, network: Network) -> pd.DataFrame:
    """One row per cell that both sweeps have and that was really mended, with the 95 % interval of the difference.

    Which images each of them gets right is not kept, so the interval is that of unpaired measurements: too wide.
    """
    rows = [_row(cut[at], mended[at]) for at in _both(cut, mended, network)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _both(cut: Cells, mended: Cells, network: Network) -> Iterable[tuple[str, float]]:
    place = {group.key: number for number, group in enumerate(network.groups)}
    found = (at for at in cut.keys() & mended.keys() if at[0] in place and mended[at].mended)
    return sorted(found, key=lambda at: (place[at[0]], at[1]))


def _row(cut: Cell, mended: Cell) -> tuple[object, ...]:
    rises = measured.measure(mended.measure).rises
    better = changes.unpaired(cut, mended) if rises else changes.unpaired(mended, cut)
    bounds = better.low, better.high, better.within_noise
    return cut.group, cut.ratio, cut.top1, mended.top1, better.difference, *bounds, cut.estimated or mended.estimated


def heatmap(
    rows: pd.DataFrame,
    *,
    groups: Sequence[str],
    ratios: Sequence[float],
    measure: str = TOP1,
    labels: Mapping[str, str] | None = None,
    selected: tuple[str, float] | None = None,
) -> go.Figure:
    """Rows of `table`: one colour where mending helps, another one where it harms, pale near zero.

    Colours grow with the square root, and numbers have the unit, as in the other heatmap. Clicks land on the trace
    `charts.CELLS`.
    """
    grid = parts.on_grid(rows, groups, ratios, values=VALUES, flags=FLAGS)
    gain, shape = grid["gain"], (len(groups), len(ratios))
    tall = parts.row_height(shape[0]) * shape[0]
    figure = charts.blank(
        _alt(grid, groups, ratios, measure),
        height=parts.AROUND + tall,
        x_title=_("Share of the channels removed"),
        y_title="",
    )
    common = {"x": list(range(shape[1])), "y": list(range(shape[0])), "xgap": 2, "ygap": 2}
    figure.add_heatmap(
        z=np.zeros(shape), colorscale=[[0, theme.EMPTY], [1, theme.EMPTY]], showscale=False, hoverinfo="skip", **common
    )
    shares = measured.measure(measure).unit == "share"
    most = float(np.nanmax(np.abs(gain), initial=0.0))
    top = max(LEAST, most) if shares else most or 1.0
    reached = [tick for tick in TICKS if tick <= top] if shares else [0.0, top / 4, top]
    ticks = [*(-tick for tick in reversed(reached[1:])), *reached]
    figure.add_heatmap(
        z=np.sign(gain) * np.sqrt(np.abs(gain)),
        zmin=-math.sqrt(top),
        zmax=math.sqrt(top),
        colorscale=[[0, theme.CUT], [0.5, PALE], [1, theme.ACCENT]],
        text=[[_text(*cell, shares) for cell in zip(*line)] for line in zip(gain, grid["estimated"])],
        texttemplate="%{text}" if shape[1] <= 14 else None,
        textfont={"size": 11},
        hoverinfo="skip",
        hoverongaps=False,
        colorbar={
            "title": {
                "text": _("Mending brings<br>{unit_of}").format(unit_of=measured.unit_of(measure)),
                "side": "top",
            },
            "tickvals": [math.copysign(math.sqrt(abs(tick)), tick) for tick in ticks],
            "ticktext": [_signed(tick, shares) for tick in ticks],
            "thickness": 12,
            "outlinewidth": 0,
        },
        **common,
    )
    parts.add_noise(figure, grid["within_noise"])
    parts.add_click_targets(figure, lambda i, j: _told(grid, i, j, measure), groups, ratios)
    nowhere = {"x": [None], "y": [None]}
    figure.add_bar(**nowhere, marker=parts.hatch(), name=_("difference within the 95 % noise"))
    figure.add_scatter(
        **nowhere,
        mode="markers",
        marker={"symbol": "square", "size": 12, "color": theme.faded(theme.NEUTRAL, 0.3)},
        name=_("not measured both ways"),
    )
    parts.finish(figure, groups, ratios, labels or {}, selected)
    return figure


def _text(gain: float, guess: bool, shares: bool) -> str:
    if math.isnan(gain):
        return ""
    return f"{'≈' if guess else ''}{_signed(gain, shares).removeprefix('+')}"  # a sign more would not fit


def _signed(gain: float, shares: bool) -> str:
    text = parts.points(100 * gain) if shares else parts.short(gain)
    return text if text == "0" or text.startswith("−") else f"+{text}"


def _told(grid: Mapping[str, np.ndarray], i: int, j: int, measure: str) -> str:
    if math.isnan(grid["gain"][i, j]):
        return _("not measured both ways")
    cut, mended, gain, low, high = (float(grid[name][i, j]) for name in VALUES)
    noise = _("<br>inside the noise") if grid["within_noise"][i, j] else ""
    guess = _("<br>at least one of them estimated") if grid["estimated"][i, j] else ""
    return _("just cut {measure}, mended {measure_2}<br>better by {measure_3} ({span}){noise}{guess}").format(
        measure=measured.written(measure, cut),
        measure_2=measured.written(measure, mended),
        measure_3=measured.difference(measure, gain),
        span=measured.span(measure, low, high),
        noise=noise,
        guess=guess,
    )


def _alt(grid: Mapping[str, np.ndarray], groups: Sequence[str], ratios: Sequence[float], measure: str) -> str:
    gain = grid["gain"]
    known = int(np.isfinite(gain).sum())
    text = _(
        "Heatmap of {n} groups of channels by {n_2} ratios: by how much mending is better than just "
        "cutting; {known} of {size} cells are measured both ways."
    ).format(n=len(groups), n_2=len(ratios), known=known, size=gain.size)
    if known:
        row, column = divmod(int(np.nanargmax(gain)), len(ratios))
        text += _(
            " Mending brings most for {clip} at {ratios:.0f} %: {difference}; {nansum} cells lose by it, "
            "{sum} are inside the noise."
        ).format(
            clip=clip(groups[row]),
            ratios=100 * ratios[column],
            difference=measured.difference(measure, float(gain[row, column])),
            nansum=int(np.nansum(gain < 0)),
            sum=int(grid["within_noise"].sum()),
        )
    return text
