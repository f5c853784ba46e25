"""What is loaded: its figures, its layers, and which of them move together."""

import streamlit as st

from pages.model import sections
from pages.ui import state
from pages.ui.language import _
from pages.ui.literal import named

desk = state.worked_on()
model = state.loaded(desk.model)

st.title(named(model.title))
sections.introduction(model)
sections.figures(desk)
layers, coupling = st.tabs([_("Layers"), _("Coupling")])
with layers:
    sections.layers(state.network(desk.model))
with coupling:
    sections.coupling(state.network(desk.model))
