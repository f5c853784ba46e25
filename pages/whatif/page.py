"""What would it cost to cut these channels: at once in closed form, a moment later measured, on a click for real."""

import streamlit as st

from pages.ui import engine, state
from pages.ui.language import _
from pages.whatif import applying, figures, groups, live, presetting, record, recovered, sliders, timing

desk = state.worked_on()
model = state.loaded(desk.model)
network = state.network(desk.model)

st.title(_("What-if"))
figures.introduction(desk, model)
if not network.groups:
    st.info(_("Nothing in this network can be cut. The Model page says which operators stand in the way."))
else:
    ranking = sliders.head(desk, network)
    slot, asked = figures.row(network, state.desk())
    recovery, beside = recovered.section(state.desk(), network)
    with st.container():  # always there, so that what follows keeps its place
        timing.section(state.desk())
    told, about = st.container(), st.empty()
    by_hand, computed, requested = st.tabs([_("By hand"), _("Under a budget"), _("Requested and actual")])
    for place, body in ((by_hand, groups.section), (computed, presetting.form)):
        with place:
            if ranking is None:
                st.caption(_("No channel is ranked yet."))
            else:
                body(network, ranking)
    with requested:
        figures.requested(network)
    applying.section(network, state.desk())
    if asked or engine.unasked(network):
        live.follow(network, state.desk(), slot, about)
        recovered.follow(state.desk(), network, recovery, beside)
    with told:
        record.section(state.desk())
