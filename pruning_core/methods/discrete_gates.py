"""Discrete model compression (DMC): gates that are 0 or 1, trained straight through while the weights stand still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.graph import Network
from pruning_core.knobs import Range, Toggle
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.gates import Gates, measuring, opened
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.own_optimizer import OwnAdam
from pruning_core.methods.phases import Cut, Learnt, Phase, Recover, Train, Within
from pruning_core.methods.soft_cost import SoftCost, allowed
from pruning_core.methods.staged import staged
from pruning_core.methods.units import without_channels
from pruning_core.taxonomy import Card, Data, Family, Paper, Published
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

HALF = Budget("macs", fraction=0.5)
OPEN = 0.5  # a gate above it counts as open


def straight_through(hard: Tensor, theta: Tensor) -> Tensor:
    """The value of ``hard``, with the gradient handed on to ``theta`` as it is."""
    return theta + (hard - theta).detach()


def budget_loss(share: Tensor, allowed: float) -> Tensor:
    """log(|T - p T_total| + 1), counted in hundredths of the whole network's cost."""
    return (100 * (share - allowed).abs() + 1).log()


@dataclass(frozen=True)
class DiscreteGates(HookSpec):
    """One gate per channel that is 0 or 1 in every step, and a number theta for each, which alone is trained.

    A gate is open where theta is above one half; when ``stochastic``, with theta as its probability. ``weight`` of the
    budget's loss; ``pace``: how far theta can move in the first epoch.
    """

    watches: ClassVar = (
        Watch("gates", "Gates before they are rounded", "theta"),
        Watch("cost", "Cost with the gates above one half", "share"),
    )
    budget: Budget = HALF
    weight: Annotated[float, Range(0.0, 100.0, "Weight of the budget")] = 0.5
    pace: Annotated[float, Range(0.01, 10.0, "Pace of the gates")] = 1.0
    stochastic: bool = False

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _DiscreteGates(self, model, network)


class _DiscreteGates(Hook):
    def __init__(self, spec: DiscreteGates, model: nn.Module, network: Network) -> None:
        self._weight, self._stochastic = spec.weight, spec.stochastic
        self._gates = Gates.of(model, network)
        device = next(iter(tensor.device for _, tensor, _, _ in self._gates.places))
        self._theta = {key: torch.ones(size, device=device) for key, size in self._gates.sizes.items()}
        self._own = OwnAdam(list(self._theta.values()), spec.pace)
        self._cost, self._allowed = SoftCost(network, spec.budget.kind, device), allowed(network, spec.budget)
        self._weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._drawn: dict[str, Tensor] = {}

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        if measuring():
            return self._gates.exchanged(opened(self._theta, OPEN))
        hard = _drawn(self._theta) if self._stochastic else opened(self._theta, OPEN)
        self._drawn = {key: straight_through(hard[key], theta) for key, theta in self._theta.items()}
        return self._gates.exchanged(self._drawn)

    def penalty(self, moment: Moment) -> Tensor:
        """Of the gates that were drawn for this step."""
        return (self._weight * budget_loss(self._cost.share(self._drawn), self._allowed)).float()

    @torch.no_grad()
    def after_backward(self, moment: Moment) -> None:
        """Only gates move."""
        for parameter in self._weights:
            parameter.grad = None  # no step, and no weight decay either
        self._drawn = {}
        self._own.step(moment)
        for theta in self._theta.values():
            theta.clamp_(0, 1)

    @torch.no_grad()
    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        cost = self._cost.share(opened(self._theta, OPEN))
        return {"gates": torch.cat(list(self._theta.values())), "cost": cost}

    def learnt(self) -> Mapping[str, Tensor]:
        return {key: theta.detach().double().cpu() for key, theta in self._theta.items()}

    def state(self) -> Mapping[str, Any]:
        return {"gates": self._own.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        self._own.load(state["gates"])


@torch.no_grad()
def _drawn(thetas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """0 or 1 with probability theta of 1; the most probable one of a group is always open."""
    return {key: torch.bernoulli(theta).scatter_(0, theta.argmax(0, keepdim=True), 1) for key, theta in thetas.items()}


@dataclass(frozen=True)
class DiscreteCompression(Method):
    r"""Train only gates that are 0 or 1 until the network they leave fits the budget; cut the closed ones.

    $\min_\theta \mathcal{L}(g) + \lambda \log\big(|T(g) - p\,T_{\text{total}}| + 1\big)$ with a gate
    $g = [\theta \ge 1/2]$ for each channel, or $g \sim \text{Bernoulli}(\theta)$: the network that trains is at every
    moment one that could come out, and the gradient of $g$ is handed on to $\theta$ as if there were no rounding, so
    that a closed gate learns too. Weights stand still.

    When it fails: the gradient is not the true one: gates that arrive at one half together close together, and the
    network has to recover some of them. Weights never adapt, so what only a training would repair counts as lost.
    """

    card: ClassVar = Card(
        key="dmc",
        name="Discrete gates (DMC)",
        family=Family.SAMPLING,
        data=Data.LABELLED,
        cost="a training of gates alone, and one after the cut",
        paper=Paper(
            "Discrete Model Compression with Resource Constraint for Deep Neural Networks",
            "Gao, Huang F., Pei, Huang H.",
            "CVPR",
            2020,
        ),
        published=(
            Published("ResNet-56", "CIFAR-10", "93.62 to 93.69 % at 50 % fewer FLOPs", "tables of PPSM, 2022", False),
            Published("ResNet-50", "ImageNet", "75.35 % at 55 % fewer FLOPs", "tables of PPSM, 2022", False),
        ),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The form of the budget's loss and its weight are recalled and not checked; costs are counted in hundredths of "
        "the whole network, and the weight is chosen for that. Gates move so fast that a few epochs are enough; their "
        "gradients are not scaled by layer, as in later code of the first author."
    )
    in_paper: ClassVar = (
        InPaper("weight", "4 to 8, with FLOPs in other units", False),
        InPaper("pace", UNREAD),
        InPaper("stochastic", "both", False),
        InPaper("epochs", UNREAD),
    )

    weight: Annotated[float, Range(0.0, 100.0, "Weight of the budget")] = 0.5
    pace: Annotated[
        float, Range(0.01, 10.0, "Pace of the gates", help="how far one can move in the first epoch", log=True)
    ] = 1.0
    stochastic: Annotated[
        bool,
        Toggle("Drawn gates", help="open with the gate's probability in every step, not where it is above one half"),
    ] = False

    def obstacle(self, network: Network) -> str:
        return without_channels(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        budget = staged(goal, 1)
        gates = (DiscreteGates(budget, self.weight, self.pace, self.stochastic),)
        yield Train(0.5, gates, keep="last", name="learning gates")
        yield Cut(Learnt(), Within(GlobalThreshold(normalise="none", floor=0.0), budget), name="closed gates")
        yield Recover(name="statistics")
        yield Train(0.5, name="what is left")
