"""How numbers that are no pictures go into the network: as they are, or with mean 0 and deviation 1."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.ui.language import N_, _
from pruning_core.datasets import DataRef, Dataset, channel_statistics

AS_THEY_ARE, STANDARDISED = N_("as they are"), N_("mean 0 and deviation 1 in each column")


def ask(ref: DataRef, train: Dataset) -> dict[str, Any]:
    """The fields of the reference that say so."""
    zero, one = (0.0,) * train.size[0], (1.0,) * train.size[0]
    now = AS_THEY_ARE if (train.mean, train.std) == (zero, one) else STANDARDISED
    chosen = st.segmented_control(
        _("The numbers go in"),
        (AS_THEY_ARE, STANDARDISED),
        default=now,
        required=True,
        format_func=_,
        key=f"choose.details.{ref.key[:12]}.scaling",
        help=_("As the network was trained with them. Mean and deviation are counted over the training part."),
        wrap=True,
    )
    if chosen == now:
        return {}
    mean, std = (zero, one) if chosen == AS_THEY_ARE else channel_statistics(train.images)
    return {"mean": mean, "std": std}
