"""Sliders that show the plan and move it, also while the page is still running.

The plan is the truth: presets, undo and other pages move a slider too. What the page writes into a slider goes back to
the browser and undoes the keys that were pressed meanwhile, so it writes only where plan and slider differ. And a move
is taken by comparing the slider with what both sides last agreed on, never in a callback: the browser may send the same
value twice, the second message ends the callback of the first in its midst, and no third one comes.

A browser that moves one slider fast has not yet seen what was written into the others when it speaks again: it still
says their older values, which are echoes and nobody's moves. A person moves one slider at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import streamlit as st

from pages.ui import state

KEY, MOVING = "whatif.agreed", "whatif.moving"


@dataclass(frozen=True)
class Agreed:
    """``target``: the group that the slider moves, None for all exact ones. In per cent.

    ``echoes``: older values, which the browser may say until it has said ``percent``. ``doubted``: it has said one of
    them when nothing told whether a person had moved the slider there.
    """

    model: str
    target: str | None
    percent: int
    echoes: frozenset[int] = frozenset()
    doubted: bool = False


def show(key: str, target: str | None, percent: int) -> None:
    """Before the slider is drawn: let it show what the plan says."""
    known, model, told = _known(), state.desk().model.key, st.session_state.get(key)
    last = known.get(key)
    if last is None or (last.model, last.target) != (model, target):
        last = Agreed(model, target, percent)
    if told != percent:
        st.session_state[key] = percent
    if told != percent and _moving() - {key}:  # not where a button or another page moved it
        older = {last.percent} if told is None else {last.percent, int(told)}
        last = replace(last, echoes=(last.echoes | older) - {percent})
    known[key] = replace(last, percent=percent)


def moves() -> Iterator[tuple[str | None, int]]:
    """(target, per cent) of every slider moved since; a move counts as taken once the next one is asked for."""
    known, model = _known(), state.desk().model.key
    told = {key: int(st.session_state[key]) for key in known if st.session_state.get(key) is not None}
    mine = {key: last for key, last in known.items() if key in told and last.model == model}
    seen = [key for key, last in mine.items() if last.echoes and told[key] == last.percent]
    echoing = [key for key, last in mine.items() if told[key] in last.echoes]
    moved = [key for key, last in mine.items() if told[key] not in {last.percent, *last.echoes}]
    if not moved and len(echoing) == 1 and (seen or mine[echoing[0]].doubted):
        moved = echoing
    elif not moved:
        known.update({key: replace(mine[key], doubted=True) for key in echoing})
    if moved or (seen and not echoing):  # never before it is confirmed: the sliders may not even have been drawn
        _moving().clear()
    _moving().update(moved)
    known.update({key: Agreed(model, mine[key].target, told[key]) for key in seen})
    for key in moved:
        yield mine[key].target, told[key]
        known[key] = Agreed(model, mine[key].target, told[key])


def _moving() -> set[str]:
    """The sliders that moved last, while the browser may not have seen what that did to the others."""
    found: set[str] = st.session_state.setdefault(MOVING, set())
    return found


def _known() -> dict[str, Agreed]:
    found: dict[str, Agreed] = st.session_state.setdefault(KEY, {})
    return found
