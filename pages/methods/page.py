"""Choose a pruning method, see its phases before it runs, watch it, and compare several within one budget."""

import streamlit as st

from pages.methods import choose, results
from pages.ui import state
from pages.ui.language import _

desk = state.worked_on()

st.title(_("Methods"))
st.markdown(
    _(
        "A method is more than a score: it may train while it prunes, cut in several places, or draw the "
        "weights to where "
        "they can go. Each runs on the network on the desk, within one budget, and is measured after every phase."
    )
)
choose.section(desk)
results.section(desk)
