"""Plans under a budget: choose how, see whether it can be had, put it on the sliders."""

from __future__ import annotations

import streamlit as st

from pages.ui import history, numbers, state
from pages.ui.literal import literal
from pages.ui.ranking import Ranking
from pages.ui.sweeps import Found, label, usable
from pages.ui.widgets import knob_widgets
from pages.whatif import how, presets
from pruning_core.allocation.budget import Allocated, Budget, Kind, Reach, reachable
from pruning_core.allocation.global_threshold import OWN
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.errors import UserError
from pruning_core.graph import Network

KINDS: dict[str, Kind] = {"MACs": "macs", "Parameters": "parameters"}


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
        name = st.segmented_control(
            "The budget counts", list(KINDS), default="MACs", required=True, key="whatif.budget.kind",
            persist_state="session", wrap=True,
        )  # fmt: skip
        kind = KINDS[name or "MACs"]
        percent = st.slider(
            "Keep at most", 1, 100, 50, format="%d %%", key="whatif.budget", persist_state="session",
            help="Of the unpruned network.",
        )  # fmt: skip
        with st.popover("Limits", icon=":material/straighten:", width="stretch", wrap=True):
            limits = knob_widgets(Limits, "whatif.limits")
    sweep = usable(state.desk(), ranked.criterion)
    view = state.jobs().snapshot(sweep[0].id) if sweep else None
    complete = presets.completed(allocation, presets.material(network, state.desk().plan, view))
    if sweep and hasattr(complete, "table"):
        _say_sweep(sweep, ranked)
    pool = Pool.of(network, ranked.values, limits, ranked.criterion.fair.by)
    reach = reachable(complete, pool, kind)
    feasible = _feasibility(reach, percent / 100, name or "MACs")
    if st.button(
        "Put this on the sliders", key="whatif.preset.use", type="primary", disabled=not feasible,
        icon=":material/tune:", wrap=True,
    ):  # fmt: skip
        found = presets.solved(complete, pool, kind, percent / 100)
        budget = Budget(kind, fraction=percent / 100)
        made = how.computed(state.desk(), network, ranked, found.plan, complete, limits, budget)
        if history.change(found.plan, how=made):
            st.session_state["whatif.said"] = _said(found, network, kind)
        st.rerun()
    if said := st.session_state.pop("whatif.said", None):
        st.success(said, icon=":material/check:")


def _say_sweep(sweep: Found, ranked: Ranking) -> None:
    view, spec = sweep
    text = f"Drops from the sweep: {label(spec)}, on held-out images."
    if view.active:
        text += " It is still running: what it has measured so far is used."
    if spec.criterion != ranked.criterion:
        text += f" It was measured with {spec.criterion.label}; the channels are now chosen by another criterion."
    st.caption(f":material/grid_on: {text}")


def _feasibility(reach: Reach, fraction: float, name: str) -> bool:
    lowest = reach.low / reach.high
    asked = f"At most {numbers.percent(fraction, 0)} of the {name}, {numbers.count(fraction * reach.high)}"
    within = f"Within these limits the network can have {reach.text}."
    if fraction < lowest:
        st.warning(f"{asked}: this cannot be reached. {within}", icon=":material/block:")
        return False
    st.markdown(f":green-badge[:material/check: can be reached] {asked}. {within}")
    return True


def _said(found: Allocated, network: Network, kind: Kind) -> str:
    whole = network.cost()
    now, before = getattr(found.cost, kind), getattr(whole, kind)
    unit = {"macs": "MACs", "parameters": "parameters"}[kind]
    notes = literal(" ".join(found.notes))
    return f"The plan keeps {numbers.percent(now / before, 2)} of the {unit} ({numbers.count(now)}). {notes}".rstrip()
