"""Why a method cannot do what it is asked for, said before anything runs."""

from __future__ import annotations

from torch import nn

from pruning_core.errors import UserError
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.masking import without_drawing
from pruning_core.methods.phases import Rebuild, Reinitialise, settings
from pruning_core.methods.rebuilding import Target
from pruning_core.training.config import FineTune


def why_not(method: Method, goal: Goal, config: FineTune, model: nn.Module, *, runs: bool = True) -> str:
    """ "" where ``method`` can set out for ``goal`` on ``model``, else the sentence that it would end with.

    What only images can show is not known here. ``runs``: whether ``model`` may be run here; where a stranger's program
    is somewhere else, what would have to be tried is left to the run.
    """
    if obstacle := method.obstacle(goal.network):
        return obstacle
    try:
        phases = tuple(method.phases(goal))
        settings(phases, config)
        for phase in phases:
            obstacle = ""
            if isinstance(phase, Reinitialise):
                obstacle = without_drawing(model)
            elif isinstance(phase, Rebuild) and runs:
                target = Target(phase.to.kind, phase.to.allowed(goal.network.cost()))
                obstacle = phase.how.why_not(model, goal.network, target)
            if obstacle:
                return obstacle
    except UserError as error:
        return str(error)
    return ""
