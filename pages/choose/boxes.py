"""Annotated images with the boxes of what is in them."""

from __future__ import annotations

import streamlit as st

from pages.ui import boxed, state
from pages.ui.language import ngettext
from pruning_core.datasets import DataRef, Dataset, zips
from pruning_core.datasets.coco import Thing
from pruning_core.datasets.findings.places import Annotations

SHOWN, SIDE = 4, 220


def draw(ref: DataRef, data: Dataset) -> None:
    """Nothing where there are no annotations."""
    told = next((each for each in data.findings if isinstance(each, Annotations)), None)
    if told is None:
        return
    found = zips.boxed(ref, state.workspace(), SHOWN)
    with st.container(horizontal=True, gap="small"):
        for picture, things in found:
            said = ngettext("{n} annotation", "{n} annotations", len(things)).format(n=len(things))
            drawn = [_drawn(each, picture.size) for each in things if each.box is not None]
            st.image(boxed.picture(picture, drawn, SIDE), caption=said, width=SIDE)
    there = (each.category for _pixels, things in found for each in things)
    st.markdown(boxed.legend(there, told.categories), unsafe_allow_html=True)


def _drawn(thing: Thing, size: tuple[int, int]) -> boxed.Drawn:
    assert thing.box is not None  # others are not drawn
    (x, y, width, height), (wide, high) = thing.box, size
    return boxed.Drawn((x / wide, y / high, (x + width) / wide, (y + height) / high), thing.category)
