"""What is on the desk, in the same words on every page: a plan is planned until it is applied, then the network is cut.

Planned: channels chosen, nothing removed. Applied: removed in a copy and measured, while the desk still holds the whole
network. Cut: the smaller network is on the desk. What was done to its weights since is said with it.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

import streamlit as st

from pages.ui import state
from pages.ui.language import N_, _
from pages.ui.numbers import percent

if TYPE_CHECKING:  # the sidebar is drawn before torch is there
    from pages.ui.desk import Desk
    from pruning_core.runs.view import JobView
    from pruning_core.studies.prune import PruneRun
    from pruning_core.studies.pruned import Pruned
    from pruning_core.zoo import ModelRef


class Made(StrEnum):
    """What was done to a network."""

    WHOLE = N_("whole")
    CUT = N_("cut")
    RENEWED = N_("cut, new batch-norm statistics")
    REFITTED = N_("cut, weights refitted")
    TUNED = N_("cut and fine-tuned")
    STEPPED = N_("cut in steps and trained")
    METHOD = N_("cut by a method")
    CHANGED = N_("cut, other weights since")  # whoever did that is not known here
    MASKED = N_("weights set to zero")
    REBUILT = N_("rebuilt")
    ONLY_TUNED = N_("fine-tuned")
    OTHER = N_("other weights")

    @property
    def trained(self) -> bool:
        return self not in (Made.WHOLE, Made.CUT, Made.RENEWED, Made.REFITTED)


# A method that ends in a network of the same shape has cut nothing.
UNCUT = {Made.METHOD: Made.MASKED, Made.TUNED: Made.ONLY_TUNED, Made.CHANGED: Made.OTHER, Made.CUT: Made.WHOLE}


def made(ref: ModelRef) -> Made:
    if ref.base is None:
        return Made.WHOLE
    if ref.source == "rebuilt":
        return Made.REBUILT
    return Made(_made(ref.to_json(), state.owner(), str(state.workspace().root)))


def badge(ref: ModelRef) -> str:
    """What was done to the network, as a small coloured word; "" for a whole one."""
    found = made(ref)
    return "" if found is Made.WHOLE else f":blue-badge[{_(found)}]"


def called(ref: ModelRef) -> str:
    """What the network is, as it begins a sentence."""
    from pruning_core.graph import Plan

    if ref.source == "rebuilt":
        return _("The rebuilt network")
    return _("The smaller network") if ref.plan and Plan.from_json(ref.plan) else _("The network with other weights")


def application(desk: Desk) -> PruneRun:
    """The run that applies the plan on the desk; judged on the test images, which no choice has looked at."""
    from pages.ui import recovery
    from pruning_core.studies.prune import PruneRun

    data = replace(desk.data, split="test")
    return PruneRun(model=desk.model, data=data, plan=desk.plan.to_json(), recovery=recovery.now())


def applied(desk: Desk) -> tuple[JobView, Pruned] | None:
    """What applying this very plan measured; None when it was not applied (to its end)."""
    from pruning_core.studies.pruned import Pruned

    view = state.jobs().find(application(desk)) if desk.plan else None
    found = view.last(Pruned) if view else None
    return (view, found) if view and found else None


def was_applied(desk: Desk) -> bool:
    """Whether the plan was applied to its end, with this recovery or another."""
    return bool(desk.plan) and bool(applied(desk) or _cuts(desk.model, desk.plan.to_json()))


def came_from(ref: ModelRef) -> tuple[JobView, Pruned] | None:
    """What cutting this network measured: the cut that ended in these very weights, else the newest of this plan."""
    if ref.base is None:
        return None
    found = _cuts(ref.base, ref.plan)
    own = [each for each in found if ref == each[1].model or (each[1].recovered and ref == each[1].recovered.model)]
    return next(iter(own or found), None)


def plan(desk: Desk) -> str:
    """The plan in Markdown."""
    if not desk.plan:
        return f":gray[{_('nothing planned') if desk.model.base is None else _('nothing more planned')}]"
    network = state.network(desk.model)
    before, after = network.cost(), network.cost(desk.plan)
    stands = _("applied, the smaller network waits on What-if") if was_applied(desk) else _("not applied yet")
    return (
        _("**{n}** of {all} groups planned, **{share}** fewer MACs").format(
            n=len(desk.plan), all=len(network.groups), share=percent(1 - after.macs / max(1, before.macs), 0)
        )
        + f" :gray[· {stands}]"
    )


def _cuts(base: ModelRef, plan: str) -> list[tuple[JobView, Pruned]]:
    """The visitor's applications of this plan that came to their end, newest first.

    Not what was only measured on held-out images, to choose by: that is no application.
    """
    from pages.ui import started
    from pruning_core.studies.prune import PruneRun
    from pruning_core.studies.pruned import Pruned

    found = []
    for listed, _spec in started.mine(
        PruneRun, lambda spec: (spec.model, spec.plan, spec.data.split) == (base, plan, "test")
    ):
        view = state.jobs().snapshot(listed.id)
        if end := view.last(Pruned):
            found.append((view, end))
    return found


@st.cache_resource(show_spinner=False, max_entries=64)
def _made(ref: str, owner: str, root: str) -> str:
    """By the visitor's runs, which say what they did; else by comparing it with what was left when it was cut."""
    from pruning_core.graph import Plan
    from pruning_core.zoo import ModelRef

    wanted = ModelRef.from_json(ref)
    found = _told(wanted) or _compared(wanted)
    return found if Plan.from_json(wanted.plan) else UNCUT.get(found, found)


def _told(ref: ModelRef) -> Made | None:
    from pages.ui import started
    from pruning_core.runs.events import Artifact
    from pruning_core.studies.fine_tune import PRUNED, FineTuneRun
    from pruning_core.studies.gradual import GradualRun
    from pruning_core.studies.method import MethodRun
    from pruning_core.studies.reached import Reached
    from pruning_core.studies.treated import Treated

    assert ref.base is not None
    base, jobs = ref.base, state.jobs()
    for _view, cut in _cuts(base, ref.plan):
        if ref == cut.model:
            return Made.CUT
        if cut.recovered and ref == cut.recovered.model:
            return Made.REFITTED if cut.recovered.trained else Made.RENEWED
    for view, _tuning in started.mine(FineTuneRun, lambda spec: replace(spec.model, weights=ref.weights) == ref):
        kept = [each.digest for each in jobs.snapshot(view.id).all(Artifact) if each.name == f"{PRUNED} weights"]
        if ref.weights in kept:
            return Made.TUNED
    for view, _steps in started.mine(GradualRun, lambda spec: spec.model == base):
        if any(each.weights == ref.weights for each in jobs.snapshot(view.id).all(Reached)):
            return Made.STEPPED
    for view, _method in started.mine(MethodRun, lambda spec: spec.model == base):
        if (end := jobs.snapshot(view.id).last(Treated)) and end.model == ref:
            return Made.METHOD
    return None


def _compared(ref: ModelRef) -> Made:
    import torch

    if not ref.weights:
        return Made.CUT
    now, then = state.loaded(ref).model, state.loaded(replace(ref, weights="")).model
    before = then.state_dict()
    changed = {name for name, value in now.state_dict().items() if not torch.equal(value, before[name])}
    if not changed:
        return Made.CUT
    return Made.RENEWED if changed.isdisjoint(name for name, _ in now.named_parameters()) else Made.CHANGED
