"""Filters as pictures, their distances, their tree, their places in the plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from pages.ui import charts, theme


def filter_pictures(
    pictures: NDArray[np.float64], channels: Sequence[int], *, layer: str, columns: int = 16,
    labels: Sequence[int] | None = None,
) -> go.Figure:  # fmt: skip
    """One small picture per channel, in one heatmap; (C, h, w), NaN is empty. `labels` (C,) gives each its mark."""
    _, high, wide = pictures.shape
    columns = max(1, min(columns, len(channels)))
    lines = -(-len(channels) // columns)
    gap = max(1, wide // 5)
    canvas = np.full((lines * (high + gap), columns * (wide + gap)), np.nan)
    centres = []
    for place, channel in enumerate(channels):
        row, column = divmod(place, columns)
        top, left = row * (high + gap), column * (wide + gap)
        canvas[top : top + high, left : left + wide] = pictures[channel]
        centres.append((left + (wide - 1) / 2, top + high - 1 + (gap + 1) / 2))
    most = float(np.nanmax(np.abs(canvas))) or 1.0
    figure = charts.blank(
        f"Pictures of {len(channels)} filters of {layer}.", height=40 + min(900, max(150, lines * 62)), x_title="",
        y_title="",
    )  # fmt: skip
    figure.add_heatmap(
        z=canvas, coloraxis="coloraxis", hoverongaps=False, hovertemplate="%{z:.3g}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[x for x, _ in centres],
        y=[y for _, y in centres],
        mode="markers+text" if len(channels) <= 128 else "markers",
        text=[str(channel) for channel in channels],
        textposition="middle right",
        textfont={"size": 10, "color": theme.NEUTRAL},
        marker={
            "size": 8,
            "color": theme.EMPTY if labels is None else [theme.color(labels[c]) for c in channels],
            "symbol": "circle" if labels is None else [theme.SYMBOLS[labels[c] % len(theme.SYMBOLS)] for c in channels],
        },
        hovertext=[f"channel {c}" + (f"<br>cluster {labels[c] + 1}" if labels is not None else "") for c in channels],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )  # fmt: skip
    figure.update_layout(
        coloraxis={"cmin": -most, "cmax": most, "cmid": 0.0, "colorbar": {"thickness": 10, "outlinewidth": 0}}
    )
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x")
    return figure
