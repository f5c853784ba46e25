"""From a layer to its clusters: what is compared, how, and where the tree is cut. Cached per visitor's choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from torch import Tensor

from pages.ui import state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pruning_core.analysis.embedding import Embedding, principal_components
from pruning_core.analysis.similarity import (
    EUCLIDEAN,
    LINKAGES,
    METRICS,
    WARD,
    Labels,
    Linkage,
    Metric,
    Tree,
    grow,
    k_means,
    response_rows,
    weight_rows,
)
from pruning_core.apart import household
from pruning_core.datasets import DataRef, hold_out
from pruning_core.graph import Group
from pruning_core.studies.inputs import fitted
from pruning_core.zoo import ModelRef

WEIGHTS, ANSWERS = N_("Weights"), N_("Activations")
TREE, MEANS = N_("Agglomerative"), N_("k-means")
IMAGES = 64
# What the core calls its distances, linkages and representatives.
NAMES = (
    N_("Euclidean"),
    N_("Cosine"),
    N_("Correlation"),
    N_("Average"),
    N_("Complete"),
    N_("Single"),
    N_("Ward"),
    N_("Medoid"),
    N_("Largest norm"),
)


@dataclass(frozen=True, eq=False)
class Clusters:
    """`points` (C, d) are compared by `metric`; `labels` (C,) is the clustering, `cut` the height, None for k-means."""

    group: Group
    source: str
    metric: Metric
    points: Tensor
    tree: Tree
    labels: Labels
    cut: float | None
    place: tuple[str, ...]  # what names the points: model, data, layer, source

    @property
    def components(self) -> Embedding:
        """The principal components of the points; computed once for all visitors."""
        return _components(self.place, self.points)

    @property
    def count(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def distances(self) -> NDArray[np.float64]:
        return self.tree.distances.numpy()


def ask(desk: Desk, groups: tuple[Group, ...]) -> Clusters:
    """The widgets, and the clusters they describe. Raises UserError when the activations cannot be observed."""
    first, second, third, fourth = st.columns([3, 3, 5, 4], gap="medium")
    by_key = {group.key: group for group in groups}
    with first:
        key = st.selectbox(_("Layer"), list(by_key), key="similarity.layer", persist_state="session")
    with second:
        source = st.segmented_control(
            _("Compare"), (WEIGHTS, ANSWERS), format_func=_, default=WEIGHTS, required=True, key="similarity.source",
            help=_("Activations: what each channel answers to the same {images} images of the "
"training part.").format(images=IMAGES), wrap=True,
        )  # fmt: skip
    with third:
        metrics = {each.name: each for each in METRICS}
        metric = metrics[
            st.segmented_control(
                _("Distance"),
                list(metrics),
                format_func=said,
                default=next(iter(metrics)),
                required=True,
                key="similarity.metric",
                wrap=True,
            )
        ]
    with fourth:
        method = st.segmented_control(
            _("Clusters"), (TREE, MEANS), format_func=_, default=TREE, required=True, key="similarity.method", wrap=True
        )
    group = by_key[key]
    with st.spinner(_("Reading the filters …")):
        points = _points(desk.model.to_json(), desk.data.to_json(), key, source, str(state.workspace().root))
    kinds = {each.name: each for each in LINKAGES if metric in each.metrics}
    left, right = st.columns([4, 11], gap="medium")
    with left:
        linkage = kinds[
            st.selectbox(_("Linkage"), list(kinds), format_func=said, key=f"similarity.linkage.{metric.name}")
        ]
    place = (desk.model.to_json(), desk.data.to_json(), key, source, str(state.workspace().root))
    tree = _tree(place, metric.name, linkage.name, points, metric, linkage)
    with right:
        if method == MEANS:
            labels, cut = _means(_tree(place, EUCLIDEAN.name, WARD.name, points, EUCLIDEAN, WARD)), None
        else:
            labels, cut = _cut(tree, f"{key}.{source}.{metric.name}.{linkage.name}")
    return Clusters(group, source, metric, points, tree, labels, cut, place)


def _means(ward: Tree) -> Labels:
    count = ward.channels
    if count < 2:
        return np.zeros(count, np.int64)
    wanted = st.slider(_("Number of clusters"), 1, count, _usual(count), key=f"similarity.count.{count}")
    return k_means(ward, int(wanted))


def _usual(count: int) -> int:
    """Clusters to begin with: a cut that leaves most channels."""
    return max(1, round(0.7 * count))


def _cut(tree: Tree, name: str) -> tuple[Labels, float | None]:
    count = tree.channels
    if count < 2:
        return np.zeros(count, np.int64), None
    usual = _usual(count)
    heights = tree.merges[:, 2]
    top = float(heights[-1]) * 1.02 or 1.0
    start = float(heights[count - usual - 1]) if usual < count else 0.0
    cut = float(
        st.slider(
            _("Cut the tree at"), 0.0, top, start, top / 200, format="%.3g", key=f"similarity.cut.{name}",
            help=_("Channels that are joined below this height form one cluster. Everything below "
"follows the cut."),
        )
    )  # fmt: skip
    return tree.cut(cut), cut


@st.cache_resource(show_spinner=False, max_entries=24)
def _points(model: str, data: str, key: str, source: str, root: str) -> Tensor:
    loaded = state.loaded(ModelRef.from_json(model))
    group = state.network(ModelRef.from_json(model)).group(key)
    if source == WEIGHTS:
        return weight_rows(loaded.model, group)
    ref = DataRef.from_json(data)
    if far := household.far(loaded.ref, state.workspace()):
        return far.responses(group, ref, IMAGES)
    train, _ = state.splits(ref)
    fit, _ = hold_out(train, ref)
    images = fitted(fit.subset(min(IMAGES, len(fit)), 0), ref, loaded, judged=False)
    return response_rows(loaded.model, group, images, images=len(images))


@st.cache_resource(show_spinner=False, max_entries=24)
def _tree(
    place: tuple[str, ...], metric: str, linkage: str, _points: Tensor, _metric: Metric, _linkage: Linkage
) -> Tree:
    return grow(_metric.distances(_points), _linkage)


@st.cache_resource(show_spinner=False, max_entries=24)
def _components(place: tuple[str, ...], _points: Tensor) -> Embedding:
    return principal_components(_points)
