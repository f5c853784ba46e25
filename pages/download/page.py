"""The network on the desk as files, each with what it is for."""

import streamlit as st

from pages.download import sections
from pages.ui import state
from pages.ui.language import _

desk = state.worked_on()
model = state.loaded(desk.model)

st.title(_("Download"))
if desk.model.source == "pruned":
    sections.pruned(desk, model)
else:
    sections.whole(desk, model)
