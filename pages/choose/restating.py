"""The network on the desk, of which something is said otherwise."""

from __future__ import annotations

import streamlit as st

from pages.ui import state
from pages.ui.desk import Desk
from pruning_core.zoo import ModelRef


def restate(desk: Desk, ref: ModelRef) -> None:
    """Put ``ref`` on the desk, which is the same network read in another way; the plan that was made for it stays."""
    plan, made = desk.plan, desk.made_by(desk.model, desk.plan)
    if state.choose_model(ref) and plan:
        state.choose_plan(plan, made)
    st.rerun()
