"""Train the network on the desk a little further, beside the unpruned one; or prune it in steps, training between."""

import streamlit as st

from pages.finetune import gradual, sections, ways
from pages.ui import state
from pages.ui.language import _

desk = state.worked_on()
model = state.loaded(desk.model)

st.title(_("Fine-tune"))
way = ways.choose()
ways.announce(desk, way)
if way == ways.IN_STEPS:
    gradual.section(desk)
else:
    sections.introduction(desk, model)
    sections.start(desk, model)
    sections.runs(desk)
