"""The filters of a group as arrays, and as pictures. No streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from torch import nn

from pages.ui import charts, theme
from pages.ui.language import _
from pruning_core.errors import UserError, clip
from pruning_core.graph import Group
from pruning_core.probe.places import members_at, rows
from pruning_core.probe.site import Place

SHADES = " ░▒▓█"


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def pictures(model: nn.Module, group: Group) -> NDArray[np.float64]:
    """(C, h, w): each filter of the group's first layer, averaged over the channels it reads.

    A layer without an extent (linear, 1×1) gives its weights as a nearly square picture, padded with NaN.
    """
    known = tensors(model)
    members = members_at(group, Place.PRODUCER, known)
    if not members:
        raise UserError(
            _("No weights compute the channels of {key}, so there are no filters to show.").format(key=clip(group.key))
        )
    weight = known[members[0].parameter].detach().double().cpu()
    own = rows(weight, members[0])
    extent = tuple(weight.shape[2:])
    if len(extent) == 2 and extent[0] * extent[1] > 1:
        return own.reshape(len(own), -1, *extent).mean(1).numpy()
    side = int(np.ceil(np.sqrt(own.shape[1])))
    padded = np.full((len(own), side * side), np.nan)
    padded[:, : own.shape[1]] = own.numpy()
    return padded.reshape(len(own), side, side)


def drawn(picture: NDArray[np.float64], widest: int = 9) -> str:
    """A picture in shades of text, for a tooltip: dark is large. Empty when it is too wide."""
    if picture.shape[1] > widest or picture.shape[0] > widest:
        return ""
    low, high = float(np.nanmin(picture)), float(np.nanmax(picture))
    level = np.nan_to_num((picture - low) / (high - low)) if high > low else np.zeros_like(picture)
    steps = np.minimum((level * len(SHADES)).astype(int), len(SHADES) - 1)
    return "<br>".join("".join(SHADES[step] * 2 for step in row) for row in steps)


def filter_pictures(
    pictures: NDArray[np.float64], channels: Sequence[int], *, layer: str, columns: int = 16,
    labels: Sequence[int] | None = None,
) -> go.Figure:  # fmt: skip
    """One small picture per channel, in one heatmap; (C, h, w), NaN is empty. `labels` (C,) gives each its mark."""
    high, wide = pictures.shape[1:]
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
        _("Pictures of {n} filters of {layer}.").format(n=len(channels), layer=clip(layer)),
        height=40 + min(900, max(150, lines * 62)),
        x_title="",
        y_title="",
    )
    figure.add_heatmap(
        z=canvas, coloraxis="coloraxis", hoverongaps=False, hovertemplate="%{z:.3g}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[place[0] for place in centres],
        y=[place[1] for place in centres],
        mode="markers+text" if len(channels) <= 128 else "markers",
        text=[str(channel) for channel in channels],
        textposition="middle right",
        textfont={"size": 10, "color": theme.NEUTRAL},
        marker={
            "size": 8,
            "color": theme.EMPTY if labels is None else [theme.color(labels[c]) for c in channels],
            "symbol": "circle" if labels is None else [theme.SYMBOLS[labels[c] % len(theme.SYMBOLS)] for c in channels],
        },
        hovertext=[_("channel {number}").format(number=c)
            + ("<br>" + _("cluster {number}").format(number=labels[c] + 1) if labels is not None else "")
            for c in channels],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )  # fmt: skip
    figure.update_layout(
        coloraxis={"cmin": -most, "cmax": most, "cmid": 0.0, "colorbar": {"thickness": 10, "outlinewidth": 0}}
    )
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x")
    return figure
