"""Which layers tolerate pruning: every group alone, at every ratio, on real images."""

import streamlit as st

from pages.sensitivity import sections, settings
from pages.ui import state
from pages.ui.errors import plain_errors
from pages.ui.held_out import held_out_size

desk = state.desk()
model = state.loaded(desk.model)
network = state.network(desk.model)

st.title("Sensitivity")
available = held_out_size(desk.data)
sections.introduction(desk, model, available)
if not network.groups:
    st.info(
        "Nothing in this network can be cut, so there is nothing to sweep. The Model page says what stands in the way."
    )
else:
    with plain_errors():  # what cannot be started must not hide what was measured
        sections.start(settings.ask(desk, network, available))
    sections.results(desk, network, available)
