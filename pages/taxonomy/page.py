"""All that runs here, placed on the survey's axes."""

import streamlit as st

from pages.taxonomy import frames, registry, sections
from pages.ui import state

cards = registry.cards()

st.title("Taxonomy")
st.markdown(
    f"{registry.counted()} that run in this dashboard, on the axes of the surveys. Click a part of the picture to "
    "narrow the table and the timeline; click a row or a dot to open its card."
)
shown = sections.picture(frames.table(cards))
chosen = sections.lists(shown)
card = next((each for each in cards if each.key == chosen), None)
if card is not None:
    sections.card(card)
    where = registry.home(card.key)
    if where is None:
        sections.try_it(card, state.desk())
    else:
        sections.go_to(card, where)
