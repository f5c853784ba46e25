"""Why a method cannot do what it is asked for, said before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pruning_core.allocation.budget import reachable
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import Criterion, score
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, remove
from pruning_core.measuring.measure import Against, Measure
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.cutting import check_ranked
from pruning_core.methods.masking import check_masked, without_drawing
from pruning_core.methods.phases import Cut, Judge, Mask, Phase, Rebuild, Reinitialise, Train, Widths, settings
from pruning_core.methods.rebuilding import Target
from pruning_core.methods.units import NO_MODULES, cuttable
from pruning_core.training.config import FineTune


def why_not(method: Method, goal: Goal, config: FineTune, model: nn.Module, *, runs: bool = True) -> str:
    """ "" where ``method`` can set out for ``goal`` on ``model``, else the sentence that it would end with.

    What only images can show is not known here. ``runs``: whether ``model`` may be run here. A stranger's program may
    not: it runs somewhere else, and what is here are its numbers.
    """
    if obstacle := method.obstacle(goal.network):
        return obstacle
    try:
        phases = tuple(method.phases(goal))
        settings(phases, config)
        if method.of_channels and method.budgeted:
            _check_reach(goal)
        for number, phase in enumerate(phases):
            _check(phase, phases[:number], goal.network, model, runs)
    except UserError as error:
        return str(error)
    return ""


def without_classes(phases: Sequence[Phase], measure: Measure) -> str:
    """ "" where ``phases`` can learn from images that are judged by ``measure``, else why not."""
    if measure.decides or measure.against is Against.CLASSES:
        return ""
    for phase in phases:
        match phase:
            case Train(hooks=hooks, objective=objective):
                needed = any(each.needs_classes for each in hooks) or bool(objective and objective.needs_classes)
            case Judge(by=judgement):
                needed = judgement.needs_classes
            case Rebuild(how=how):
                needed = how.needs_classes
            case _:
                needed = False
        if needed:
            return (
                f"Its part {phase.name!r} learns from the class of each image, and these images are judged by "
                f"{measure.name}. Choose another method, or images whose classes are known."
            )
    return ""


def _check(phase: Phase, before: Sequence[Phase], network: Network, model: nn.Module, runs: bool) -> None:
    """Raises UserError where ``phase``, behind those ``before`` it, cannot be done."""
    match phase:
        case Reinitialise():
            _refuse(without_drawing(_cut(model, network, before) if runs else model))
        case Rebuild(how=how, to=to):
            _refuse(how.why_not(model, network, Target(to.kind, to.allowed(network.cost()))) if runs else NO_MODULES)
        case Mask():
            check_masked(model, network, phase)
        case Cut(by=Criterion() as by, to=Widths(counts=counts)) if not by.needs_images:
            check_ranked(by, score(model, network, (by,))[by].values, counts)


def _refuse(sentence: str) -> None:
    if sentence:
        raise UserError(sentence)


def _cut(model: nn.Module, network: Network, before: Sequence[Phase]) -> nn.Module:
    """``model`` with the widths that the phases ``before`` leave: where its code holds sizes, a cut makes it a program,
    whose weights nobody can draw."""
    widths = next((phase.to for phase in before if isinstance(phase, Cut) and isinstance(phase.to, Widths)), None)
    if widths is None or without_drawing(model):
        return model
    return remove(model, network, Plan({key: range(count) for key, count in widths.counts.items()})).model


def _check_reach(goal: Goal) -> None:
    """By the channels that can be removed; how they will be ranked changes nothing about how far that goes."""
    anyhow = {group.key: torch.arange(group.size, dtype=torch.float64) for group in cuttable(goal.network)}
    goal.budget.allowed(goal.network.cost())  # in MACs or parameters
    reachable(Uniform(), Pool.of(goal.network, anyhow, Limits(), "none"), goal.budget.kind).check(goal.budget)
