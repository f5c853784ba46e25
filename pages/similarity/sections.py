"""The parts of the page, from top to bottom."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from pages.similarity import charts
from pages.similarity.clusters import ANSWERS, WEIGHTS, Clusters
from pages.ui import cards, filters, jobs, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pages.ui.literal import literal
from pages.ui.registry import by_key
from pages.ui.stored import verdicts
from pruning_core.analysis.similarity import silhouette
from pruning_core.graph import Network
from pruning_core.runs.view import State
from pruning_core.studies.embed import EmbedRun, read_places

SHOWN = 256  # pictures at once
COUNTS = 60  # points of the silhouette curve
BY_CLUSTER = N_("Cluster")


FROM = {
    WEIGHTS: N_("from the layer's weights, {distance} distance"),
    ANSWERS: N_("from the layer's activations, {distance} distance"),
}


def numbers_of(found: Clusters) -> None:
    """The row on top."""
    places = cards.row(4)
    how = provenance.derived(_(FROM[found.source]).format(distance=said(found.metric.name).lower()))
    apart = found.distances[~np.eye(found.group.size, dtype=bool)]
    nearest = float(apart.min()) if len(apart) else 0.0
    cards.number(_("Channels"), f"{found.group.size:,}", how, detail=_("in this layer"), container=places[0])
    cards.number(_("Clusters"), f"{found.count:,}", how, detail=_("at this cut"), container=places[1])
    value = silhouette(found.tree.distances, found.labels)
    cards.number(
        _("Silhouette"), f"{value:.2f}", how, detail=_("−1 to 1"), container=places[2],
        help=_("How much nearer channels are to their own cluster than to the next one, on average."),
    )  # fmt: skip
    cards.number(_("Closest pair"), f"{nearest:.3g}", how, detail=_("apart"), container=places[3])


def tree_and_matrix(found: Clusters) -> None:
    drawn = found.tree.dendrogram
    left, right = st.columns(2, gap="large")
    title = _("{distance} distance").format(distance=said(found.metric.name))
    with left:
        st.subheader(_("Tree"))
        figure = charts.dendrogram(drawn.x, drawn.height, drawn.order, found.labels, cut=found.cut, title=title)
        plots.show(figure, "similarity.tree")
    with right:
        st.subheader(_("Distances"))
        figure = charts.distance_matrix(found.distances, drawn.order, found.labels, title=title)
        plots.show(figure, "similarity.matrix")


def pictures(desk: Desk, found: Clusters) -> NDArray[np.float64]:
    """Every filter as a small picture, cluster by cluster."""
    st.subheader(_("Filters"))
    drawn = filters.pictures(state.loaded(desk.model).model, found.group)
    order = sorted(range(found.group.size), key=lambda channel: (found.labels[channel], channel))
    figure = filters.filter_pictures(drawn, order[:SHOWN], layer=found.group.key, labels=found.labels.tolist())
    plots.show(figure, "similarity.filters")
    more = " " + _("The first {n} of {all:,}.").format(n=SHOWN, all=len(order)) if len(order) > SHOWN else ""
    st.caption(
        _("Cluster by cluster, averaged over the channels they read; the mark beside each has its cluster's colour.")
        + more
    )
    return drawn


def plane(desk: Desk, network: Network, found: Clusters, drawn: NDArray[np.float64]) -> None:
    """The channels as points: PCA at once, t-SNE in the background."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(_("In the plane"))
        first, second = st.columns(2)
        how = first.segmented_control(
            _("Projection"),
            ("PCA", "t-SNE"),
            default="PCA",
            required=True,
            key="similarity.how",
            wrap=True,
        )
        classes = by_key()
        color = second.selectbox(
            _("Colour by"), [BY_CLUSTER, *classes], key="similarity.color",
            format_func=lambda key: said(classes[key].card.name) if key in classes else _(key),
        )  # fmt: skip
        scores = _scores(desk, network, found, color) if color in classes else None
        place = _projected(desk, found, how)
        if place is not None:
            points, axes = place
            texts = [
                _("<b>channel {channel}</b><br>cluster {cluster}").format(
                    channel=channel, cluster=found.labels[channel] + 1
                )
                + ("<br>" + _("score {score:.4g}").format(score=scores[channel]) if scores is not None else "")
                + f"<br>{filters.drawn(drawn[channel])}"
                for channel in range(found.group.size)
            ]
            name = said(classes[color].card.name) if color in classes else _("cluster")
            figure = charts.embedding(points, labels=found.labels, scores=scores, name=name, axes=axes, texts=texts)
            plots.show(figure, "similarity.plane")
    with right:
        st.subheader(_("How many clusters?"))
        counts = sorted({round(n) for n in np.linspace(2, found.group.size - 1, COUNTS)} | {2})
        counts = [count for count in counts if 2 <= count < found.group.size]
        if not counts:
            st.info(_("This layer has too few channels for clusters of several sizes."))
            return
        values = [float(found.tree.silhouettes[count - 1]) for count in counts]
        plots.show(charts.silhouettes(counts, values, chosen=found.count), "similarity.silhouettes")
        best = counts[int(np.argmax(values))]
        st.caption(
            _(
                "Best at **{best}** clusters ({values:.2f}). Below 0.25 there is no real "
                "structure: these filters do not fall into groups, and a cut removes channels that "
                "are merely the least different."
            ).format(best=best, values=max(values))
        )


def _scores(desk: Desk, network: Network, found: Clusters, key: str) -> NDArray[np.float64] | None:
    criterion = by_key()[key]()
    verdict = verdicts(desk, network, (criterion,), "similarity.scores")
    if verdict is None:
        return None
    values = verdict[criterion].values.get(found.group.key)
    if values is None:
        st.info(
            _("{criterion} cannot judge this layer: {why}").format(
                criterion=said(criterion.card.name), why=literal(said(verdict[criterion].missing[found.group.key]))
            )
        )
        return None
    return values.numpy()


def _projected(desk: Desk, found: Clusters, how: str) -> tuple[NDArray[np.float64], tuple[str, str]] | None:
    """Places in the plane and the names of the axes; None while they are being computed."""
    if how == "PCA":
        made = found.components
        first, second = (numbers.percent(share) for share in made.explained[:2])
        return made.points, (
            _("First component ({first} of the variance)").format(first=first),
            _("Second component ({second})").format(second=second),
        )
    st.caption(_("t-SNE places neighbours beside each other; distances between far groups mean nothing."))
    run = EmbedRun(desk.model, found.group.key, found.metric.name, desk.data if found.source == ANSWERS else None)
    known = state.jobs().find(run) or state.jobs().snapshot(state.jobs().submit(run, state.owner()))
    view = known if known.state is State.DONE else jobs.watch(known.id, key="similarity.tsne")
    if view.state is not State.DONE:
        return None
    return read_places(state.workspace(), view), ("t-SNE 1", "t-SNE 2")
