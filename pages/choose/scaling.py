"""How numbers that are no pictures go into the network: as they are, or with mean 0 and deviation 1."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.ui.language import N_, _
from pruning_core.datasets import DataRef, Dataset, channel_statistics
from pruning_core.datasets.findings.numbers import Sounds
from pruning_core.datasets.ref import MOST_SAMPLES

RATES = (8_000, 16_000, 22_050, 44_100, 48_000)
AS_THEY_ARE, STANDARDISED = N_("as they are"), N_("mean 0 and deviation 1 in each column")
OF_CHANNELS = N_("mean 0 and deviation 1 in each channel")


def ask(ref: DataRef, train: Dataset) -> dict[str, Any]:
    """The fields of the reference that say so."""
    told = next((each for each in train.findings if isinstance(each, Sounds)), None)
    return _scaled(ref, train) | ({} if told is None else _heard(ref, told))


def _heard(ref: DataRef, told: Sounds) -> dict[str, Any]:
    """Rate and length of recordings."""
    first, second = st.columns(2)
    key = f"choose.details.{ref.key[:12]}"
    usual = sorted({*RATES, told.rate})
    rate = first.selectbox(
        _("Samples a second"), usual, usual.index(told.rate), key=f"{key}.rate",
        help=_("At which the network was trained. Recordings with another rate are resampled."),
    )  # fmt: skip
    samples = second.number_input(
        _("Length (samples)"), 1, MOST_SAMPLES, told.samples, key=f"{key}.samples",
        help=_("As many as the network reads. What is longer loses its end, what is shorter ends in silence."),
    )  # fmt: skip
    return {
        "rate": ref.rate if rate == told.rate else int(rate),
        "samples": ref.samples if samples == told.samples else int(samples),
    }


def _scaled(ref: DataRef, train: Dataset) -> dict[str, Any]:
    zero, one = (0.0,) * train.size[0], (1.0,) * train.size[0]
    now = AS_THEY_ARE if (train.mean, train.std) == (zero, one) else STANDARDISED
    chosen = st.segmented_control(
        _("The numbers go in"),
        (AS_THEY_ARE, STANDARDISED),
        default=now,
        required=True,
        format_func=lambda each: _(OF_CHANNELS if each == STANDARDISED and len(train.size) > 1 else each),
        key=f"choose.details.{ref.key[:12]}.scaling",
        help=_("As the network was trained with them. Mean and deviation are counted over the training part."),
        wrap=True,
    )
    if chosen == now:
        return {}
    mean, std = (zero, one) if chosen == AS_THEY_ARE else channel_statistics(train.images)
    return {"mean": mean, "std": std}
