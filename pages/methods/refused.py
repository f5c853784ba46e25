"""What methods would end with on the network on the desk, asked before they run."""

from __future__ import annotations

import streamlit as st

from pages.ui import measured, state
from pages.ui.desk import Desk
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.refusal import why_not as sentence
from pruning_core.methods.refusal import without_classes
from pruning_core.training.config import FineTune

ASKED = "methods.asked"
KEPT = 500  # answers


def why_not(desk: Desk, method: Method, goal: Goal, config: FineTune) -> str:
    """The sentence, "" for none. Some methods try the network out for it, so answers are kept."""
    known: dict[object, str] = st.session_state.setdefault(ASKED, {})
    asked = desk.model.key, method, goal.network.whole, goal.budget, config.epochs
    if asked not in known:
        said = sentence(method, goal, config, state.loaded(desk.model).model, runs=not desk.model.foreign)
        known[asked] = said
        while len(known) > KEPT:
            del known[next(iter(known))]
    return known[asked] or _without_classes(desk, method, goal)


def _without_classes(desk: Desk, method: Method, goal: Goal) -> str:
    return without_classes(tuple(method.phases(goal)), measured.measure(measured.key_of(desk)))
