"""Why a cut in one layer is a cut in several: the coupled groups of the loaded network as a graph."""

import streamlit as st

from pages.coupling import sections
from pages.ui import state
from pages.ui.language import _

desk = state.desk()
network = state.network(desk.model)

st.title(_("Coupling"))
st.markdown(
    _(
        "A filter cannot go alone: what it made is read elsewhere, and what is added to it must "
        "have as many channels. Click a layer, or choose one, and see what must follow in the "
        "loaded network."
    )
)
if network.groups:
    sections.show(desk.model, state.loaded(desk.model), network)
else:
    st.info(_("Nothing in this network can be cut. The Model page says which operators stand in the way."))
