"""Which channels of a layer are alike, and how many kinds there are."""

import streamlit as st

from pages.similarity import clusters, keeping, sections, whole
from pages.ui import state
from pages.ui.filters import tensors
from pages.ui.language import _
from pruning_core.probe.places import members_at
from pruning_core.probe.site import Place

desk = state.worked_on()
network = state.network(desk.model)

st.title(_("Similarity"))
st.markdown(
    _(
        "Filters that are alike do the same work, so one of them can go. Cut the tree where you "
        "like: the tree, the pictures and the plane take the colours of its clusters."
    )
)
known = tensors(state.loaded(desk.model).model)
groups = tuple(group for group in network.groups if group.size > 1 and members_at(group, Place.PRODUCER, known))
if not groups:
    st.info(_("No layer of this network has filters that could be compared. The Model page says what is in the way."))
else:
    found = clusters.ask(desk, groups)
    sections.numbers_of(found)
    sections.tree_and_matrix(found)
    drawn = sections.pictures(desk, found)
    sections.plane(desk, network, found, drawn)
    keeping.section(desk, network, found)
    whole.section(desk, network, found.group)
