"""A plan within budgets that must be timed: found by a run, then put on the sliders."""

from __future__ import annotations

import streamlit as st

from pages.ui import budgets, history, jobs, state
from pages.ui.language import _, said
from pages.ui.literal import literal
from pages.ui.ranking import Ranking
from pages.whatif import how
from pruning_core.allocation.base import Allocation
from pruning_core.allocation.budget import Budget, told
from pruning_core.allocation.limits import Limits
from pruning_core.graph import Network, Plan
from pruning_core.studies.fit import FitRun, Fitted


def section(
    network: Network,
    ranked: Ranking,
    allocation: Allocation,
    wanted: tuple[Budget, ...],
    limits: Limits,
    possible: bool,
) -> None:
    """``possible``: the budgets that have closed forms can be reached."""
    desk = state.desk()
    spec = FitRun(desk.model, desk.data, ranked.criterion, allocation, wanted, limits)
    known = state.jobs().find(spec)
    if known is None:
        st.caption(
            _(
                ":material/timer: {told} of the unpruned network: plans are cut and timed, some ten of them, "
                "until the least removal within all budgets is found."
            ).format(told=told([each for each in wanted if each.timed]))
            + (_(" Each is compiled first.") if any(each.kind == "compiled" for each in wanted) else "")
        )
        if st.button(
            _("Find it by timing"), key="whatif.fit.start", type="primary", icon=":material/timer:", wrap=True,
            disabled=not possible,
        ):  # fmt: skip
            state.jobs().submit(spec, state.owner())
            st.rerun()
        return
    view = jobs.watch(known.id, key="whatif.fit")
    found = view.last(Fitted)
    if found is None:
        return
    budgets.standing(
        found.kept, _("The plan that was found, on {upper}, one image at a time").format(upper=view.device.upper())
    )
    if st.button(_("Put this on the sliders"), key="whatif.fit.use", type="primary", icon=":material/tune:", wrap=True):
        plan = Plan.from_json(found.plan)
        if history.change(plan, how=how.computed(desk, network, ranked, plan, allocation, limits, wanted)):
            st.session_state["whatif.said"] = literal(" ".join(map(said, found.notes)))
        st.rerun()
