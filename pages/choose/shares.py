"""How the images are divided: what the network learns from, what choices look at, and what is reported."""

from __future__ import annotations

import streamlit as st
import torch

from pages.ui.language import _
from pruning_core.datasets import DataRef, Dataset, set_apart

LEAST, MOST = 5, 90  # per cent


def ask(ref: DataRef, train: Dataset, test: Dataset) -> tuple[float, float]:
    """(share for testing, share held out of the rest), each of every class; and how many images that makes."""
    first, second = st.columns(2)
    key = f"choose.details.{ref.key[:12]}"
    testing, held_out = ref.test_fraction, ref.held_out
    if train.divided:
        testing = _share(
            first.slider(
                _("Set apart for testing (%)"), LEAST, MOST, _percent(testing), key=f"{key}.testing",
                help=_("Of every class, picked at random but always the same ones. Only what is reported "
                "looks at them."),
            ), testing,
        )  # fmt: skip
    else:
        first.metric(_("Test images"), f"{len(test):,}", help=_("They come with the data."))
    held_out = _share(
        second.slider(
            _("Held out for choices (%)"), LEAST, MOST, _percent(held_out), key=f"{key}.held_out",
            help=_("Of the training images of every class. Sweeps, searches and the best epoch look at them, never at "
            "the test images. More of them, narrower intervals; fewer to learn from."),
        ), held_out,
    )  # fmt: skip
    st.caption(_counted(train, test, testing, held_out))
    return testing, held_out


def _counted(train: Dataset, test: Dataset, testing: float, held_out: float) -> str:
    training, tests = (_members(part) for part in (train, test))
    if train.divided:
        whole = [a + b for a, b in zip(training, tests)]
        tests = [set_apart(count, testing) for count in whole]
        training = [count - taken for count, taken in zip(whole, tests)]
    held = sum(set_apart(count, held_out) for count in training)
    return _("**{sum:,}** images to {purpose}, **{held:,}** held out for choices, **{sum_2:,}** to report on.").format(
        sum=sum(training) - held,
        purpose=_("learn from") if train.trainable else _("score and recalibrate by"),
        held=held,
        sum_2=sum(tests),
    )


def _members(part: Dataset) -> list[int]:
    """Images of each class; of all together where there are no classes."""
    if not part.classes:
        return [len(part)]
    found: list[int] = torch.bincount(part.labels, minlength=len(part.classes)).tolist()
    return found


def _percent(share: float) -> int:
    return min(MOST, max(LEAST, round(100 * share)))


def _share(percent: int, before: float) -> float:
    """The share itself where the slider was not moved: it may lie between two per cents."""
    return before if percent == _percent(before) else percent / 100
