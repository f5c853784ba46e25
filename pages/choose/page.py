"""Choose what to work on: a network and the images it is judged on."""

import streamlit as st

from pages.choose import data, models
from pages.choose.fit import said
from pages.ui import state

st.title("Load")
st.markdown(
    "Choose a network and the images it is judged on. They are then on the desk: what every page works on. What is "
    "there stays until the next one has loaded."
)
said(state.desk())
network, images = st.tabs(["Network", "Data"])
with network:
    models.draw()
with images:
    data.draw()
