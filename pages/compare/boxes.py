"""Two detectors beside each other: what is lost of each category, and the images in which the other finds less."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.compare.measured import Row
from pages.ui import boxed, cards, detections, differences, jobs, measured, numbers, pictures, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.literal import literal
from pruning_core.datasets import Dataset
from pruning_core.measuring.measure import Against
from pruning_core.measuring.parts import losses_by_category
from pruning_core.numeric.average_precision import found_in, to_find
from pruning_core.runs.view import JobView
from pruning_core.studies.detections import Detected, DetectionsRun

SHOWN, SIDE = 4, 200


def judged(row: Row) -> bool:
    """Whether both networks are judged by the boxes that they find."""
    return row.accuracy is not None and measured.measure(row.accuracy.measure).against is Against.BOXES


def classes(desk: Desk, one: Row, two: Row) -> None:
    """``one`` is pinned."""
    if one.marks is None or two.marks is None or one.accuracy is None:
        return
    key = one.accuracy.measure
    lost = losses_by_category(one.marks, two.marks, state.splits(desk.data)[1].categories)
    words = _(
        "{measure} lost in each category, from the pinned network to the other; open circles are inside the noise."
    )
    st.markdown(words.format(measure=said(measured.measure(key).title)))
    plots.show(differences.damage(lost, key), "compare.damage")
    cards.source_line(provenance.measured(one.accuracy.dataset, images=one.accuracy.images))


def section(desk: Desk, one: Row, two: Row) -> None:
    """``one`` is pinned, and another network than ``two``."""
    if one.marks is None or two.marks is None or one.accuracy is None:
        return
    test = state.splits(desk.data)[1]
    if len(test) != len(one.marks):
        st.caption(_("The images on the desk are others than those that were measured."))
        return
    before, after = (found_in(each.rows, detections.SURE) for each in (one.marks, two.marks))
    words = _(
        "Of {n:,} annotated things the pinned network finds {before:,} and the other {after:,}: a box of the right "
        "category around them, at least half of both in common, with a score of {least} or more."
    )
    total = int(to_find(one.marks.rows).sum())
    st.markdown(
        words.format(
            n=total, before=int(before.sum()), after=int(after.sum()), least=numbers.percent(detections.SURE, 0)
        )
    )
    cards.source_line(provenance.measured(one.accuracy.dataset, images=one.accuracy.images))
    worst = [int(at) for at in (before - after).argsort(descending=True, stable=True)[:SHOWN] if before[at] > after[at]]
    if worst:
        _pictures(desk, test, worst, (one, two))


def _pictures(desk: Desk, test: Dataset, worst: list[int], rows: tuple[Row, Row]) -> None:
    data = replace(desk.data, split="test")
    ids = [state.jobs().submit(DetectionsRun(row.node.model, data, tuple(worst)), state.owner()) for row in rows]
    both = [view.all(Detected) for view in jobs.follow(ids, _told, key="compare.boxes")]
    shown = set[int]()
    for pair in zip(*both):
        with st.container(horizontal=True, gap="small"):
            for row, found in zip(rows, pair, strict=True):
                picture, categories = detections.drawn(
                    found, pictures.as_seen(test, found.image, data.order), test.labels[found.image], SIDE
                )
                shown |= categories
                st.image(picture, caption=f"{literal(row.node.label)}: {detections.caption(found)}", width=SIDE)
    if shown:
        st.markdown(boxed.legend(shown, test.categories), unsafe_allow_html=True)
        st.caption(detections.legend())


def _told(views: tuple[JobView, ...]) -> None:
    if any(view.active for view in views):
        st.caption(_("Looking what both find in these images …"))
    jobs.faults(views, key="compare.boxes")
