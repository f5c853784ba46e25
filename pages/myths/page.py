"""What is often said of pruning and is not so, each with the right statement and, where possible, a measurement."""

import streamlit as st

from pages.myths import sections
from pages.myths.myths import MYTHS
from pages.ui.language import _

st.title(_("Myths"))
st.markdown(
    _(
        "The survey that the Taxonomy follows was checked against papers and code. These of its "
        "statements are wrong or loose. Those marked :material/science: are measured here on the "
        "demo network when you ask."
    )
)
sections.show(MYTHS)
