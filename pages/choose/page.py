"""Choose what to work on: a network and the images it is judged on."""

import streamlit as st

from pages.choose import data, models
from pages.choose.fit import standing
from pages.ui import state
from pages.ui.language import _

desk = state.worked_on()

st.title(_("Load"))
st.markdown(
    _(
        "Choose a network and the data it is judged on. They are then on the desk: what every page works on. What is "
        "there stays until the next one has loaded."
    )
)
standing(desk)
network, images = st.tabs([_("Network"), _("Data")])
with network:
    models.draw()
with images:
    data.draw()
