"""A few of the images on the desk, each with what came with it: its class, its mask laid over it, its target beside."""

from __future__ import annotations

import streamlit as st
import torch

from pages.choose import series
from pages.choose.pixels import enlarged, overlaid
from pages.ui import pictures
from pages.ui.colours import COLOURS, square
from pages.ui.language import _
from pages.ui.literal import named
from pruning_core.datasets import Dataset
from pruning_core.datasets.targets import NOBODY, Labels

SHOWN = 10  # thumbnails, one per class
PAIRS = 6  # images with what belongs to each
THUMB_PX, PAIR_PX = 72, 112


def draw(data: Dataset, order: str) -> None:
    """Whichever ``order`` the network reads, a person sees red as red."""
    if not data.pictures:
        series.draw(data)
        return
    match data.kind:
        case Labels.MASKS:
            _masked(data, order)
        case Labels.PICTURES:
            _beside(data, order)
        case Labels.BOXES:
            pass  # they are drawn as they were annotated
        case _:
            _plain(data, order)


def _plain(data: Dataset, order: str) -> None:
    """One image of each of the first classes, or the first images with their numbers."""
    found = [
        (name, int(torch.nonzero(data.labels == label)[0]))
        for label, name in enumerate(data.classes[:SHOWN])
        if bool((data.labels == label).any())
    ] or [(_numbers(data, at), at) for at in range(min(SHOWN, len(data)))]
    with st.container(horizontal=True, gap="small"):
        for name, at in found:
            st.image(enlarged(pictures.as_seen(data, at, order), THUMB_PX), caption=named(name), width=THUMB_PX)


def _masked(data: Dataset, order: str) -> None:
    shown = min(PAIRS, len(data))
    there = sorted({int(n) for n in data.labels[:shown].unique().tolist()} - {NOBODY})
    with st.container(horizontal=True, gap="small"):
        for at in range(shown):
            st.image(
                enlarged(overlaid(pictures.as_seen(data, at, order), data.labels[at]), PAIR_PX),
                caption=_("image {n}").format(n=at), width=PAIR_PX,
            )  # fmt: skip
    marks = " ".join(f":small[{square(number)} {number}]" for number in there[: len(COLOURS)])
    st.markdown(_("Classes of the masks: {marks}").format(marks=marks), unsafe_allow_html=True)


def _beside(data: Dataset, order: str) -> None:
    with st.container(horizontal=True, gap="medium"):
        for at in range(min(PAIRS // 2, len(data))):
            target = (255 * data.labels[at]).round().clamp(0, 255).byte()
            for pixels, what in ((pictures.as_seen(data, at, order), _("image {n}")), (target, _("target {n}"))):
                sides = " × ".join(map(str, pixels.shape[1:]))
                st.image(enlarged(pixels, PAIR_PX), caption=f"{what.format(n=at)}, {sides}", width=PAIR_PX)


def _numbers(data: Dataset, at: int) -> str:
    """What came with an image, as far as there is room for it."""
    if data.kind is not Labels.NUMBERS:
        return _("image {n}").format(n=at)
    first = [f"{value:.3g}" for value in data.labels[at].flatten()[:3].tolist()]
    return ", ".join(first) + (" …" if data.labels[at].numel() > 3 else "")
