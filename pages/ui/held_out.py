"""The images by which choices are made: how many there are, and how many to look at."""

from __future__ import annotations

import streamlit as st

from pages.ui import state
from pages.ui.language import _
from pruning_core.datasets import DataRef
from pruning_core.methods.recoveries import Recovery
from pruning_core.training.config import FineTune

COUNTS = (32, 64, 128, 256, 512, 1000, 2000, 5000, 10_000, 20_000)
FEW = 30
STEPS = 16  # in an epoch, at least, where there are enough images
AT_FIRST = 1000  # images, where there are more: enough to tell three points apart


def held_out_size(data: DataRef) -> int:
    """Raises UserError when nothing can be held out."""
    return _sizes(data.to_json(), str(state.workspace().root))[1]


def looked_at(recovery: Recovery, data: DataRef) -> int:
    """How many images of the fitted part a recovery sees: as many as it asks for, or all there are."""
    return min(recovery.looks_at, _sizes(data.to_json(), str(state.workspace().root))[0])


@st.cache_data(show_spinner=False, max_entries=32)
def _sizes(data: str, root: str) -> tuple[int, int]:
    from pruning_core.datasets.load import hold_out

    ref = DataRef.from_json(data)
    fitted, held_out = hold_out(state.splits(ref)[0], ref)
    return len(fitted), len(held_out)


def usual_batch(data: DataRef) -> int:
    """A batch for a training: of few images a smaller one, so that an epoch is more than a step or two.

    Raises UserError when nothing can be held out.
    """
    fitted = _sizes(data.to_json(), str(state.workspace().root))[0]
    return max(8, min(FineTune.batch_size, 1 << max(0, fitted // STEPS).bit_length() >> 1))


def say_when_few(available: int) -> None:
    """So few that hardly any difference can be told."""
    if available < FEW:
        st.caption(
            _(
                ":material/info: {n:,} held-out images tell little: most differences below will lie inside the noise. "
                "Load can set more of the training images apart for choices."
            ).format(n=available)
        )


def choose_images(available: int, key: str) -> int:
    """How many of the held-out images to measure on."""
    offered = [count for count in COUNTS if count < available] + [available]
    return int(
        st.select_slider(
            _("Images"),
            offered,
            max(count for count in offered if count <= AT_FIRST or count == offered[0]),
            format_func=lambda count: _("all {n:,}").format(n=count) if count == available else f"{count:,}",
            key=f"{key}.images.{available}",
            help=_("More images, narrower intervals. Of shares, 1,000 tell about three points apart."),
            persist_state="session",
        )
    )
