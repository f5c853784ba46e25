"""Networks in which a method has set weights to zero: what they lost, and whether a training leaves it lost."""

from __future__ import annotations

import streamlit as st

from pages.ui import numbers, zeros
from pages.ui.desk import Desk
from pages.ui.language import _
from pruning_core.graph import Plan


def lost(desk: Desk) -> str:
    """What the network on the desk lost when it was pruned."""
    if desk.model.source == "rebuilt":
        return _("some of its build")
    return _("channels") if Plan.from_json(desk.model.plan) else _("weights")


def stay(desk: Desk) -> bool:
    """Asked where some weights are zero."""
    sparsity = zeros.found(desk)
    if sparsity is None:
        return False
    return st.toggle(
        _("Zeros stay: {percent} of the weights").format(percent=numbers.percent(sparsity.zeros / sparsity.weights)),
        True,
        key="finetune.zeros",
        help=_("Off: every weight is trained, and the network ends dense."),
        persist_state="session",
        wrap=True,
    )
