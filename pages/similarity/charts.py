"""Distances of filters, their tree, their places in the plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from pages.ui import charts, theme
from pages.ui.language import _

CHANNELS = "channels"  # the trace that takes the clicks
MOST_CELLS = 400  # rows of a distance matrix that a browser draws at once


def distance_matrix(
    distances: NDArray[np.float64], order: NDArray[np.int64], labels: NDArray[np.int64], *, title: str
) -> go.Figure:
    """(C, C) in the order of the tree, with each channel's cluster as a coloured edge.

    Layers of more than `MOST_CELLS` channels show means over neighbouring ones.
    """
    count = len(order)
    block = -(-count // MOST_CELLS)
    shown = distances[np.ix_(order, order)]
    if block > 1:
        edges = np.arange(0, count, block)
        sizes = np.diff(np.append(edges, count))
        sums = np.add.reduceat(np.add.reduceat(shown, edges, 0), edges, 1)
        shown = sums / np.outer(sizes, sizes)
    place = np.arange(0, count, block)
    apart = shown[~np.eye(len(shown), dtype=bool)]  # the zeros on the diagonal would take up half of the colours
    figure = charts.blank(
        _("{title} distances of {count} channels in the order of the tree; largest {max:.3g}.").format(
            title=title, count=count, max=distances.max()
        ),
        height=480,
        x_title=_("Channels in the order of the tree"),
        y_title="",
    )
    figure.add_heatmap(
        z=shown,
        x=place,
        y=place,
        zmin=apart.min() if len(apart) else 0.0,
        zmax=apart.max() if len(apart) else 1.0,
        customdata=None if block > 1 else [[_("{a} and {b}").format(a=a, b=b) for b in order] for a in order],
        hovertemplate=("%{z:.4g}" if block > 1 else _("channels %{customdata}") + "<br>%{z:.4g}") + "<extra></extra>",
        colorbar={"title": {"text": title, "side": "right"}, "thickness": 12, "outlinewidth": 0},
    )
    figure.add_scatter(
        x=np.full(len(place), -0.03 * count - 0.6),
        y=place,
        mode="markers",
        marker={"symbol": "square", "size": 9, "color": [theme.color(labels[order[at]]) for at in place]},
        hovertext=[
            _("channel {channel}<br>cluster {cluster}").format(channel=order[at], cluster=labels[order[at]] + 1)
            for at in place
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    few = count <= 48
    ticks = {"tickvals": place if few else [], "ticktext": [str(c) for c in order] if few else [], "showgrid": False}
    figure.update_xaxes(**ticks, tickfont={"size": 10})
    figure.update_yaxes(**ticks, tickfont={"size": 10}, autorange="reversed")
    return figure


def dendrogram(
    x: NDArray[np.float64], height: NDArray[np.float64], order: NDArray[np.int64], labels: NDArray[np.int64], *,
    cut: float | None, title: str,
) -> go.Figure:  # fmt: skip
    """The tree, its branches below the cut in the colour of their cluster. `x`, `height`: (C - 1, 4) brackets."""
    clusters = int(labels.max()) + 1 if len(labels) else 0
    figure = charts.blank(
        _("Cluster tree of {n} channels, cut into {clusters} clusters.").format(n=len(order), clusters=clusters),
        height=480,
        x_title=_("Channels in the order of the tree"),
        y_title=title,
    )
    lowest, top = (float(height[:, 1].min()), float(height.max())) if len(height) else (0.0, 1.0)
    # where nothing is alike all merges lie close together, far above 0: then the leaves hang just below the first
    floor = lowest - 0.2 * (top - lowest) if top / 2 < lowest < top else 0.0
    height = np.maximum(height, floor)
    hues: dict[str, list[int]] = {}
    for step in range(len(x)):
        leaf = order[min(len(order) - 1, max(0, round(float(x[step].mean()))))]
        below = cut is not None and height[step].max() <= cut
        hues.setdefault(theme.color(labels[leaf]) if below else theme.NEUTRAL, []).append(step)
    for hue, steps in hues.items():  # one trace per colour: a trace per bracket would be slow
        xs, ys = [], []
        for step in steps:
            xs += [*x[step], None]
            ys += [*height[step], None]
        figure.add_scatter(
            x=xs, y=ys, mode="lines", line={"color": hue, "width": 1.6}, hoverinfo="skip", showlegend=False
        )
    figure.add_scatter(
        x=np.arange(len(order)),
        y=np.full(len(order), floor),
        mode="markers",
        marker={"size": 7, "color": [theme.color(labels[c]) for c in order]},
        hovertext=[_("channel {channel}<br>cluster {cluster}").format(channel=c, cluster=labels[c] + 1) for c in order],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    if cut is not None:
        figure.add_hline(y=cut, line={"color": theme.NEUTRAL, "width": 1.5, "dash": "dot"})
        figure.add_annotation(  # in the margin, where no branch runs through it
            text=_("dotted: cut into {clusters} clusters").format(clusters=clusters),
            x=1,
            xref="paper",
            xanchor="right",
            y=1,
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            font={"color": theme.NEUTRAL, "size": 12},
        )
        figure.update_layout(margin_t=30)
    few = len(order) <= 48
    figure.update_xaxes(
        tickvals=np.arange(len(order)) if few else [], ticktext=[str(c) for c in order], showgrid=False,
        tickfont={"size": 10},
    )  # fmt: skip
    figure.update_yaxes(range=[floor, None], autorange="max")
    return figure


def embedding(
    points: NDArray[np.float64], *, labels: NDArray[np.int64], scores: NDArray[np.float64] | None, name: str,
    axes: tuple[str, str], texts: list[str],
) -> go.Figure:  # fmt: skip
    """(C, 2): each channel a point, in its cluster's colour or in that of its score."""
    figure = charts.blank(
        _("{n} channels in the plane, coloured by {name}.").format(n=len(points), name=name),
        height=440,
        x_title=axes[0],
        y_title=axes[1],
    )
    marker: dict[str, object] = {"size": 10, "line": {"width": 0}, "opacity": 0.85}
    if scores is None:
        marker |= {
            "color": [theme.color(label) for label in labels],
            "symbol": [theme.SYMBOLS[label % len(theme.SYMBOLS)] for label in labels],
        }
    else:
        marker |= {
            "color": scores,
            "showscale": True,
            "colorbar": {"title": {"text": name, "side": "right"}, "thickness": 12},
        }
    figure.add_scatter(
        x=points[:, 0], y=points[:, 1], mode="markers", marker=marker, hovertext=texts,
        hovertemplate="%{hovertext}<extra></extra>", name=CHANNELS, showlegend=False,
    )  # fmt: skip
    figure.update_layout(hovermode="closest", hoverlabel={"font": {"family": "monospace"}})
    return figure


