"""Every change of the plan passes here, so that each can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import streamlit as st

from pages.ui import state
from pages.ui.language import _
from pages.ui.literal import named
from pruning_core.export.document import How
from pruning_core.graph import Group, Plan
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


def change(plan: Plan, wishes: Mapping[str, int] | None = None, how: How | None = None) -> bool:
    """Put `plan` on the desk and remember the one before it, with what its sliders were set to; `how` it was made.

    False where another tab was first.
    """
    now, steps, plan_before = asked(), past(), state.desk().plan
    before = plan_before, dict(now)
    if plan != plan_before:
        if not state.choose_plan(plan, dump(how) if how is not None else ""):
            return False
        # From here on nothing touches the session: another click would end this run at that point.
        steps.append(before)
        del steps[:-KEPT]
    now.update(wishes or {})
    return True


def add(group: Group, channels: Iterable[int]) -> None:
    """Remove these channels of the group too; what the plan removes already stays removed.

    Where none of the group would be left, the plan stays as it was and a message says so.
    """
    plan = state.desk().plan
    together = sorted({*plan.get(group.key, ()), *channels})
    if len(together) >= group.size:
        st.toast(
            _("{key} must keep at least one channel. Choose fewer.").format(key=named(group.key)),
            icon=":material/error:",
        )
        return
    change(plan.with_group(group.key, together))


def undo() -> None:
    now, steps = asked(), past()
    if steps:
        plan, wishes = steps[-1]
        if not state.choose_plan(plan):
            return
        steps.pop()
        now.clear()
        now.update(wishes)


def reset() -> None:
    change(Plan())
