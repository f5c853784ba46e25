"""Plans under a budget: choose how, see whether it can be had, put it on the sliders."""

from __future__ import annotations

import dataclasses

import streamlit as st

from pages.ui import budgets, history, links, shortcuts, state, tables
from pages.ui.language import _, said
from pages.ui.literal import literal
from pages.ui.ranking import Ranking
from pages.ui.sweeps import source, usable
from pages.ui.widgets import knob_widgets
from pages.whatif import fitted, how, presets
from pruning_core.allocation.budget import Budget, allocate, kept, reachable
from pruning_core.allocation.global_threshold import OWN
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.errors import UserError
from pruning_core.graph import Network

ASKED = "whatif.preset.asked"  # what the last run of the page asked for


def form(network: Network, ranked: Ranking) -> None:
    try:
        _form(network, ranked)
    except UserError as error:
        st.warning(literal(said(str(error))), icon=":material/block:")


def _form(network: Network, ranked: Ranking) -> None:
    offered = presets.offered()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        chosen = st.segmented_control(
            _("How the ratios are found"),
            list(offered),
            default=next(iter(offered)),
            required=True,
            format_func=lambda key: said(offered[key].card.name),
            key="whatif.preset",
            persist_state="session",
            wrap=True,
        )
        cls = offered[chosen or next(iter(offered))]
        st.caption(f"{said(cls.card.idea)} {said(cls.card.fails)}")
        allocation = knob_widgets(cls, "whatif.preset", without=(cls.strength,))
        if getattr(allocation, "normalise", None) == OWN:
            st.caption(
                f":material/balance: {said(ranked.criterion.card.name)}: {said(ranked.criterion.fair.sentence)}."
            )
    with right:
        wanted = budgets.ask("whatif.budget")
        coupled = shortcuts.choose(network, state.desk().model, "whatif.shortcuts")
        with st.popover(_("Limits"), icon=":material/straighten:", width="stretch", wrap=True):
            limits = dataclasses.replace(knob_widgets(Limits, "whatif.limits"), shortcuts=coupled)
    sweep = usable(state.desk(), ranked.criterion)
    view = state.jobs().snapshot(sweep[0].id) if sweep else None
    given = presets.material(network, state.desk().plan, view)
    brought = tables.ask(network, state.desk()) if hasattr(allocation, "table") else None
    if brought:
        given = dataclasses.replace(given, table={key: list(curve) for key, curve in brought.table})
    complete = presets.completed(allocation, given)
    if sweep and hasattr(complete, "table") and not brought:
        st.caption(f":material/grid_on: {source(sweep, ranked.criterion)}")
        links.to_search(_("Really measure the best such plans on Search"), "candidates")
    pool = Pool.of(network, ranked.values, limits, ranked.criterion.fair.by)
    counted = [each for each in wanted if not each.timed]
    feasible = budgets.feasible([(each, reachable(complete, pool, each.kind)) for each in counted])
    possible = feasible and bool(wanted)
    if len(counted) < len(wanted):
        fitted.section(network, ranked, complete, wanted, limits, possible)
        _outcome(network, counted)
        return
    used = st.button(
        _("Put this on the sliders"), key="whatif.preset.use", type="primary", disabled=not possible,
        icon=":material/tune:", wrap=True,
    )  # fmt: skip
    follows = st.toggle(
        _("Move the sliders with the budget"), False, key="whatif.preset.follow", persist_state="session", wrap=True,
        help=_("Every move of a budget solves the ratios anew, from what is stored: nothing is measured for it."),
    )  # fmt: skip
    # Not what the ratios are scaled from: that is the plan itself, which every answer changes.
    asked = (allocation, wanted, limits, ranked.criterion, sweep[0].id if sweep else "", brought)
    moved = follows and st.session_state.get(ASKED) not in (None, asked)
    st.session_state[ASKED] = asked
    if possible and (used or moved):
        found = allocate(complete, pool, *wanted)
        made = how.computed(state.desk(), network, ranked, found.plan, complete, limits, wanted)
        if history.change(found.plan, how=made):
            st.session_state["whatif.said"] = literal(" ".join(map(said, found.notes)))
        st.rerun()
    _outcome(network, counted)


def _outcome(network: Network, counted: list[Budget]) -> None:
    """What became of the last click, and how the plan on the sliders stands to the budgets with closed forms."""
    if (said := st.session_state.pop("whatif.said", None)) is not None:
        st.success(_("The plan is on the sliders. {said}").format(said=said).rstrip(), icon=":material/check:")
    whole = network.cost()
    budgets.standing(kept(counted, whole, network.cost(state.desk().plan)), _("The plan on the sliders"))