def silhouettes(counts: Sequence[int], values: Sequence[float], *, chosen: int) -> go.Figure:
    """Mean silhouette for each number of clusters, the chosen one marked."""
    best = max(range(len(values)), key=lambda i: values[i], default=None)
    figure = charts.blank(
        _("Silhouette against the number of clusters.")
        if best is None
        else _("Silhouette against the number of clusters; best {most:.2f} at {n}.").format(
            most=values[best], n=counts[best]
        ),
        height=300,
        x_title=_("Number of clusters"),
        y_title=_("Mean silhouette"),
    )
    figure.add_scatter(
        x=list(counts), y=list(values), mode="lines+markers", line={"color": theme.ACCENT, "width": 2},
        marker={"size": 6}, hovertemplate=_("%{x} clusters: %{y:.3f}") + "<extra></extra>", showlegend=False,
    )  # fmt: skip
    figure.add_vline(x=chosen, line={"color": theme.CUT, "width": 2, "dash": "dash"})
    return figure


def profile(layers: Sequence[str], clusters: Sequence[int], channels: Sequence[int], *, threshold: float) -> go.Figure:
    """Clusters per layer under one threshold, beside the channels there are."""
    frame = pd.DataFrame({"layer": list(layers), "before": list(channels), "after": list(clusters)})
    kept = sum(clusters) / max(1, sum(channels))
    return charts.widths(
        frame,
        alt=_("Clusters per layer at a threshold of {threshold:.3g}: {kept:.0f} % of all channels.").format(
            threshold=threshold, kept=100 * kept
        ),
    )


def coverage(values: NDArray[np.float64], *, layer: str, share: float, needed: int) -> go.Figure:
    """How much of the kernel clusters the first 1, 2, … filters cover."""
    figure = charts.blank(
        _("{needed} of {n} filters of {layer} cover {share:.0f} % of its kernel clusters.").format(
            needed=needed, n=len(values), layer=layer, share=100 * share
        ),
        height=300,
        x_title=_("Filters kept, the most covering first"),
        y_title=_("Kernel clusters covered"),
    )
    figure.add_scatter(
        x=np.arange(1, len(values) + 1), y=values, mode="lines", line={"color": theme.ACCENT, "width": 2},
        hovertemplate=_("%{x} filters: %{y:.1%}") + "<extra></extra>", showlegend=False,
    )  # fmt: skip
    figure.add_vline(x=needed, line={"color": theme.CUT, "width": 2, "dash": "dash"})
    figure.update_yaxes(tickformat=theme.PERCENT, range=[0, 1.03])
    return figure
