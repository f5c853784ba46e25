"""Differentiable Markov channel pruning (DMCP): widths as chains of probabilities that train until they fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.gates import Gates, measuring
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.own_optimizer import OwnAdam
from pruning_core.methods.phases import Cut, Learnt, Phase, Recover, Train, Within
from pruning_core.methods.soft_cost import SoftCost, allowed
from pruning_core.methods.staged import staged
from pruning_core.methods.units import joined, producers, without_channels
from pruning_core.taxonomy import Card, Data, Family, Paper, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

HALF = Budget("macs", fraction=0.5)
ALWAYS = 0.1  # the share of a group's channels that every width has, as in the paper
BAND = 0.95  # between this share of the budget and the budget itself nothing is pressed, as in the paper
FIRST = 3.0  # every alpha at the start, a probability of 0.95


def chain(alphas: Tensor) -> Tensor:
    """(K,) -> (K,): the probability that parts 1 to k are all there; never rises."""
    return torch.sigmoid(alphas).cumprod(0)


def budget_loss(share: Tensor, allowed: float) -> Tensor:
    """The paper's logarithms, of costs in hundredths of the whole network; 0 just below the budget."""
    cost, limit = 100 * share, 100 * allowed
    above = torch.where(cost >= limit, cost - BAND * limit, torch.ones_like(cost))  # log 1 is 0, and has no slope
    return torch.where(cost < BAND * limit, cost - limit, above).abs().log()


@dataclass(frozen=True)
class MarkovWidths(HookSpec):
    """Weights learn at widths drawn from the chains, by turns with the chains themselves, which learn with all gates.

    The channels of a group are ordered by the norm of their filters, and after those that always stay they come in
    ``parts``; a width is so many parts from the start. ``pace``: how far an alpha can move in the first epoch.
    """

    watches: ClassVar = (
        Watch("widths", "Expected widths", "share of channels kept"),
        Watch("cost", "Cost at the expected widths", "share"),
        Watch("probabilities", "Probability that a channel is there", "probability"),
    )
    budget: Budget = HALF
    parts: Annotated[int, Range(1, 20, "Parts of a layer", step=1)] = 5
    weight: Annotated[float, Range(0.0, 10.0, "Weight of the budget")] = 0.1
    pace: Annotated[float, Range(0.1, 50.0, "Pace of the chains")] = 8.0

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _MarkovWidths(self, model, network)


class _MarkovWidths(Hook):
    def __init__(self, spec: MarkovWidths, model: nn.Module, network: Network) -> None:
        self._spec = spec
        filters = producers(model, network)
        self._gates = Gates.of(model, network, filters)
        self._place = {key: _places(joined(own).detach().norm(dim=1)) for key, own in filters.items()}
        self._part = {key: _parts(place, spec.parts) for key, place in self._place.items()}
        self._alphas = {
            key: torch.full((int(part.max()),), FIRST, device=part.device) for key, part in self._part.items()
        }
        self._own = OwnAdam(list(self._alphas.values()), spec.pace)
        self._cost = SoftCost(network, spec.budget.kind, next(iter(self._part.values())).device)
        self._allowed = allowed(network, spec.budget)
        self._weights = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def probabilities(self) -> dict[str, Tensor]:
        """(C,) by group key: the probability that each channel is there."""
        return {
            key: torch.cat([alphas.new_ones(1), chain(alphas)])[self._part[key]] for key, alphas in self._alphas.items()
        }

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        of_weights = _of_weights(moment) and not measuring()
        return self._gates.exchanged(self._width(moment.step) if of_weights else self.probabilities())

    @torch.no_grad()
    def _width(self, step: int) -> dict[str, Tensor]:
        """By turns the widest, one drawn from the chains, the narrowest, and another drawn one."""
        turn = step // 2 % 4
        found = {}
        for key, alphas in self._alphas.items():
            drawn = torch.rand_like(alphas) < torch.sigmoid(alphas)
            there = drawn.to(alphas.dtype) if turn % 2 else torch.full_like(alphas, turn == 0)
            found[key] = torch.cat([alphas.new_ones(1), there.cumprod(0)])[self._part[key]]
        return found

    def penalty(self, moment: Moment) -> Tensor | None:
        if _of_weights(moment):
            return None
        loss = budget_loss(self._cost.share(self.probabilities()), self._allowed)
        return (self._spec.weight * loss).float()

    def after_backward(self, moment: Moment) -> None:
        """A step moves either the weights or the chains."""
        if _of_weights(moment):
            self._own.forget()
            return
        for parameter in self._weights:
            parameter.grad = None  # no step, and no weight decay either
        self._own.step(moment)

    @torch.no_grad()
    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        probabilities = self.probabilities()
        return {
            "widths": torch.stack([each.mean() for each in probabilities.values()]),
            "cost": self._cost.share(probabilities),
            "probabilities": torch.cat(list(probabilities.values())),
        }

    @torch.no_grad()
    def learnt(self) -> Mapping[str, Tensor]:
        """E / (place + 1/2) for the channel at a place of the order, with E the expected width of its group.

        Values above 1 belong to a width of E, rounded; those above another threshold to widths in the same proportions.
        """
        return {key: (own.double().sum() / (self._place[key] + 0.5)).cpu() for key, own in self.probabilities().items()}

    def state(self) -> Mapping[str, Any]:
        return {"chains": self._own.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        self._own.load(state["chains"])


def _of_weights(moment: Moment) -> bool:
    """Every other step."""
    return moment.step % 2 == 0


def _places(norms: Tensor) -> Tensor:
    """(C,) -> (C,): the place of each channel in the order, the largest norm first; equal ones by their number."""
    order = norms.argsort(descending=True, stable=True)
    return torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=order.device))


