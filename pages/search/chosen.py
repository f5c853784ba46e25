"""One trial: its widths, and the way to go on with it."""

from __future__ import annotations

import streamlit as st

from pages.search import frames
from pages.search.frames import Place
from pages.ui import budgets, charts, history, links, measured, numbers, plots, state
from pages.ui.language import _, said
from pruning_core.allocation.budget import kept
from pruning_core.graph import Network, Plan
from pruning_core.measuring.measures import Accuracy
from pruning_core.studies.search import SearchRun
from pruning_core.studies.tried import Tried

CHOSEN = "search.trial"


def choose(place: Place) -> None:
    st.session_state[CHOSEN] = place


def place(found: dict[Place, Tried], spec: SearchRun, origin: Accuracy | None) -> Place:
    """The trial that was clicked, else the best of the search, else the newest."""
    wanted = st.session_state.get(CHOSEN)
    if wanted in found:
        return tuple(wanted)
    best = frames.best(found, spec.explorers[0], spec, origin)
    return (best.by, best.trial.number) if best is not None else list(found)[-1]


def show(each: Tried, network: Network, spec: SearchRun) -> None:
    trial = each.trial
    st.markdown(_("**{name_of}, trial {number}**").format(name_of=frames.name_of(each.by), number=trial.number))
    full = network.cost()
    timed = f", {numbers.milliseconds(trial.latency_ms)}" if trial.latency_ms is not None else ""
    timed += (
        _(", {compiled_ms} compiled").format(compiled_ms=numbers.milliseconds(trial.compiled_ms))
        if trial.compiled_ms is not None
        else ""
    )
    st.markdown(
        _(
            "{name} **{with_interval}** with **{percent}** of the MACs ({macs}) and {percent_2} of the "
            "parameters{timed}."
        ).format(
            name=said(measured.measure(each.measure).name),
            with_interval=measured.with_interval(each.measure, frames.value(each), each.low, each.high),
            percent=numbers.percent(trial.macs / full.macs),
            macs=numbers.count(trial.macs),
            percent_2=numbers.percent(trial.parameters / full.parameters),
            timed=timed,
        )
        + ("" if trial.within else _(" :orange-badge[over the budget]"))
    )
    plan = Plan(trial.plan)
    budgets.standing(kept(spec.budgets, full, network.cost(plan)), _("Its budgets"))
    if state.desk().plan == plan:
        st.success(_("This plan is on the desk.") if plan else _("Nothing is removed."), icon=":material/check:")
        links.to_what_if(_("Apply it on What-if"))
        links.to_fine_tune(_("Reach it in steps on Fine-tune"))
    elif st.button(
        _("Take this plan"), type="primary", icon=":material/playlist_add:", key="search.take", width="stretch",
        help=_("Puts these very channels on the desk. What-if applies them, and its Undo brings the old plan back."),
        wrap=True,
    ):  # fmt: skip
        if history.change(plan):
            st.toast(_("The plan is on the desk."))
        st.rerun()
    frame = frames.widths(trial, network)
    cut = int((frame["after"] < frame["before"]).sum())
    alt = _("Channels of {n} groups before and after trial {number}; {cut} groups are cut.").format(
        n=len(frame), number=trial.number, cut=cut
    )
    plots.show(charts.widths(frame, alt=alt), "search.widths")
