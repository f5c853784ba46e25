"""All that runs here, placed on the survey's axes."""

import streamlit as st

from pages.taxonomy import beside, comparing, finding, frames, glossary, introduction, registry, views
from pages.ui import state
from pages.ui.language import _

cards = registry.cards()

st.title(_("Taxonomy"))
introduction.counted()
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    view = st.segmented_control(
        _("View"),
        list(views.VIEWS),
        format_func=_,
        default=next(iter(views.VIEWS)),
        required=True,
        key="taxonomy.view",
        persist_state="session",
        label_visibility="collapsed",
        wrap=True,
    )
    introduction.sources()
if view == views.WORDS:
    glossary.show(frames.table(cards))
elif view == views.COMPARE:
    comparing.show(cards)
else:
    shown = finding.section(frames.table(cards), with_axes=view == views.PICTURE)
    with st.container(horizontal=True, gap="small"):
        left, right = st.container(width=views.WIDTH), st.container(width=beside.WIDTH)
    with left:
        views.VIEWS[view](shown)
    with right:
        beside.show(cards, shown, state.desk())
introduction.not_run()
