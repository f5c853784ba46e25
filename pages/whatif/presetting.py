"""Plans under a budget: choose how, see whether it can be had, put it on the sliders."""

from __future__ import annotations

import dataclasses

import streamlit as st

from pages.ui import budgets, history, shortcuts, state
from pages.ui.literal import literal
from pages.ui.ranking import Ranking
from pages.ui.sweeps import Found, label, usable
from pages.ui.widgets import knob_widgets
from pages.whatif import how, presets
from pruning_core.allocation.budget import allocate, kept, reachable
from pruning_core.allocation.global_threshold import OWN
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.errors import UserError
from pruning_core.graph import Network


def form(network: Network, ranked: Ranking) -> None:
    try:
        _form(network, ranked)
    except UserError as error:
        st.warning(literal(str(error)), icon=":material/block:")


def _form(network: Network, ranked: Ranking) -> None:
    offered = presets.offered()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        chosen = st.segmented_control(
            "How the ratios are found", list(offered), default=next(iter(offered)), required=True,
            format_func=lambda key: offered[key].card.name, key="whatif.preset", persist_state="session", wrap=True,
        )  # fmt: skip
        cls = offered[chosen or next(iter(offered))]
        st.caption(f"{cls.card.idea} {cls.card.fails}")
        allocation = knob_widgets(cls, "whatif.preset", without=(cls.strength,))
        if getattr(allocation, "normalise", None) == OWN:
            st.caption(f":material/balance: {ranked.criterion.card.name}: {ranked.criterion.fair.sentence}.")
    with right:
        wanted = budgets.ask("whatif.budget", budgets.COUNTED)
        coupled = shortcuts.choose(network, "whatif.shortcuts")
        with st.popover("Limits", icon=":material/straighten:", width="stretch", wrap=True):
            limits = dataclasses.replace(knob_widgets(Limits, "whatif.limits"), shortcuts=coupled)
    sweep = usable(state.desk(), ranked.criterion)
    view = state.jobs().snapshot(sweep[0].id) if sweep else None
    complete = presets.completed(allocation, presets.material(network, state.desk().plan, view))
    if sweep and hasattr(complete, "table"):
        _say_sweep(sweep, ranked)
    pool = Pool.of(network, ranked.values, limits, ranked.criterion.fair.by)
    counted = [each for each in wanted if not each.timed]
    feasible = budgets.feasible([(each, reachable(complete, pool, each.kind)) for each in counted])
    if st.button(
        "Put this on the sliders", key="whatif.preset.use", type="primary", disabled=not feasible or not wanted,
        icon=":material/tune:", wrap=True,
    ):  # fmt: skip
        found = allocate(complete, pool, *wanted)
        made = how.computed(state.desk(), network, ranked, found.plan, complete, limits, wanted)
        if history.change(found.plan, how=made):
            st.session_state["whatif.said"] = literal(" ".join(found.notes))
        st.rerun()
    if (said := st.session_state.pop("whatif.said", None)) is not None:
        st.success(f"The plan is on the sliders. {said}".rstrip(), icon=":material/check:")
    whole = network.cost()
    budgets.standing(kept(counted, whole, network.cost(state.desk().plan)), "The plan on the sliders")


def _say_sweep(sweep: Found, ranked: Ranking) -> None:
    view, spec = sweep
    text = f"Drops from the sweep: {label(spec)}, on held-out images."
    if view.active:
        text += " It is still running: what it has measured so far is used."
    if spec.criterion != ranked.criterion:
        text += f" It was measured with {spec.criterion.label}; the channels are now chosen by another criterion."
    st.caption(f":material/grid_on: {text}")
