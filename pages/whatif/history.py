"""Every change of the plan passes here, so that each can be undone."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages.ui import state
from pruning_core.graph import Plan

KEPT = 100
ASKED = "whatif.asked"
PAST = "whatif.past"


def asked() -> dict[str, int]:
    """What the sliders of the network on the desk were set to, in per cent by group."""
    every: dict[str, dict[str, int]] = st.session_state.setdefault(ASKED, {})
    return every.setdefault(state.desk().model.key, {})


def past() -> list[Plan]:
    every: dict[str, list[Plan]] = st.session_state.setdefault(PAST, {})
    return every.setdefault(state.desk().model.key, [])


def change(plan: Plan, wishes: Mapping[str, int] | None = None) -> None:
    """Put `plan` on the desk and remember the one before it."""
    before = state.desk().plan
    asked().update(wishes or {})
    if plan == before:
        return
    past().append(before)
    del past()[:-KEPT]
    state.choose_plan(plan)


def undo() -> None:
    if past():
        state.choose_plan(past().pop())


def reset() -> None:
    asked().clear()
    change(Plan())
