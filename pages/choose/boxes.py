"""Annotated images with the boxes of what is in them."""

from __future__ import annotations

import streamlit as st
from PIL import Image, ImageDraw

from pages.choose.colours import COLOURS, square
from pages.ui import state
from pages.ui.language import _, ngettext
from pages.ui.literal import named
from pruning_core.datasets import DataRef, Dataset
from pruning_core.datasets.coco import Thing
from pruning_core.datasets.findings.places import Annotations
from pruning_core.datasets.zips import boxed

SHOWN, SIDE = 4, 220


def draw(ref: DataRef, data: Dataset) -> None:
    """Nothing where there are no annotations."""
    told = next((each for each in data.findings if isinstance(each, Annotations)), None)
    if told is None:
        return
    found = boxed(ref, state.workspace(), SHOWN)
    with st.container(horizontal=True, gap="small"):
        for picture, things in found:
            said = ngettext("{n} annotation", "{n} annotations", len(things)).format(n=len(things))
            st.image(_drawn(picture, things), caption=said, width=SIDE)
    there = sorted({each.category for _, things in found for each in things})[: len(COLOURS)]
    marks = " ".join(f":small[{square(number + 1)} {named(told.categories[number])}]" for number in there)
    st.markdown(_("Boxes of these categories: {marks}").format(marks=marks), unsafe_allow_html=True)


def _drawn(picture: Image.Image, things: tuple[Thing, ...]) -> Image.Image:
    """Enlarged or made smaller, so that a line of two pixels is seen."""
    scale = SIDE / picture.width
    shown = picture.convert(_("RGB")).resize((SIDE, max(1, round(scale * picture.height))), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(shown)
    for each in things:
        if each.box is not None:
            x, y, width, height = (max(-SIDE, min(2 * SIDE, scale * side)) for side in each.box)
            box = (x, y, max(x, x + width), max(y, y + height))
            pen.rectangle(box, outline=COLOURS[(each.category + 1) % len(COLOURS)], width=2)
    return shown
