"""Every network that was made here: from what, by what, and what each of them costs and gets right."""

import streamlit as st

from pages.compare import sections, tree
from pages.ui import links, state
from pages.ui.language import _

desk = state.worked_on()

st.title(_("Compare"))
sections.take_click()
families = tree.families(desk)
nodes = sections.family(families)
if len(nodes) < 2:
    st.info(
        _(
            "Nothing was made from this network yet, so there is nothing to compare. Cut it on What-if, "
            "run a method, or "
            "have all sizes measured on Show: what comes of it appears here."
        )
    )
    links.to_what_if()
else:
    sections.everything(desk, nodes)
