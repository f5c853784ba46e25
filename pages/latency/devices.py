"""Where to time, asked only where there is a choice."""

from __future__ import annotations

import streamlit as st

from pages.ui.language import _
from pruning_core.measuring.device import device_title, devices


def choose(key: str) -> str:
    """As ``choose_device`` names it."""
    there = devices()
    if len(there) == 1:
        return there[0]
    chosen = st.segmented_control(
        _("Device"), there, default=there[-1], required=True, key=key, format_func=device_title, wrap=True,
        persist_state="session",
    )  # fmt: skip
    return chosen or there[-1]
