"""How the images are read: said, and asked where a trained network does no better than guessing or nobody can tell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import streamlit as st

from pages.choose.typed import listed, numbers_of
from pages.ui import cards, jobs, measured, provenance, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, said
from pruning_core.datasets import DataRef, Dataset
from pruning_core.datasets.ref import Order
from pruning_core.errors import UserError
from pruning_core.measuring.measure import Against
from pruning_core.measuring.measures import TOP1, Accuracy
from pruning_core.runs.view import JobView
from pruning_core.studies.inputs import fitted
from pruning_core.studies.judging import judge
from pruning_core.studies.measure import EvaluateRun
from pruning_core.zoo import LoadedModel

IMAGES = 200  # enough to tell guessing from knowing, and no long wait
BYTE = 255


@dataclass(frozen=True)
class Reading:
    """What is subtracted from pixels of 0 to 1, and what they are divided by: for red, green, blue, or one for all.

    None: what the network was trained with, where that is known, else counted over the images.
    """

    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def of(self, ref: DataRef, channels: int, order: Order) -> DataRef:
        """``ref`` read like this. Raises UserError when there are not as many numbers as ``channels``."""
        return replace(ref, mean=_per_channel(self.mean, channels, order), std=_per_channel(self.std, channels, order),
                       order=order)  # fmt: skip


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's
CAFFE_MEAN = tuple(value / BYTE for value in (123.68, 116.779, 103.939))  # of the first published VGG networks
USUAL = Reading(N_("as the network says, else counted over these images"))
OWN = N_("my own numbers")
READINGS = (
    USUAL,
    Reading(N_("pixels from 0 to 1"), (0.0,), (1.0,)),
    Reading(N_("pixels from 0 to 255"), (0.0,), (1 / BYTE,)),
    Reading(N_("pixels from −1 to 1"), (0.5,), (0.5,)),
)
COLOURED = (
    Reading(N_("ImageNet's mean and deviation, as in torchvision"), IMAGENET_MEAN, IMAGENET_STD),
    Reading(N_("0 to 255 less ImageNet's mean, as in Caffe"), CAFFE_MEAN, (1 / BYTE,) * 3),
)


def ask(desk: Desk, model: LoadedModel, test: Dataset) -> None:
    """What it reaches on held-out images; where guessing would do as well, what may be the reason. Where no guess is to
    be compared with, how pixels go in, and other ways."""
    if not model.trained:
        return
    judged = judge(model, test, desk.data.measure)
    found = _found(desk) if judged.against is not Against.NETWORK else None
    if judged.key != TOP1:
        if test.pictures:
            _another(desk.data, test, model)
    elif found is not None and test.pictures and found.no_better_than_guessing(len(test.classes)):
        _why(desk.data, test, found)


def _found(desk: Desk) -> Accuracy | None:
    """What is measured, said while it is; None until it is there."""
    held_out = replace(desk.data, split="held-out")  # a choice may hang on it: test images are for what is reported
    with plain_errors():
        job = state.jobs().submit(EvaluateRun(desk.model, held_out, images=IMAGES), state.owner())
        view = jobs.follow((job,), _told, key="choose.reading")[0]
        found = view.last(Accuracy)
        return found if found is not None and found.complete else None
    return None


def _told(views: tuple[JobView, ...]) -> None:
    (view,) = views
    found = view.last(Accuracy)
    if found is not None and found.complete:
        source = provenance.measured(
            _("held-out images"), images=found.images, device=view.device.upper(),
            note=_("95 % interval {bounds}.").format(bounds=measured.bounds(found)),
        )  # fmt: skip
        said_of = (
            _("Right on **{value}** of {images:,} held-out images, read as now. {badge}")
            if found.measure == TOP1
            else _("**{measure} {value}** on {images:,} held-out images, read as now. {badge}")
        )
        st.markdown(
            said_of.format(
                measure=said(measured.measure(found.measure).title), value=measured.value(found), images=found.images,
                badge=cards.badge(source),
            )
        )  # fmt: skip
    elif view.active:
        st.caption(_("Trying it on held-out images: {text}").format(text=jobs.advance(view).text))
    jobs.faults(views, key="choose.reading")


def _another(ref: DataRef, test: Dataset, model: LoadedModel) -> None:
    """How pixels go in, and other ways: no value says by itself that the network was trained with another one."""
    with plain_errors():
        one = fitted(test.subset(1), ref, model, judged=False)
        words, ways = st.columns([3, 2], vertical_alignment="center")
        words.markdown(
            _(
                ":small[Pixels of 0 to 1 go in less {mean}, divided by {std}. Nothing here tells whether the network "
                "was trained with that.]"
            ).format(mean=listed(one.mean), std=listed(one.std))
        )
        with ways.popover(_("Read them in another way"), icon=":material/tune:", wrap=True):
            _ways(ref, test)


def _why(ref: DataRef, test: Dataset, found: Accuracy) -> None:
    classes = len(test.classes)
    st.warning(
        _(
            "That is no better than guessing among {classes:,} classes. If the network was trained on "
            "such images, they are probably read in another way than then. From 0 to 255, or 0 to 1? Red "
            "or blue first? Which mean and deviation? Try what you know of its training; or its classes "
            "stand in another order than these."
        ).format(classes=classes),
        icon=":material/help:",
    )
    _ways(ref, test)


def _ways(ref: DataRef, test: Dataset) -> None:
    channels = test.size[0]
    offered = READINGS + (COLOURED if channels == 3 else ())
    now = next((each.name for each in offered if _is(each, ref, channels)), OWN)
    key = f"choose.reading.{ref.key[:12]}"
    left, right = st.columns([3, 2])
    names = [*(each.name for each in offered), OWN]
    name = left.selectbox(_("Pixels, mean and deviation"), names, names.index(now), format_func=_, key=f"{key}.pixels")
    order = ref.order
    if channels == 3:
        order = right.segmented_control(
            _("Colours in the order"), get_args(Order), default=ref.order, required=True, key=f"{key}.order",
            help=_("RGB: red, green, blue, as in files. BGR: as OpenCV and Caffe read them."), wrap=True,
        )  # fmt: skip
    chosen = next((each for each in offered if each.name == name), None)
    mean = std = ""
    if chosen is None:
        mean = left.text_input(_("Mean per channel, of pixels from 0 to 1"), listed(test.mean), key=f"{key}.mean")
        std = right.text_input(_("Standard deviation per channel"), listed(test.std), key=f"{key}.std")
        st.caption(_("One number each, in the order in which the network reads the channels."))
    if st.button(_("Read them so"), type="primary", key=f"{key}.apply", wrap=True):
        with plain_errors():
            if chosen is not None:
                after = chosen.of(ref, channels, order)
            else:
                after = replace(
                    ref, mean=numbers_of(mean, _("mean")), std=numbers_of(std, _("standard deviation")), order=order
                )
            if after == ref:
                raise UserError(_("They are read so already. Choose another way."))
            state.choose_data(after)
            st.rerun()


def _is(reading: Reading, ref: DataRef, channels: int) -> bool:
    return reading.of(ref, channels, ref.order) == ref


def _per_channel(values: tuple[float, ...] | None, channels: int, order: Order) -> tuple[float, ...] | None:
    if values is None:
        return None
    if len(values) == 1:
        return values * channels
    return values[::-1] if order == "BGR" else values
