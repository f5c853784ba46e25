"""The graph of layers, and one channel as a row of one weight and a column of the next."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from pages.coupling.graph import Picture
from pages.ui import charts, theme
from pages.ui.language import _
from pages.ui.literal import plotted

LAYERS = "layers"  # the trace that takes the clicks
ROW_PX = 52
SHOWN = 64  # rows and columns of a weight


def graph(picture: Picture, *, key: str, cut: str, makers: set[str], readers: set[str]) -> go.Figure:
    """Layers from top to bottom, arrows from who makes channels to who reads them; those of group `key` in orange.

    `cut`: the layer where one began; `makers` must lose the same filters, `readers` the inputs. A click lands on the
    trace `LAYERS`, whose customdata is the layer's name.
    """
    lanes = max(node.lane for node in picture.nodes) + 1
    in_row = {row: sum(node.row == row for node in picture.nodes) for row in {node.row for node in picture.nodes}}
    at = {n.layer: (n.lane + (lanes - in_row[n.row]) / 2, n.row) for n in picture.nodes}
    figure = charts.blank(
        _(
            "Graph of {layers} layers with {arrows} arrows. When {cut} loses a filter, {others} must lose the same "
            "one, and {readers} an input."
        ).format(
            layers=len(picture.nodes), arrows=len(picture.arrows), cut=cut,
            others=", ".join(sorted(makers - {cut})) or _("no other layer"),
            readers=", ".join(sorted(readers)) or _("no layer"),
        ),
        height=70 + ROW_PX * (max(place[1] for place in at.values()) + 1), x_title="", y_title="",
    )  # fmt: skip
    for maker, reader, of in picture.arrows:
        (x0, y0), (x1, y1) = at[maker], at[reader]
        mine = of == key
        figure.add_annotation(
            x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", showarrow=True, text="", arrowhead=2,
            arrowsize=1.1, arrowwidth=2.5 if mine else 1.2, arrowcolor=theme.CUT if mine else theme.NEUTRAL, standoff=9,
            startstandoff=9, opacity=1.0 if mine else 0.55,
        )  # fmt: skip
    looks = {
        _("cut here"): ("x", theme.CUT, 17, [layer for layer in at if layer == cut]),
        _("must lose the same filters"): ("square", theme.CUT, 14, [n for n in at if n in makers and n != cut]),
        _("must lose these inputs"): (
            "diamond",
            theme.CATEGORICAL[2],
            14,
            [n for n in at if n in readers and n not in makers],
        ),
        _("not touched"): ("circle", theme.NEUTRAL, 11, [n for n in at if n not in makers | readers]),
    }
    order, x, y, symbols, colors, sizes = [], [], [], [], [], []
    for name, (symbol, color, size, layers) in looks.items():
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=name, marker={"symbol": symbol, "color": color, "size": 11}
        )
        for layer in layers:
            order.append(layer)
            x.append(at[layer][0])
            y.append(at[layer][1])
            symbols.append(symbol)
            colors.append(color)
            sizes.append(size)
    figure.add_scatter(
        x=x, y=y, mode="markers+text", text=[plotted(layer) for layer in order], textposition="middle right",
        marker={"symbol": symbols, "color": colors, "size": sizes}, customdata=order, name=LAYERS, showlegend=False,
        hovertemplate="%{text}<extra></extra>", selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.3, lanes])
    figure.update_yaxes(visible=False, autorange="reversed")
    figure.update_layout(dragmode=False, hovermode="closest")
    return figure


def weight(found: Tensor, *, layer: str, channel: int, rows: bool) -> go.Figure:
    """A weight (out, in, ...) as a matrix of kernel norms, with one row or one column in orange."""
    norms = found.detach().flatten(2).norm(dim=2) if found.dim() > 2 else found.detach().abs()
    values = norms.double().cpu().numpy()
    out, ins = values.shape
    shown = values[:SHOWN, :SHOWN]
    mark = np.full(shown.shape, np.nan)
    what = (
        _("filter {channel}: a row").format(channel=channel)
        if rows
        else _("input channel {channel}: a column").format(channel=channel)
    )
    if rows and channel < len(shown):
        mark[channel, :] = 1.0
    elif not rows and channel < shown.shape[1]:
        mark[:, channel] = 1.0
    figure = charts.blank(
        _("Weight of {layer} as a matrix of {out} filters and {ins} input channels; {what} of it "
"is marked.").format(layer=layer, out=out, ins=ins, what=what),
        height=280, x_title=_("Input channels ({ins})").format(ins=ins), y_title=_("Filters ({out})").format(out=out),
    )  # fmt: skip
    figure.add_heatmap(
        z=shown, colorscale=[[0, theme.faded(theme.ACCENT, 0.1)], [1, theme.ACCENT]], showscale=False,
        hovertemplate=_("filter %{y}, input %{x}: %{z:.3g}<extra></extra>"),
    )  # fmt: skip
    figure.add_heatmap(
        z=mark, colorscale=[[0, theme.CUT], [1, theme.CUT]], showscale=False, hoverinfo="skip", hoverongaps=False
    )
    figure.update_xaxes(showgrid=False, tickformat="d", showticklabels=ins > 1)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    return figure
