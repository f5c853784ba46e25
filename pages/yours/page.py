"""What a visitor's uploads and runs take on the disk of this server, and a way to delete them."""

import streamlit as st

from pages.ui import state
from pages.ui.language import _
from pages.ui.numbers import percent, size_bytes
from pages.yours import files, runs

st.title(_("Your files"))
jobs, owner = state.jobs(), state.owner()
used, most = jobs.ledger.used(owner), jobs.rules.stored_each
st.markdown(
    _(
        "What you sent and what your runs have made is stored on the disk of this server, until you delete it here. A "
        "file that others, another run of yours or a desk still need stays until they need it no more."
    )
)
left, right = st.columns(2)
left.metric(_("Stored for you"), size_bytes(used), border=True)
if most < float("inf"):
    right.metric(
        _("Left of what one visitor may store"), size_bytes(max(0.0, most - used)), border=True,
        help=_("{most} in all; whoever runs the server sets it.").format(most=size_bytes(most)),
    )  # fmt: skip
    st.progress(min(1.0, used / most), _("{share} used").format(share=percent(min(1.0, used / most))))
files.draw(jobs, owner)
runs.draw(jobs, owner)
