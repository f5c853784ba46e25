"""The visitor's runs of one kind: starting one, finding those of earlier, choosing which is in view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

from pages.ui import state
from pages.ui.language import _
from pages.ui.literal import numbered
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import JobView, State

S = TypeVar("S", bound=RunSpec)


def mine(kind: type[S], wanted: Callable[[S], bool]) -> list[tuple[JobView, S]]:
    """Those that are ``wanted``, newest first, without their events."""
    listed = state.jobs().listed(state.owner(), kind.kind)  # what another version wrote has no spec
    return [(view, spec) for view, spec in listed if isinstance(spec, kind) and wanted(spec)]


def button(spec: RunSpec, noun: str, *, key: str, shown: str, forget: str) -> None:
    """Starts the run. The same settings are the same run: a finished one is shown, a stopped one goes on.

    ``shown`` is where the session keeps which run is in view, ``forget`` what was chosen in the one before.
    """
    known = state.jobs().find(spec)
    if known is None:
        words = _("Start the {what}").format(what=noun)
    elif known.active:
        words = _("This {what} is running").format(what=noun)
    else:
        words = (_("Show this {what}") if known.state is State.DONE else _("Go on with this {what}")).format(what=noun)
    in_view = known is not None and known.id == st.session_state.get(shown)
    if st.button(
        words,
        type="primary",
        icon=":material/play_arrow:",
        key=key,
        disabled=in_view and known is not None and (known.active or known.state is State.DONE),
        wrap=True,
    ):
        st.session_state.pop(forget, None)
        submit(spec, shown)


def submit(spec: RunSpec, shown: str) -> None:
    """Start it, or go on with it, and put it in view; the page runs again. Raises UserError."""
    st.session_state[shown] = state.jobs().submit(spec, state.owner())
    st.rerun()


def say_when_done(spec: RunSpec) -> None:
    """For a button that always reads the same: why nothing starts."""
    known = state.jobs().find(spec)
    if known is not None and known.state is State.DONE:
        st.toast(_("This very run is done already; here is its result. Another seed makes another one."))


def choose(
    found: Sequence[tuple[JobView, S]], title: str, label: Callable[[S], str], *, shown: str
) -> tuple[JobView, S]:
    """The run that was started last, also after a reload, or the one chosen among earlier ones."""
    ids = [view.id for view, _ in found]
    if st.session_state.get(shown) not in ids:
        st.session_state[shown] = ids[0]
    if len(found) == 1:
        return found[0]
    # Not how it stands: a label is what the browser knows the choice by, and "running" would stay there for ever.
    names = numbered(label(each[1]) for each in found)
    labels = dict(zip(ids, names))
    wanted = st.selectbox(title, ids, format_func=lambda each: labels.get(each, each), key=shown)
    return found[ids.index(wanted)]
