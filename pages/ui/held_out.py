"""The images by which choices are made: how many there are, and how many to look at."""

from __future__ import annotations

import streamlit as st

from pages.ui import state
from pages.ui.language import _
from pruning_core.datasets import DataRef

COUNTS = (32, 64, 128, 256, 512, 1000, 2000, 5000, 10_000, 20_000)
AT_FIRST = 1000  # images, where there are more: enough to tell three points apart


def held_out_size(data: DataRef) -> int:
    """Raises UserError when nothing can be held out."""
    return _held_out_size(data.to_json(), str(state.workspace().root))


@st.cache_data(show_spinner=False, max_entries=32)
def _held_out_size(data: str, root: str) -> int:
    from pruning_core.datasets.load import hold_out

    ref = DataRef.from_json(data)
    train = state.splits(ref)[0]
    return len(hold_out(train, ref)[1])


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
