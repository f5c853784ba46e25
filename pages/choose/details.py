"""The data on the desk: what it looks like, its size, mean and deviation, its class names; all of it can be changed."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pandas as pd
import streamlit as st
import torch

from pages.choose import boxes, names, samples, scaling, shares, tasks
from pages.choose.typed import listed, numbers_of
from pages.ui import cards, notes, provenance, state
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _
from pruning_core.datasets import DataRef, Dataset
from pruning_core.datasets.ref import Order

AS_IS = N_("as they are")
CHANNELS = {AS_IS: None, N_("grey"): 1, N_("colour"): 3}


def draw(ref: DataRef) -> None:
    train, test = state.splits(ref)
    notes.listed(test)
    code_page = names.ask(ref, train)
    samples.draw(test, ref.order)
    boxes.draw(ref, test)
    task = tasks.ask(ref, test)
    left, right = st.columns(2, gap="medium")
    with left:
        changed = _numbers(ref, train) if train.pictures else scaling.ask(ref, train)
    with right:
        classes = _classes(ref, train, test) if train.classes else []
    testing, held_out = shares.ask(ref, train, test)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(_("Apply"), type="primary", key="choose.details.apply", wrap=True):
            with plain_errors():
                after = _changed(ref, train, changed, classes) if train.pictures else replace(ref, **changed)
                after = replace(after, test_fraction=testing, held_out=held_out, task=task)
                if code_page != ref.code_page:  # other names in another order: what was typed belongs to the old ones
                    after = replace(after, code_page=code_page, classes=None)
                if task != ref.task:  # what was said of the classes and measures of other labels says nothing of these
                    after = replace(after, classes=None, measure="")
                _take(ref, after)
        plain = replace(
            ref, size=None, channels=None, mean=None, std=None, classes=None, code_page=None, order="RGB", task="",
            rate=DataRef.rate, samples=DataRef.samples,
        )  # fmt: skip
        if st.button(_("Back to what the data says"), disabled=plain == ref, key="choose.details.reset", wrap=True):
            with plain_errors():
                _take(ref, plain)
    counted = _("images, pixels scaled to 0–1") if train.pictures else _("images")
    cards.source_line(
        provenance.derived(_("mean and deviation counted over all training {counted}").format(counted=counted))
    )


def _take(before: DataRef, after: DataRef) -> None:
    if after != before:
        state.choose_data(after)
        st.rerun()


def _numbers(ref: DataRef, train: Dataset) -> dict[str, str | int | None]:
    height, width = train.size[1:]
    first, second = st.columns(2)
    key = f"choose.details.{ref.key[:12]}"
    current = next(name for name, value in CHANNELS.items() if value == ref.channels)
    return {
        "height": first.number_input(_("Height (pixels)"), 1, 1024, height, key=f"{key}.height"),
        "width": second.number_input(_("Width (pixels)"), 1, 1024, width, key=f"{key}.width"),
        "channels": st.segmented_control(
            _("Colour"),
            tuple(CHANNELS),
            format_func=_,
            default=current,
            required=True,
            key=f"{key}.channels",
            wrap=True,
        ),
        "order": _order(ref, key) if train.size[0] == 3 else ref.order,
        "mean": st.text_input(
            _("Mean per channel"),
            listed(train.mean),
            key=f"{key}.mean",
            help=_("Subtracted from pixels of 0 to 1. Once you change it, it goes before the network's own."),
        ),
        "std": st.text_input(
            _("Standard deviation per channel"),
            listed(train.std),
            key=f"{key}.std",
            help=_("Pixels are divided by it after the mean is subtracted."),
        ),
    }


def _order(ref: DataRef, key: str) -> str:
    return st.segmented_control(
        _("Colours in the order"),
        get_args(Order),
        default=ref.order,
        required=True,
        key=f"{key}.order",
        help=_("In which the network reads them: red, green, blue as in files, or blue first as with OpenCV."),
        wrap=True,
    )


def _classes(ref: DataRef, train: Dataset, test: Dataset) -> list[str]:
    count = len(train.classes)
    frame = pd.DataFrame(
        {
            "class": list(train.classes),
            "train": torch.bincount(train.labels, minlength=count).tolist(),
            "test": torch.bincount(test.labels, minlength=count).tolist(),
        }
    )
    edited = st.data_editor(
        frame,
        key=f"choose.details.{ref.key[:12]}.classes",
        disabled=["train", "test"],
        height=min(420, 38 + 35 * count),
        column_config={
            "class": st.column_config.TextColumn(
                _("Class name"), help=_("Double-click one to change it."), required=True
            ),
            "train": st.column_config.NumberColumn(
                _("Images to train") if train.trainable else _("Images to choose by"), format="localized"
            ),
            "test": st.column_config.NumberColumn(_("Images to test"), format="localized"),
        },
    )
    return [str(name) for name in edited["class"]]


def _changed(ref: DataRef, train: Dataset, values: dict[str, str | int | None], classes: list[str]) -> DataRef:
    """The reference with what was changed, and only that. Raises UserError for numbers that cannot be read."""
    height, width = train.size[1:]
    size = (int(values["height"] or height), int(values["width"] or width))
    mean, std = str(values["mean"]), str(values["std"])
    return replace(
        ref,
        size=ref.size if size == (height, width) else size,
        channels=CHANNELS[str(values["channels"])],
        order="BGR" if values["order"] == "BGR" else "RGB",
        mean=ref.mean if mean == listed(train.mean) else numbers_of(mean, _("mean")),
        std=ref.std if std == listed(train.std) else numbers_of(std, _("standard deviation")),
        classes=ref.classes if tuple(classes) == train.classes else tuple(classes),
    )
