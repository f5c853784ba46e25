"""Measured time: of one layer against its channels, of the whole network under many conditions."""

import streamlit as st

from pages.latency import conditions, widths
from pages.ui import state
from pages.ui.errors import plain_errors
from pages.ui.language import _

desk = state.worked_on()
network = state.network(desk.model)

st.title(_("Latency"))
st.markdown(
    _(
        "MACs are counted, time is measured, and one does not follow from the other: kernels work on "
        "blocks of channels, "
        "and starting a layer takes its time too. Here is what this machine needs for the loaded network."
    )
)
st.subheader(_("One layer against its channels"))
with plain_errors():
    widths.section(desk, network)
st.subheader(_("The whole network"))
with plain_errors():
    conditions.section(desk, network)
