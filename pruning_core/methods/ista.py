"""Sparse batch-norm scales by proximal steps (ISTA): exact zeros while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.graph import Network, Plan
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Absorb, Cut, Learnt, Phase, Train, Within
from pruning_core.methods.staged import staged
from pruning_core.methods.units import Slices, joined, scales, without_scales
from pruning_core.taxonomy import Card, Data, Family, Paper, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch


def shrunk(values: Tensor, by: Tensor | float) -> Tensor:
    """The proximal step of ``by`` times the absolute value: towards zero by so much, and no further than zero."""
    return values.sign() * (values.abs() - by).clamp(min=0)


@dataclass(frozen=True)
class ProximalScales(HookSpec):
    """Plain gradient steps without momentum on batch-norm scales, each followed by a proximal step.

    ``strength`` (rho) times a weight per layer is what a scale loses per unit of the learning rate. The weights are the
    multiplications that one channel of the layer costs, divided by their mean over layers.
    """

    watches: ClassVar = (
        Watch("scales", "Batch-norm scales", "absolute value"),
        Watch("zeros", "Scales that are exactly zero", "share"),
    )
    strength: Annotated[float, Range(0.0, 10.0, "Strength")] = 0.5

    def begin(self, model: nn.Module, network: Network) -> Hook:
        found = scales(model, network)
        full = network.cost().macs
        freed = {key: full - network.cost(Plan({key: (0,)})).macs for key in found if network.group(key).size > 1}
        mean = sum(freed.values()) / max(1, len(freed))
        weights = {key: saved / mean for key, saved in freed.items()} if mean else {}
        return _ProximalScales(self.strength, found, weights)


class _ProximalScales(Hook):
    def __init__(self, strength: float, found: dict[str, list[Slices]], weights: Mapping[str, float]) -> None:
        self._strength, self._found, self._weights = strength, found, weights
        self._steps: list[tuple[Slices, Tensor, Tensor, float]] = []

    def after_backward(self, moment: Moment) -> None:
        """Remember where every scale is and where it would go, so that the optimizer's momentum has no say."""
        self._steps = [
            (each, each.rows().detach(), each.rows(each.tensor.grad), self._weights.get(key, 1.0))
            for key, own in self._found.items()
            for each in own
            if each.tensor.grad is not None
        ]

    def after_step(self, moment: Moment) -> None:
        for each, before, gradient, weight in self._steps:
            each.write(shrunk(before - moment.rate * gradient, moment.rate * self._strength * weight))

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        values = torch.cat([each.rows().detach().abs().flatten() for own in self._found.values() for each in own])
        return {"scales": values, "zeros": (values == 0).float().mean()}

    def learnt(self) -> Mapping[str, Tensor]:
        return {key: joined(own).detach().abs().sum(1).double() for key, own in self._found.items()}

    def state(self) -> Mapping[str, Any]:
        return {}


@dataclass(frozen=True)
class SparseScales(Method):
    r"""Scales of batch norms become exactly zero by proximal steps; their channels are removed, and training goes on.

    $\gamma \leftarrow \operatorname{sign}(v)\max(|v| - \eta\rho\lambda_l, 0)$ with
    $v = \gamma - \eta\,\partial\mathcal{L}/\partial\gamma$: a soft threshold after every step, instead of a penalty
    whose gradient makes a scale jitter around zero. Layers whose channels cost more are pressed harder. What channels
    without a scale still add, a constant, is handed to the layers that read them.

    When it fails: without batch norms. With a strength that is too small for so short a training few scales reach
    zero, and the budget then takes the smallest of the others.
    """

    card: ClassVar = Card(
        key="ista-bn",
        name="Sparse scales (ISTA)",
        family=Family.PROXY,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training; a proximal step costs next to nothing",
        paper=Paper(
            "Rethinking the Smaller-Norm-Less-Informative Assumption in Channel Pruning of Convolution Layers",
            "Ye, Lu, Lin, Wang",
            "ICLR",
            2018,
            "1802.00124",
        ),
        published=(
            Published(
                "ResNet-20", "CIFAR-10", "91.16 % right after about 37 % of channels", "bobye/batchnorm_prune", True
            ),
        ),
        builds_on=("netslim", "l1"),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains 80,000 steps with a small, then a larger strength (1e-3, 5e-3) and shrinks all scales "
        "beforehand; here the strength is a hundred times larger over a few epochs, without that rescaling, and the "
        "layers' weights are the multiplications that a channel costs, where the paper counts memory."
    )
    in_paper: ClassVar = (
        InPaper("strength", "1e-3, then 5e-3"),
        InPaper("epochs", "80,000 steps: 30,000 with the first strength, 50,000 with the second"),
        InPaper("lr", "0.1; 0.01 in the fine-tuning"),
    )

    strength: Annotated[float, Range(0.0, 10.0, "Strength", step=0.1)] = 0.5

    def obstacle(self, network: Network) -> str:
        return without_scales(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        yield Train(0.6, (ProximalScales(self.strength),), keep="last", name="scales towards zero")
        yield Cut(Learnt(), Within(GlobalThreshold(normalise="none"), staged(goal, 1)), name="zero and smallest scales")
        yield Absorb(name="their shifts")
        yield Train(0.4, name="without the threshold")
