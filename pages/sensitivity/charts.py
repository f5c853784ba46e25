"""The sensitivity heatmap: what accuracy is lost by removing a share of one group of channels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages.sensitivity import parts
from pages.sensitivity.frames import Baseline
from pages.ui import charts, measured, theme
from pages.ui.language import _, said
from pruning_core.errors import clip
from pruning_core.measuring.measures import TOP1

EVEN_TICKS = (0.0, 0.06, 0.25, 0.55, 1.0)  # of the most, where it is no share
FEW_TICKS = (0.0, 0.05, 0.20, 0.50, 1.0)
TICKS = (0.0, 0.01, 0.02, 0.05, 0.10, 0.20, 0.35, 0.50, 0.75, 1.0)


def heatmap(
    cells: pd.DataFrame,
    *,
    groups: Sequence[str],
    ratios: Sequence[float],
    baseline: float,
    measure: str = TOP1,
    labels: Mapping[str, str] | None = None,
    selected: tuple[str, float] | None = None,
) -> go.Figure:
    """Rows are groups in network order, columns the ratio removed; a cell's colour and number say how much worse it is
    by `measure`: in points of a share, else in the measure's unit.

    `cells` has one row per cell: `group`, `ratio`, `top1`, `low`, `high` (95 % interval), `drop` (what is lost against
    `baseline`), `within_noise` (bool: the drop cannot be told from zero) and `estimated` (bool: from measured cells of
    the same group; its number is written with a ≈). What is not there yet stays grey. The colour grows with the square
    root of the drop, because one point against two decides a plan and fifty against sixty does not.

    A click lands on the trace `CELLS`; `cell_at` turns its point index into group and ratio. A heatmap itself
    reports no clicks, which is why invisible bars lie on top of it.
    """
    grid = parts.on_grid(cells, groups, ratios)
    lost = np.clip(grid["drop"], 0.0, None)  # (groups, ratios), NaN where not measured
    shape = (len(groups), len(ratios))
    figure = charts.blank(
        _alt(grid, groups, ratios, baseline, measure),
        height=parts.AROUND + parts.row_height(shape[0]) * shape[0],
        x_title=_("Share of the channels removed"),
        y_title="",
    )
    common = {"x": list(range(shape[1])), "y": list(range(shape[0])), "xgap": 2, "ygap": 2}
    figure.add_heatmap(
        z=np.zeros(shape), colorscale=[[0, theme.EMPTY], [1, theme.EMPTY]], showscale=False, hoverinfo="skip", **common
    )
    shares = measured.measure(measure).unit == "share"
    most = float(np.nanmax(lost, initial=0.0))
    top = max(0.1, most) if shares else most or 1.0
    # The square root crowds the small ticks, so a short colour bar has fewer of them.
    offered = TICKS if parts.row_height(shape[0]) * shape[0] >= 300 else FEW_TICKS
    ticks = [tick for tick in offered if tick <= top] if shares else [top * tick for tick in EVEN_TICKS]
    figure.add_heatmap(
        z=np.sqrt(lost),
        zmin=0.0,
        zmax=math.sqrt(top),
        text=_texts(grid["drop"], grid["estimated"], shares),
        texttemplate="%{text}" if shape[1] <= 14 else None,
        textfont={"size": 11},
        hoverinfo="skip",
        hoverongaps=False,
        colorbar={
            "title": {"text": f"{measured.lost(measure)}<br>{measured.unit_of(measure)}", "side": "top"},
            "tickvals": [math.sqrt(tick) for tick in ticks],
            "ticktext": [f"{100 * tick:.0f}" if shares else f"{tick:.3g}" for tick in ticks],
            "thickness": 12,
            "outlinewidth": 0,
        },
        **common,
    )
    parts.add_noise(figure, grid["within_noise"])
    parts.add_click_targets(figure, lambda i, j: _cell_text(grid, i, j, measure), groups, ratios)
    _add_legend(figure, estimates=bool(grid["estimated"].any()))
    parts.finish(figure, groups, ratios, labels or {}, selected)
    return figure


def cell_at(index: int, groups: Sequence[str], ratios: Sequence[float]) -> tuple[str, float]:
    """The cell of a point on the trace `CELLS`."""
    row, column = divmod(index, len(ratios))
    return groups[row], ratios[column]


def _texts(drop: np.ndarray, estimated: np.ndarray, shares: bool) -> list[list[str]]:
    """What is lost, as the colour bar counts it: of points whole ones, below one point a digit more."""
    return [
        [
            ""
            if math.isnan(value)
            else f"{'≈' if guess else ''}{parts.points(100 * float(value)) if shares else parts.short(float(value))}"
            for value, guess in zip(*pair)
        ]
        for pair in zip(drop, estimated)
    ]


def _cell_text(grid: dict[str, np.ndarray], i: int, j: int, measure: str) -> str:
    if math.isnan(grid["top1"][i, j]):
        return _("not measured yet")
    top1, low, high, drop = (float(grid[name][i, j]) for name in parts.VALUES)
    change = f"{_amount(measure, drop)} {'worse' if drop >= 0 else 'better'}"
    noise = _("<br>inside the noise") if grid["within_noise"][i, j] else ""
    how = _("<br>estimated from the measured cells beside it") if grid["estimated"][i, j] else ""
    name = measured.named_in(measure)
    value = measured.text(Baseline(top1, low, high, 0, measure))
    return f"{name} {value}<br>{change}{noise}{how}"


def _amount(measure: str, drop: float) -> str:
    return measured.difference(measure, abs(drop)).lstrip("+−±")


def _add_legend(figure: go.Figure, *, estimates: bool) -> None:
    nowhere = {"x": [None], "y": [None]}
    figure.add_bar(**nowhere, marker=parts.hatch(), name=_("drop within the 95 % noise"))
    figure.add_scatter(
        **nowhere,
        mode="markers",
        marker={"symbol": "square", "size": 12, "color": theme.faded(theme.NEUTRAL, 0.3)},
        name=_("not measured yet"),
    )
    if estimates:
        figure.add_scatter(
            **nowhere,
            mode="markers+text",
            marker={"symbol": "square", "size": 12, "color": "rgba(0,0,0,0)"},
            name=_("≈ estimated from measured cells"),
        )


def _alt(
    grid: dict[str, np.ndarray], groups: Sequence[str], ratios: Sequence[float], baseline: float, measure: str
) -> str:
    drop = grid["drop"]
    known = int((np.isfinite(drop) & ~grid["estimated"]).sum())
    estimated = _(", {sum} estimated").format(sum=int(grid["estimated"].sum())) if grid["estimated"].any() else ""
    text = _(
        "Heatmap of {n} groups of channels by {n_2} ratios, {known} of {size} cells "
        "measured{estimated}. {name} at first {measure}."
    ).format(
        n=len(groups),
        n_2=len(ratios),
        known=known,
        size=drop.size,
        estimated=estimated,
        name=said(measured.measure(measure).name),
        measure=measured.written(measure, baseline),
    )
    if known:
        row, column = divmod(int(np.nanargmax(drop)), len(ratios))
        text += _(" Most is lost, {amount}, for {clip} at {ratios:.0f} %; {sum} cells are inside the noise.").format(
            amount=_amount(measure, float(drop[row, column])),
            clip=clip(groups[row]),
            ratios=100 * ratios[column],
            sum=int(grid["within_noise"].sum()),
        )
    return text