def _parts(places: Tensor, wanted: int) -> Tensor:
    """(C,) -> (C,): 0 for the first channels, which every width has, then 1 to ``wanted`` for parts of equal size."""
    always = max(1, round(ALWAYS * len(places)))
    rest = len(places) - always
    sizes = [always, *(len(part) for part in np.array_split(np.arange(rest), min(wanted, rest)))]
    ordered = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).to(places.device)
    return ordered[places]


@dataclass(frozen=True)
class MarkovPruning(Method):
    r"""Learn how wide every layer should be by training the probability of each further part of it; then cut.

    $P_k = \prod_{i \le k} \sigma(\alpha_i)$ is the probability that a layer has its first $k$ parts: a part is there
    only if those before it are. The expected widths $\sum_k P_k$ have a cost, and a loss presses it to the budget while
    cross-entropy, with every channel multiplied by its probability, says where width is needed. By turns with that the
    weights learn at the widest, the narrowest and at drawn widths.

    When it fails: it chooses widths and not channels: within a layer the order is that of filter norms at the start.
    In a few epochs the chains hear the budget more than the task, and the widths stay near to one another.
    """

    card: ClassVar = Card(
        key="dmcp",
        name="Markov widths (DMCP)",
        family=Family.SAMPLING,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="a training in which every other step learns widths, and a training after the cut",
        builds_on=("autoslim",),
        paper=Paper(
            "DMCP: Differentiable Markov Channel Pruning for Neural Networks",
            "Guo, Wang, Li, Yan",
            "CVPR",
            2020,
            "2005.03354",
        ),
        published=(
            Published("ResNet-50", "ImageNet", "76.5 % at 2.2G, 74.1 % at 1.1G multiply-adds", "Zx55/dmcp", True),
            Published("ResNet-18", "ImageNet", "69.0 % at 1.04G multiply-adds", "Zx55/dmcp", True),
            Published("MobileNetV2", "ImageNet", "71.6 % at 211M multiply-adds", "Zx55/dmcp", True),
        ),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains a network of shared weights from scratch for 40 epochs, four widths in every step with the "
        "widest as teacher, ten parts a layer, and retrains the widths it found from scratch for 100; here the given "
        "network is trained on for a few epochs, one width in a step without a teacher, five parts a layer, and keeps "
        "its weights."
    )
    in_paper: ClassVar = (
        InPaper("parts", "10"),
        InPaper("weight", "0.1"),
        InPaper("pace", "rate of the alphas 0.5, falling to 0.1"),
        InPaper("epochs", "40, and 100 from scratch"),
        InPaper("lr", "0.5, falling to 0.08"),
    )

    parts: Annotated[int, Range(1, 20, "Parts of a layer", step=1)] = 5
    weight: Annotated[float, Range(0.0, 10.0, "Weight of the budget")] = 0.1
    pace: Annotated[
        float, Range(0.1, 50.0, "Pace of the chains", help="how far an alpha can move in the first epoch", log=True)
    ] = 8.0

    def obstacle(self, network: Network) -> str:
        return without_channels(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        budget = staged(goal, 1)
        hook = MarkovWidths(budget, self.parts, self.weight, self.pace)
        yield Train(0.5, (hook,), keep="last", name="learning widths")
        yield Cut(Learnt(), Within(GlobalThreshold(normalise="none", floor=0.0), budget), name="the expected widths")
        yield Recover(name="statistics")
        yield Train(0.5, name="what is left")
