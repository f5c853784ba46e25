"""What is on the desk, in the same words on every page: a plan is planned until it is applied, then the network is cut.

Planned: channels chosen, nothing removed. Applied: removed in a copy and measured, while the desk still holds the whole
network. Cut: the smaller network is on the desk. Fine-tuned: its weights were trained since.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import state
from pages.ui.numbers import percent

if TYPE_CHECKING:  # the sidebar is drawn before torch is there
    from pages.ui.desk import Desk
    from pruning_core.runs.view import JobView
    from pruning_core.studies.prune import PruneRun
    from pruning_core.studies.pruned import Pruned
    from pruning_core.zoo import ModelRef


class Made(StrEnum):
    """What was done to a network."""

    WHOLE = "whole"
    CUT = "cut"
    RENEWED = "cut, new batch-norm statistics"
    TUNED = "cut and fine-tuned"


def made(ref: ModelRef) -> Made:
    if ref.base is None:
        return Made.WHOLE
    if not ref.weights:
        return Made.CUT
    return Made(_changed(ref.to_json(), str(state.workspace().root)))


def badge(ref: ModelRef) -> str:
    """What was done to the network, as a small coloured word; "" for a whole one."""
    found = made(ref)
    return "" if found is Made.WHOLE else f":blue-badge[{found}]"


def application(desk: Desk) -> PruneRun:
    """The run that applies the plan on the desk; judged on the test images, which no choice has looked at."""
    from pruning_core.studies.prune import PruneRun

    return PruneRun(model=desk.model, data=replace(desk.data, split="test"), plan=desk.plan.to_json())


def applied(desk: Desk) -> tuple[JobView, Pruned] | None:
    """What applying this very plan measured; None when it was not applied (to its end)."""
    return _ended(application(desk)) if desk.plan else None


def came_from(desk: Desk) -> tuple[JobView, Pruned] | None:
    """What cutting the network on the desk measured, where that is known."""
    from pruning_core.studies.prune import PruneRun

    if desk.model.base is None:
        return None
    return _ended(PruneRun(desk.model.base, replace(desk.data, split="test"), desk.model.plan))


def plan(desk: Desk) -> str:
    """The plan in Markdown."""
    if not desk.plan:
        return ":gray[nothing planned]" if made(desk.model) is Made.WHOLE else ":gray[nothing more planned]"
    network = state.network(desk.model)
    before, after = network.cost(), network.cost(desk.plan)
    stands = "applied, the smaller network waits on What-if" if applied(desk) else "not applied yet"
    return (
        f"**{len(desk.plan)}** of {len(network.groups)} groups planned, "
        f"**{percent(1 - after.macs / max(1, before.macs), 0)}** fewer MACs :gray[· {stands}]"
    )


def _ended(run: PruneRun) -> tuple[JobView, Pruned] | None:
    from pruning_core.studies.pruned import Pruned

    view = state.jobs().find(run)
    found = view.last(Pruned) if view else None
    return (view, found) if view and found else None


@st.cache_resource(show_spinner=False, max_entries=64)
def _changed(ref: str, root: str) -> str:
    """By comparing it with what was left when it was cut."""
    import torch

    from pruning_core.zoo import ModelRef

    tuned = ModelRef.from_json(ref)
    now, then = state.loaded(tuned).model, state.loaded(replace(tuned, weights="")).model
    before = then.state_dict()
    changed = {name for name, value in now.state_dict().items() if not torch.equal(value, before[name])}
    if not changed:
        return Made.CUT
    return Made.RENEWED if changed.isdisjoint(name for name, _ in now.named_parameters()) else Made.TUNED
