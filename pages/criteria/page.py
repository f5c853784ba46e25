"""Which criterion, and does it matter? Answered on the network and data in view."""

import streamlit as st

from pages.criteria import agree, compare, layer
from pages.criteria.choose import choose_criteria
from pages.ui import measured, state
from pages.ui.language import _
from pruning_core.measuring.measures import TOP1

desk = state.worked_on()
network = state.network(desk.model)

st.title(_("Criteria"))
st.markdown(
    _(
        "A criterion says which channels matter least. Here any number of them prune the same network to "
        "the same budgets, "
        "are measured on the same held-out images, and are compared with chance. Test images choose nothing here."
    )
)
if not network.groups:
    st.info(
        _("Nothing in this network can be cut, so there is nothing to compare. The Model page says what is in the way.")
    )
elif criteria := choose_criteria():
    judged = measured.key_of(desk)
    names = [_("Accuracy") if judged == TOP1 else _("Comparison"), _("Agreement"), _("Scores of a layer")]
    accuracy, agreement, scores = st.tabs(names, key="criteria.tab", on_change="rerun")
    # Only what is looked at is run: the tabs' bodies submit work.
    if accuracy.open:
        with accuracy:
            compare.section(desk, network, criteria)
    if agreement.open:
        with agreement:
            agree.section(desk, network, criteria)
    if scores.open:
        with scores:
            layer.section(desk, network, criteria)
else:
    st.info(_("Choose at least one criterion."))
