"""The graph of layers, and one channel as a row of one weight and a column of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from pages.coupling.graph import Node, Picture
from pages.ui import charts, theme
from pages.ui.language import _
from pages.ui.literal import plotted

LAYERS = "layers"  # the trace that takes the clicks
ROW_PX = 46
SHOWN = 64  # rows and columns of a weight
POINTS, HEAD = 24, 3  # of a curve; of them those that its arrow stands for
DOT, JOINT = 9, 12  # pixels from the middle of a layer, and of a joint, at which arrows begin and end
Way = list[tuple[float, float]]


def graph(picture: Picture, *, key: str, cut: str, makers: set[str], readers: set[str]) -> go.Figure:
    """Layers from top to bottom, arrows from who makes channels to who reads them; those of group `key` in orange.

    `cut`: the layer where one began; `makers` must lose the same filters, `readers` the inputs. Where branches are
    added there is a circle with a plus; what leads past layers is a curve. A click lands on the trace `LAYERS`, whose
    customdata is the layer's name.
    """
    at = {node.name: (float(node.lane), float(node.row)) for node in picture.nodes}
    joints = {node.name: node for node in picture.nodes if node.sign}
    figure = charts.blank(
        _(
            "Graph of {layers} layers and {joints} additions with {arrows} arrows. When {cut} loses a filter, {others} "
            "must lose the same one, and {readers} an input."
        ).format(
            layers=len(at) - len(joints), joints=len(joints), arrows=len(picture.arrows), cut=cut,
            others=", ".join(sorted(makers - {cut})) or _("no other layer"),
            readers=", ".join(sorted(readers)) or _("no layer"),
        ),
        height=70 + ROW_PX * round(max(place[1] for place in at.values()) + 1), x_title="", y_title="",
    )  # fmt: skip
    for each in sorted(picture.arrows, key=lambda arrow: key in arrow.groups):
        _arrow(figure, way(at[each.maker], at[each.reader]), mine=key in each.groups,
               ends=tuple(JOINT if name in joints else DOT for name in (each.maker, each.reader)))  # fmt: skip
    _add_layers(figure, {name: place for name, place in at.items() if name not in joints}, cut, makers, readers)
    _add_joints(figure, {node: at[name] for name, node in joints.items()}, key)
    lanes = max(place[0] for place in at.values()) + 1
    figure.update_xaxes(visible=False, range=[-0.45, lanes - 0.2])
    figure.update_yaxes(visible=False, autorange="reversed")
    figure.update_layout(dragmode=False, hovermode="closest")
    return figure


def way(start: tuple[float, float], end: tuple[float, float]) -> Way:
    """A straight line to the next row; past other rows a curve: round what stands below, or down its own lane."""
    (x0, y0), (x1, y1) = start, end
    if abs(y1 - y0) <= 1:
        return [start, end]
    if x0 == x1:
        out = x0 - min(0.55, 0.2 + 0.06 * (y1 - y0))
        bends = (start, (out, y0), (out, y1), end)
    else:
        down = max(x0, x1)
        bends = (start, (down, y0 + 0.5), (down, y1 - 0.5), end)
    return [_on_curve(bends, step / POINTS) for step in range(POINTS + 1)]


def _on_curve(bends: Sequence[tuple[float, float]], share: float) -> tuple[float, float]:
    """A cubic Bezier curve."""
    a, b, c, d = (1 - share) ** 3, 3 * share * (1 - share) ** 2, 3 * share**2 * (1 - share), share**3
    x, y = (a * bends[0][n] + b * bends[1][n] + c * bends[2][n] + d * bends[3][n] for n in (0, 1))
    return x, y


def _arrow(figure: go.Figure, points: Way, *, mine: bool, ends: tuple[int, ...]) -> None:
    """A line through all points but the last, and from there an arrow: only annotations have heads."""
    color, width, opacity = (theme.CUT, 2.5, 1.0) if mine else (theme.NEUTRAL, 1.2, 0.55)
    if len(points) > 2:
        points = [*points[:-HEAD], points[-1]]
        figure.add_scatter(
            x=[x for x, _y in points[:-1]], y=[y for _x, y in points[:-1]], mode="lines", hoverinfo="skip",
            line={"color": color, "width": width}, opacity=opacity, showlegend=False,
        )  # fmt: skip
    (x0, y0), (x1, y1) = points[-2], points[-1]
    figure.add_annotation(
        x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", showarrow=True, text="", arrowhead=2,
        arrowsize=1.1, arrowwidth=width, arrowcolor=color, standoff=ends[1],
        startstandoff=0 if len(points) > 2 else ends[0], opacity=opacity,
    )  # fmt: skip


def _add_layers(
    figure: go.Figure, at: Mapping[str, tuple[float, float]], cut: str, makers: set[str], readers: set[str]
) -> None:
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
    order = [(layer, look[:3]) for look in looks.values() for layer in look[3]]
    for name, (symbol, color, _size, layers) in looks.items():
        if layers:
            figure.add_scatter(
                x=[None], y=[None], mode="markers", name=name, marker={"symbol": symbol, "color": color, "size": 11}
            )
    figure.add_scatter(
        x=[at[layer][0] for layer, _look in order], y=[at[layer][1] for layer, _look in order], mode="markers+text",
        text=[f"  {plotted(layer)}" for layer, _look in order], textposition="middle right", textfont={"size": 13},
        marker={
            "symbol": [look[0] for _layer, look in order], "color": [look[1] for _layer, look in order],
            "size": [look[2] for _layer, look in order], "opacity": 1,
        },
        customdata=[layer for layer, _look in order], name=LAYERS, showlegend=False,
        hovertemplate="%{text}<extra></extra>", selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )  # fmt: skip


def _add_joints(figure: go.Figure, at: Mapping[Node, tuple[float, float]], key: str) -> None:
    if not at:
        return
    figure.add_scatter(
        x=[place[0] for place in at.values()], y=[place[1] for place in at.values()], mode="markers+text",
        text=[f"<b>{node.sign}</b>" for node in at], textposition="middle center",
        textfont={"color": "#FFFFFF", "size": 15},
        marker={
            "size": 20, "color": [theme.CUT if key in node.groups else theme.NEUTRAL for node in at], "opacity": 1,
        },
        hovertext=[MEETS[node.sign]() for node in at], hovertemplate="%{hovertext}<extra></extra>", name="",
        showlegend=False, selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
    )  # fmt: skip


MEETS = {
    "+": lambda: _("Added position by position: both sides must have the same channels"),
    "×": lambda: _("Multiplied position by position: both sides must have the same channels"),
}


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
