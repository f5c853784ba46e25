"""How long the plan's network really takes, beside the sliders: timed when asked for, as a run."""

from __future__ import annotations

import streamlit as st

from pages.ui import cards, jobs, latencies, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _
from pruning_core.measuring.measures import Latency
from pruning_core.runs.view import JobView, State
from pruning_core.studies.measure import LatencyRun
from pruning_core.zoo import ModelRef

COMPILED = "whatif.timing.compiled"
HELP = N_(
    "Compiles both networks first, which takes seconds to minutes and calls a C++ compiler. Compiling is not in the "
    "latency."
)


def section(desk: Desk) -> None:
    """Cards for the network as it is and as the plan leaves it; nothing is timed unasked."""
    words, button = st.columns([4, 1], vertical_alignment="center")
    compiled = words.toggle(
        _("Also as torch.compile makes it"), False, key=COMPILED, persist_state="session", help=_(HELP), wrap=True
    )
    wanted = runs(desk, compiled)
    known = {place: state.jobs().find(spec) for place, spec in wanted.items()}
    started = all(view is not None for view in known.values())
    if button.button(
        _("Time this plan") if desk.plan else _("Time the network"), key="whatif.timing.start", icon=":material/timer:",
        width="stretch", disabled=started, wrap=True,
    ):  # fmt: skip
        for spec in wanted.values():
            state.jobs().submit(spec, state.owner())
        st.rerun()
    places = [place for place, view in known.items() if view is not None]
    ids = [view.id for view in known.values() if view is not None]
    if ids:
        jobs.follow(ids, lambda views: _cards(dict(zip(places, views))), key="whatif.timing")


def runs(desk: Desk, compiled: bool) -> dict[tuple[str, bool], LatencyRun]:
    """By when and whether compiled; the smaller network is cut anew from the plan, with the weights that are left."""
    networks = {N_("unpruned"): desk.model}
    if desk.plan:
        model = desk.model
        networks[N_("with this plan")] = ModelRef(
            "pruned", model.name, input_size=model.input_size, base=model, plan=desk.plan.to_json()
        )
    return {
        (when, how): LatencyRun(model, compile=how)
        for how in ((False, True) if compiled else (False,))
        for when, model in networks.items()
    }


def _cards(views: dict[tuple[str, bool], JobView]) -> None:
    places = cards.row(max(2, len(views)))
    done = {place: view.last(Latency) for place, view in views.items() if view.state is State.DONE}
    for ((when, compiled), view), place in zip(views.items(), places):
        name = _("Latency {when}").format(when=_(when)) + (_(", compiled") if compiled else "")
        found = done.get((when, compiled))
        if found is None:
            cards.pending(name, jobs.waiting(view), container=place)
        else:
            before = done.get(("unpruned", compiled)) if when != "unpruned" else None
            latencies.card(name, found, before, place)
    jobs.faults(list(views.values()), key="whatif.timing")
