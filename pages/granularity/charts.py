"""The kernels of a layer, what goes, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from pages.ui import bars, charts, latencies, numbers, theme
from pages.ui.language import _, said
from pages.ui.literal import plotted
from pruning_core.analysis.one_layer import SMALLER, Stored
from pruning_core.measuring.beside import InTurns

FILTERS, INPUTS = 16, 12  # shown of a layer
FLAT_FILTERS, FLAT_INPUTS = 48, 64  # of one whose kernels are single weights


def kernels(weight: Tensor, mask: Tensor, *, layer: str, grain: str) -> go.Figure:
    """Rows are filters, columns input channels, each a small kernel; what goes is orange. Weights: (out, in, ...)."""
    flat = weight.dim() < 3 or weight.shape[2:].numel() == 1
    rows, columns = (FLAT_FILTERS, FLAT_INPUTS) if flat else (FILTERS, INPUTS)
    values, kept = weight.detach()[:rows, :columns].cpu(), mask[:rows, :columns]
    shown, stays = _canvas(values.double().abs().numpy(), flat), _canvas(kept.double().numpy(), flat)
    drawn = np.where(stays == 1, shown, np.nan)
    gone = np.where(stays == 0, 1.0, np.nan)
    most = float(np.nanmax(shown)) or 1.0
    zeros = 1 - float(mask.double().mean())
    figure = charts.blank(
        _(
            "{n} of {n2} filters of {layer}, one row each, as kernels for {shape} of {shape2} "
            "input channels; {zeros:.0%} of the layer's weights go, by {grain}."
        ).format(
            n=len(values),
            n2=len(weight),
            layer=layer,
            shape=values.shape[1],
            shape2=weight.shape[1],
            zeros=zeros,
            grain=said(grain),
        ),
        height=440,
        x_title=_("Input channels (first {shape} of {shape2})").format(shape=values.shape[1], shape2=weight.shape[1]),
        y_title=_("Filters of {layer} (first {n} of {n2})").format(layer=plotted(layer), n=len(values), n2=len(weight)),
    )
    figure.add_heatmap(
        z=gone, colorscale=[[0, theme.CUT], [1, theme.CUT]], opacity=0.75, showscale=False, hoverongaps=False,
        hovertemplate=_("goes") + "<extra></extra>",
    )  # fmt: skip
    figure.add_heatmap(z=drawn, coloraxis="coloraxis", hoverongaps=False, hovertemplate="%{z:.3g}<extra></extra>")
    figure.update_layout(
        coloraxis={
            "cmin": 0.0,
            "cmax": most,
            "colorscale": [[0, theme.faded(theme.ACCENT, 0.12)], [1, theme.ACCENT]],
            "colorbar": {
                "thickness": 10,
                "outlinewidth": 0,
                "title": {"text": _("size of the weight"), "side": "right"},
            },
        }
    )
    figure.update_xaxes(showticklabels=False, showgrid=False, ticks="")
    figure.update_yaxes(showticklabels=False, showgrid=False, ticks="", autorange="reversed")
    return figure


def _canvas(values: np.ndarray, flat: bool) -> np.ndarray:
    """(out, in, h, w) as one picture with gaps between kernels."""
    if flat:
        return values.reshape(len(values), -1)
    out, ins, high, wide = (*values.shape, 1)[:4]
    canvas = np.full((out * (high + 1) - 1, ins * (wide + 1) - 1), np.nan)
    for f in range(out):
        for i in range(ins):
            top, left = f * (high + 1), i * (wide + 1)
            canvas[top : top + high, left : left + wide] = values[f, i].reshape(high, wide)
    return canvas


def speed(times: Mapping[str, InTurns]) -> go.Figure:
    """A bar for each way to run the layer: the median with its 95 % interval."""
    names, quiet = [said(name) for name in times], [name != SMALLER for name in times]
    return latencies.bars_of(times, names, _("Measured time of the layer in ms."), quiet=quiet)


def stored(found: Stored) -> go.Figure:
    """Bytes of the layer's weight in four forms."""
    forms = (_("dense"), _("one bit each and what is left"), _("compressed rows"), _("without empty filters"))
    sizes = [found.dense, found.bitmask, found.csr, found.smaller]
    return bars.bars(
        forms,
        [size / 1000 for size in sizes],
        alt=_("Size of the layer as stored, in kB."),
        x_title=_("Size as stored, kB"),
        quiet=[True, False, False, False],
        told=[numbers.size_bytes(size) for size in sizes],
    )
