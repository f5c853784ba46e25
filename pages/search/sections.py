"""The parts of the page, from top to bottom."""

from __future__ import annotations

import streamlit as st

from pages.search import chosen, final, frames
from pages.search.figures import draw
from pages.ui import jobs, state
from pages.ui.desk import Desk
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.runs.search import SearchRun
from pruning_core.runs.view import JobView, State
from pruning_core.zoo import LoadedModel

SHOWN = "search.run"
POLL_S = 1.0
Found = tuple[JobView, SearchRun]


def introduction(desk: Desk, model: LoadedModel, available: int) -> None:
    st.markdown(
        f"How wide should each layer of **{model.title}** stay? Every trial is a really smaller network: its channels "
        "are removed, its batch-norm statistics measured anew, and its accuracy taken on the "
        f"**{available:,} held-out images** of {desk.data.name}. No weights are trained."
    )
    if not model.trained:
        st.warning(
            "This network is untrained: its accuracy is chance, so no width is better.", icon=":material/warning:"
        )


def start(spec: SearchRun | None) -> None:
    """The button. The same settings are the same run: a finished one is shown, a stopped one goes on."""
    if spec is None:
        return
    known = state.jobs().find(spec)
    if known is None:
        words = "Start the search"
    elif known.active:
        words = "This search is running"
    else:
        words = "Show this search" if known.state is State.DONE else "Go on with this search"
    shown = known is not None and known.id == st.session_state.get(SHOWN)
    if st.button(
        words,
        type="primary",
        icon=":material/play_arrow:",
        key="search.start",
        disabled=shown and known is not None and (known.active or known.state is State.DONE),
    ):
        st.session_state[SHOWN] = state.jobs().submit(spec, state.owner())
        chosen.forget()
        st.rerun()


def results(desk: Desk, network: Network) -> None:
    """The search that was started last, also after a reload, or the one chosen among earlier ones."""
    found = searches(desk)
    if not found:
        st.info(
            "Nothing is searched yet. Every trial becomes a point while one watches; a search can be stopped and goes "
            "on where it stopped.",
            icon=":material/query_stats:",
        )
        return
    view, spec = _shown(found)
    ended = jobs.watch(view.id, key="search", draw=lambda now: draw(now, spec, network), poll_s=POLL_S)
    final.show(ended, spec)
    final.table(ended, spec, network)


def searches(desk: Desk) -> list[Found]:
    """The visitor's searches of the network and data on the desk, newest first, without their events."""
    found = []
    for view in state.jobs().of(state.owner()):
        if view.kind != SearchRun.kind:
            continue
        try:
            spec = state.jobs().spec(view.id)
        except UserError:  # written by another version: it cannot be read, and a new search takes its place
            continue
        if isinstance(spec, SearchRun) and spec.model == desk.model and spec.data == desk.data:
            found.append((view, spec))
    return found


def _shown(found: list[Found]) -> Found:
    ids = [view.id for view, _ in found]
    if st.session_state.get(SHOWN) not in ids:
        st.session_state[SHOWN] = ids[0]
    if len(found) == 1:
        return found[0]
    labels = {view.id: f"{frames.label(spec)} ({view.state})" for view, spec in found}
    wanted = st.selectbox("Search shown", ids, format_func=lambda each: labels[each], key=SHOWN)
    return found[ids.index(wanted)]
