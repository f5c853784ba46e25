"""Sliders that show the plan and move it, also while the page is still running.

The plan is the truth: presets, undo and other pages move a slider too. What the page writes into a slider goes back to
the browser and undoes the keys that were pressed meanwhile, so it writes only where plan and slider differ. And a move
is taken by comparing the slider with what both sides last agreed on, never in a callback: the browser may send the same
value twice, the second message ends the callback of the first in its midst, and no third one comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import streamlit as st

from pages.ui import state

KEY = "whatif.agreed"


@dataclass(frozen=True)
class Agreed:
    """``target``: the group that the slider moves, None for all exact ones. In per cent."""

    model: str
    target: str | None
    percent: int


def show(key: str, target: str | None, percent: int) -> None:
    """Before the slider is drawn: let it show what the plan says."""
    known = _known()
    if st.session_state.get(key) != percent:
        st.session_state[key] = percent
    known[key] = Agreed(state.desk().model.key, target, percent)


def moves() -> Iterator[tuple[str | None, int]]:
    """(target, per cent) of every slider moved since; a move counts as taken once the next one is asked for."""
    known, model = _known(), state.desk().model.key
    for key, last in list(known.items()):
        percent = st.session_state.get(key)
        if last.model != model or percent is None or percent == last.percent:
            continue
        yield last.target, int(percent)
        known[key] = Agreed(model, last.target, int(percent))


def _known() -> dict[str, Agreed]:
    found: dict[str, Agreed] = st.session_state.setdefault(KEY, {})
    return found
