"""How redundant is every layer: channel clusters under one threshold, kernel clusters of one layer."""

from __future__ import annotations

import streamlit as st

from pages.similarity import charts
from pages.ui import cards, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _
from pages.ui.literal import code
from pruning_core.analysis.redundancy import (
    ChannelRedundancy,
    KernelRedundancy,
    channel_redundancy,
    kernel_redundancy,
)
from pruning_core.graph import Group, Network
from pruning_core.zoo import ModelRef


def section(desk: Desk, network: Network, group: Group) -> None:
    st.subheader(_("The whole network"))
    left, right = st.columns([3, 2], gap="large")
    with left:
        _channels(desk, network)
    with right:
        _kernels(desk, group)


def _channels(desk: Desk, network: Network) -> None:
    """Clusters per layer under one threshold."""
    with st.spinner(_("Clustering every layer …")):
        found = _redundancy(desk.model.to_json(), str(state.workspace().root))
    if not found:
        st.info(_("No layer of this network can be clustered."))
        return
    top = max(float(each.heights[-1]) for each in found) or 1.0
    share = st.slider(
        _("One threshold for all layers (share of the highest)"), 0.0, 1.0, 0.3, 0.01, key="similarity.threshold",
        help=_("Channels that are nearer to each other than this are one cluster; each cluster keeps "
"one."),
    )  # fmt: skip
    clusters = [each.clusters(share * top) for each in found]
    channels = [each.channels for each in found]
    plots.show(
        charts.profile([each.key for each in found], clusters, channels, threshold=share * top), "similarity.profile"
    )
    kept = sum(clusters) / sum(channels)
    st.markdown(
        _(
            "**{clusters:,} clusters** of {channels:,} channels: {share} would stay, each layer with its own width."
        ).format(clusters=sum(clusters), channels=sum(channels), share=numbers.percent(kept))
    )
    cards.source_line(provenance.derived(_("from the weights of {n} groups").format(n=len(found))))


def _kernels(desk: Desk, group: Group) -> None:
    """How few filters show all kinds of kernels of one layer."""
    st.markdown(_("**Kernels of** {key}").format(key=code(group.key)))
    with st.spinner(_("Clustering the kernels …")):
        found = _kernel_clusters(desk.model.to_json(), group.key, str(state.workspace().root))
    share = st.slider(_("Kernel clusters to cover"), 0.5, 1.0, 0.9, 0.01, key="similarity.cover")
    needed = min(found.filters_for(share), len(found.coverage))
    plots.show(charts.coverage(found.coverage, layer=group.key, share=share, needed=needed), "similarity.coverage")
    st.markdown(
        _(
            "**{n} of {all} filters** cover {share} of {clusters:,} kernel clusters (of {inputs:,} input channels)."
        ).format(
            n=needed,
            all=group.size,
            share=numbers.percent(share, 0),
            clusters=int(found.clusters.sum()),
            inputs=len(found.clusters),
        )
    )


@st.cache_resource(show_spinner=False, max_entries=6)
def _redundancy(model: str, root: str) -> tuple[ChannelRedundancy, ...]:
    ref = ModelRef.from_json(model)
    return channel_redundancy(state.loaded(ref).model, state.network(ref))


@st.cache_resource(show_spinner=False, max_entries=24)
def _kernel_clusters(model: str, key: str, root: str) -> KernelRedundancy:
    ref = ModelRef.from_json(model)
    return kernel_redundancy(state.loaded(ref).model, state.network(ref).group(key))
