"""Every change of the plan passes here, so that each can be undone."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages.ui import state
from pruning_core.export.document import How
from pruning_core.graph import Plan
from pruning_core.storage.codec import dump

KEPT = 100
ASKED = "whatif.asked"
PAST = "whatif.past"
Step = tuple[Plan, dict[str, int]]


def asked() -> dict[str, int]:
    """What the sliders of the network on the desk were set to, in per cent by group."""
    every: dict[str, dict[str, int]] = st.session_state.setdefault(ASKED, {})
    return every.setdefault(state.desk().model.key, {})


def past() -> list[Step]:
    every: dict[str, list[Step]] = st.session_state.setdefault(PAST, {})
    return every.setdefault(state.desk().model.key, [])


def change(plan: Plan, wishes: Mapping[str, int] | None = None, how: How | None = None) -> None:
    """Put `plan` on the desk and remember the one before it, with what its sliders were set to; `how` it was made."""
    before = state.desk().plan, dict(asked())
    asked().update(wishes or {})
    if plan == before[0]:
        return
    past().append(before)
    del past()[:-KEPT]
    state.choose_plan(plan, dump(how) if how is not None else "")


def undo() -> None:
    if past():
        plan, wishes = past().pop()
        asked().clear()
        asked().update(wishes)
        state.choose_plan(plan)


def reset() -> None:
    change(Plan())
