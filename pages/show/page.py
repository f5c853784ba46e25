"""One screen for a meeting: how small, how fast, how good, and the images that tell."""

import streamlit as st

from pages.show import sections, sources
from pages.ui import sizes, state
from pages.ui.language import _
from pages.ui.literal import named
from pruning_core.zoo.titles import called

desk = state.worked_on()

st.title(_("{network}, made smaller").format(network=named(called(desk.model.origin))))
if desk.model.base is not None:
    sections.own(desk)
else:
    run = sources.front(desk)
    found = sections.several(desk, run)
    if found is None:
        found = sizes.prepared_of(desk)
    if found is not None:
        sections.screen(desk, found)
    sections.offer(desk, run, prepared=found is not None)
