"""Train the network on the desk a little further, beside the unpruned one as a control."""

import streamlit as st

from pages.finetune import sections
from pages.ui import state

desk = state.desk()
model = state.loaded(desk.model)

st.title("Fine-tune")
sections.introduction(desk, model)
sections.start(desk, model)
sections.runs(desk)
