"""What labels from a list or annotations are read as: proposed from their values, and confirmed here."""

from __future__ import annotations

import streamlit as st

from pages.ui.language import N_, _
from pruning_core.datasets import DataRef, Dataset
from pruning_core.datasets.findings.archive import Listed
from pruning_core.datasets.findings.places import Annotations
from pruning_core.datasets.ref import Task

SPOKEN: dict[Task, str] = {
    "classes": N_("classes"),
    "numbers": N_("numbers"),
    "labels": N_("several labels for each image"),
    "masks": N_("masks"),
    "boxes": N_("boxes"),
}


def ask(ref: DataRef, data: Dataset) -> Task:
    """Nothing to choose where the labels can be one thing alone."""
    found = _now(data)
    if found is None:
        return ref.task
    offered, now = found
    chosen = st.segmented_control(
        _("Labels are read as"),
        offered,
        default=now,
        required=True,
        format_func=lambda each: _(SPOKEN[each]) + (_(" (proposed)") if each == now and not ref.task else ""),
        key=f"choose.details.{ref.key[:12]}.task",
        help=_("What a network can be judged by hangs on it. Apply it below."),
        wrap=True,
    )
    return ref.task if chosen == now else chosen


def _now(data: Dataset) -> tuple[tuple[Task, ...], Task] | None:
    """What may be chosen, and what they are read as now."""
    for each in data.findings:
        if isinstance(each, Annotations):
            ways: tuple[Task, ...] = ("labels", "masks", "boxes")
            return ways, next(way for way in ways if way == each.way)
        if isinstance(each, Listed) and each.columns:
            return ("classes", "numbers"), "classes" if data.classes else "numbers"
    return None
