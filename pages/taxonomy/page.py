"""All that runs here, placed on the survey's axes."""

import streamlit as st

from pages.taxonomy import beside, comparing, finding, frames, glossary, introduction, registry, views
from pages.ui import state

cards = registry.cards()

st.title("Taxonomy")
introduction.counted()
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    view = st.segmented_control(
        "View", list(views.VIEWS), default=next(iter(views.VIEWS)), required=True, key="taxonomy.view",
        persist_state="session", label_visibility="collapsed", wrap=True,
    )  # fmt: skip
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
