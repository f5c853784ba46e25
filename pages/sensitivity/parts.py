"""What both heatmaps are made of: a grid of groups by ratios, hatching, names, and what takes the clicks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages.ui import charts
from pages.ui.language import _
from pages.ui.literal import distinct, plotted

CELLS = "cells"  # the name of the invisible trace that takes the clicks
TALL_PX = 44  # rows of a network with few groups
FILLED_PX = 400  # what they may fill together
AROUND = 110  # axis, legend and margins
VALUES = ("top1", "low", "high", "drop")
FLAGS = ("within_noise", "estimated")


def finish(
    figure: go.Figure,
    groups: Sequence[str],
    ratios: Sequence[float],
    labels: Mapping[str, str],
    selected: tuple[str, float] | None,
) -> None:
    """Names along both axes, and an outline around the cell that was clicked."""
    if selected is not None and selected[0] in groups and selected[1] in ratios:
        charts.add_outline(figure, list(ratios).index(selected[1]), list(groups).index(selected[0]))
    figure.update_xaxes(
        tickvals=list(range(len(ratios))),
        ticktext=[f"{100 * r:.0f} %" for r in ratios],
        range=[-0.5, len(ratios) - 0.5],
        showgrid=False,
    )
    figure.update_yaxes(
        tickvals=list(range(len(groups))),
        ticktext=distinct(labels.get(group, group) for group in groups),
        range=[len(groups) - 0.5, -0.5],
        showgrid=False,
    )
    figure.update_layout(barmode="overlay", bargap=0, dragmode=False)


def row_height(groups: int) -> int:
    """In pixels: rows of short networks are tall, those of long ones can still be read and hit."""
    return max(charts.ROW_PX, min(TALL_PX, FILLED_PX // max(1, groups)))


def on_grid(
    cells: pd.DataFrame,
    groups: Sequence[str],
    ratios: Sequence[float],
    *,
    values: Sequence[str] = VALUES,
    flags: Sequence[str] = FLAGS,
) -> dict[str, np.ndarray]:
    """Columns of `cells` as arrays (groups, ratios); NaN (False for flags) where nothing is known."""
    row = {group: i for i, group in enumerate(groups)}
    column = {ratio: j for j, ratio in enumerate(ratios)}
    shape = (len(groups), len(ratios))
    grid = {name: np.full(shape, np.nan) for name in values}
    grid |= {name: np.zeros(shape, dtype=bool) for name in flags}
    for cell in cells.itertuples(index=False):
        if cell.group in row and cell.ratio in column:
            at = row[cell.group], column[cell.ratio]
            for name in (*values, *flags):
                grid[name][at] = getattr(cell, name)
    return grid


def short(lost: float) -> str:
    return f"{lost:.2g}".replace("-", "−")


def points(lost: float) -> str:
    text = f"{lost:.0f}" if abs(lost) >= 0.95 or abs(lost) < 0.05 else f"{lost:.1f}"
    return "0" if text == "-0" else text.replace("-", "−")


def add_noise(figure: go.Figure, noise: np.ndarray) -> None:
    """Hatching over the cells whose drop is within the noise; bars, because only bars have patterns."""
    at = np.argwhere(noise)
    figure.add_bar(
        x=at[:, 1],
        y=np.full(len(at), 0.9),
        base=at[:, 0] - 0.45,
        width=0.97,
        marker=hatch(),
        hoverinfo="skip",
        showlegend=False,
        name=_("inside the noise"),
    )


def hatch() -> dict[str, object]:
    return {
        "color": "rgba(0,0,0,0)",
        "line": {"width": 0},
        "pattern": {
            "shape": "/",
            "fgcolor": "rgba(124, 130, 140, 0.7)",
            "size": 7,
            "solidity": 0.12,
            "bgcolor": "rgba(0,0,0,0)",
        },
    }


def add_click_targets(
    figure: go.Figure, tell: Callable[[int, int], str], groups: Sequence[str], ratios: Sequence[float]
) -> None:
    """Invisible bars that take the clicks; `tell(row, column)` is what stands below the name when one points there."""
    rows, columns = np.meshgrid(range(len(groups)), range(len(ratios)), indexing="ij")
    texts = [
        _("<b>{group}</b><br>{ratio:.0f} % of its channels removed<br>").format(group=plotted(group), ratio=100 * ratio)
        + tell(i, j)
        for i, group in enumerate(groups)
        for j, ratio in enumerate(ratios)
    ]
    figure.add_bar(
        x=columns.ravel(),
        y=np.full(rows.size, 1.0),
        base=rows.ravel() - 0.5,
        width=1.0,
        marker={"color": "rgba(0,0,0,0)", "line": {"width": 0}},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        hovertext=texts,
        hovertemplate="%{hovertext}<extra></extra>",
        name=CELLS,
        showlegend=False,
    )
