"""One real layer as its kernels: what goes at each granularity, and what that does to size, accuracy and time."""

import streamlit as st

from pages.granularity import sections, texts
from pages.ui import state
from pages.ui.errors import plain_errors
from pages.ui.language import _
from pruning_core.analysis import one_layer

desk = state.worked_on()
loaded, network = state.loaded(desk.model), state.network(desk.model)

st.title(_("Granularity"))
st.markdown(_(texts.INTRODUCTION))
weights = one_layer.layers(loaded.model, network)
if weights:
    with plain_errors():
        sections.show(desk, weights)
else:
    st.info(
        _(
            "This page looks at linear layers and convolutions of two dimensions that stand as modules of their own; "
            "this network has none with channels that can be cut."
        )
    )
