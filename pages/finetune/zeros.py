"""Networks in which a method has set weights to zero: what they lost, and whether a training leaves it lost."""

from __future__ import annotations

import streamlit as st

from pages.ui import numbers, state
from pages.ui.desk import Desk
from pruning_core.graph import Plan
from pruning_core.sparsity.weights import Sparsity

SOME = 0.01  # of the weights are zero: more than chance leaves


def lost(desk: Desk) -> str:
    """What the network on the desk lost when it was pruned."""
    if desk.model.source == "rebuilt":
        return "some of its build"
    return "channels" if Plan.from_json(desk.model.plan) else "weights"


def stay(desk: Desk) -> bool:
    """Asked where weights are exactly zero, which hardly happens by chance."""
    found = Sparsity.of(state.loaded(desk.model).model, state.network(desk.model))
    if found.zeros < SOME * found.weights:
        return False
    return st.toggle(
        f"Zeros stay: {numbers.percent(found.zeros / found.weights)} of the weights",
        True,
        key="finetune.zeros",
        help="Off: every weight is trained, and the network ends dense.",
        persist_state="session",
        wrap=True,
    )
