"""What a detector finds, read as it is now, drawn on a few images beside what was annotated: a person sees whether its
outputs are read as they are meant."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import streamlit as st

from pages.choose import boxes
from pages.choose.samples import as_seen
from pages.ui import boxed, cards, jobs, numbers, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _
from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.measuring.detecting import AveragePrecision
from pruning_core.runs.view import JobView
from pruning_core.studies.detections import Detected, DetectionsRun, first
from pruning_core.studies.judging import refusal
from pruning_core.zoo import LoadedModel

SURE = 0.3  # a score from which a box is drawn
IMAGES, SIDE = 4, 220


def draw(desk: Desk, model: LoadedModel, data: Dataset) -> None:
    """Nothing where its outputs cannot be read as boxes so: why not is said where a measure is chosen."""
    if refusal(AveragePrecision(), model, data):
        return
    held_out = replace(desk.data, split="held-out")  # how outputs are read is a choice: test images are for reports
    job = state.jobs().submit(DetectionsRun(desk.model, held_out, IMAGES), state.owner())
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
    return first(IMAGES, hold_out(state.splits(ref)[0], ref)[1])


def _pictures(images: Dataset, found: tuple[Detected, ...], order: str, view: JobView) -> None:
    shown = set[int]()
    with st.container(horizontal=True, gap="small"):
        for each in found:
            sure = sum(score >= SURE for score in each.scores)
            told = zip(each.boxes, each.categories, strict=True)
            drawn = [boxed.Drawn(*one) for one in islice(told, max(1, sure))]
            rows = images.labels[each.image].tolist()
            annotated = [boxed.Drawn(tuple(row[:4]), int(row[4]), True) for row in rows if row[4] >= 0]
            shown |= {one.category for one in (*drawn, *annotated)}
            picture = boxed.of_pixels(as_seen(images, each.image, order))
            st.image(boxed.picture(picture, [*annotated, *drawn], SIDE), caption=_caption(each, sure), width=SIDE)
    boxes.legend(shown, images.categories)
    st.caption(
        _(
            "Solid: what the network finds, read as above, with a score of {least} or more, else its surest box. "
            "Dashed: what was annotated."
        ).format(least=numbers.percent(SURE, 0))
    )
    on = _("the first held-out images")
    cards.source_line(provenance.measured(on, images=len(found), device=view.device.upper()))


def _caption(found: Detected, sure: int) -> str:
    if not found.scores:
        return _("nothing found")
    return _("{n} found, the surest {score}").format(n=sure, score=numbers.percent(found.scores[0], 0))
