"""What a detector finds, read as it is now, drawn on a few images beside what was annotated: a person sees whether its
outputs are read as they are meant."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.ui import boxed, cards, detections, jobs, pictures, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _
from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.measuring.detecting import AveragePrecision
from pruning_core.runs.view import JobView
from pruning_core.studies.detections import Detected, DetectionsRun, taken_out
from pruning_core.studies.judging import refusal
from pruning_core.zoo import LoadedModel

IMAGES, SIDE = 4, 220


def draw(desk: Desk, model: LoadedModel, data: Dataset) -> None:
    """Nothing where its outputs cannot be read as boxes so: why not is said where a measure is chosen."""
    if refusal(AveragePrecision(), model, data):
        return
    held_out = replace(desk.data, split="held-out")  # how outputs are read is a choice: test images are for reports
    job = state.jobs().submit(DetectionsRun(desk.model, held_out, tuple(range(IMAGES))), state.owner())
    view = jobs.follow((job,), _told, key="choose.detected")[0]
    found = view.all(Detected)
    if found:
        _pictures(_first(desk.data.to_json(), str(state.workspace().root)), found, desk.data.order, view)


def _told(views: tuple[JobView, ...]) -> None:
    (view,) = views
    if view.active:
        st.caption(_("Looking what it finds in {n} images: {text}").format(n=IMAGES, text=jobs.advance(view).text))
    jobs.faults(views, key="choose.detected")


@st.cache_resource(show_spinner=False, max_entries=4)
def _first(data: str, root: str) -> Dataset:
    ref = DataRef.from_json(data)
    held_out = hold_out(state.splits(ref)[0], ref)[1]
    return taken_out(held_out, range(min(IMAGES, len(held_out))))


def _pictures(images: Dataset, found: tuple[Detected, ...], order: str, view: JobView) -> None:
    shown = set[int]()
    with st.container(horizontal=True, gap="small"):
        for each in found:
            pixels, labels = pictures.as_seen(images, each.image, order), images.labels[each.image]
            picture, categories = detections.drawn(each, pixels, labels, SIDE)
            shown |= categories
            st.image(picture, caption=detections.caption(each), width=SIDE)
    st.markdown(boxed.legend(shown, images.categories), unsafe_allow_html=True)
    st.caption(detections.legend())
    on = _("the first held-out images")
    cards.source_line(provenance.measured(on, images=len(found), device=view.device.upper()))
