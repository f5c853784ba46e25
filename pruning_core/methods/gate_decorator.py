"""Gate Decorator: batch-norm scales and shifts as gates whose effect on the loss is added up while only they train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.graph import Network
from pruning_core.graph.modules import named_tensors
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.network_slimming import ScalePenalty
from pruning_core.methods.phases import Cut, Learnt, Phase, Train, Within
from pruning_core.methods.staged import staged
from pruning_core.methods.units import Slices, scales, without_scales
from pruning_core.taxonomy import Card, Data, Family, Paper, Published
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch


@dataclass(frozen=True)
class GateEffects(HookSpec):
    """The Tick: everything but norms and the last linear layer stands still, and the effect of each gate is added up.

    A gate multiplies what a batch norm gives, scale and shift together, and stands at 1: its gradient times its value
    is the scale times its gradient plus the shift times its own.
    """

    watches: ClassVar = (Watch("effects", "Effects of gates on the loss", "nats, added up over batches"),)

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _GateEffects(model, scales(model, network))


class _GateEffects(Hook):
    def __init__(self, model: nn.Module, found: dict[str, list[Slices]]) -> None:
        tensors = named_tensors(model)
        names = {id(tensor): name for name, tensor in tensors.items()}
        self._gates = {
            key: [(each, tensors.get(f"{names[id(each.tensor)].rpartition('.')[0]}.bias")) for each in own]
            for key, own in found.items()
        }
        self._effects = {key: torch.zeros(len(own[0].index), dtype=torch.float64) for key, own in found.items()}
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1:]
        moving = {id(p) for module in linear for p in module.parameters()}
        moving |= {id(p) for p in model.parameters() if p.dim() == 1}
        self._still = [parameter for parameter in model.parameters() if id(parameter) not in moving]

    @torch.no_grad()
    def after_backward(self, moment: Moment) -> None:
        for key, own in self._gates.items():
            for each, shift in own:
                self._effects[key] += _effect(each, shift).double().cpu()
        for parameter in self._still:
            parameter.grad = None  # no step, and no weight decay either

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"effects": torch.cat(list(self._effects.values()))}

    def learnt(self) -> Mapping[str, Tensor]:
        return {key: value.clone() for key, value in self._effects.items()}

    def state(self) -> Mapping[str, Any]:
        return {"effects": self._effects}

    def load(self, state: Mapping[str, Any]) -> None:
        self._effects = {key: value.clone() for key, value in state["effects"].items()}


def _effect(scale: Slices, shift: Tensor | None) -> Tensor:
    """(C,) absolute effect of one batch norm's gates in this batch."""
    effect = _product(scale, scale.tensor)
    return (effect if shift is None else effect + _product(scale, shift)).sum(1).abs()


def _product(at: Slices, tensor: Tensor) -> Tensor:
    return at.rows(tensor) * at.rows(tensor.grad) if tensor.grad is not None else torch.zeros_like(at.rows(tensor))


@dataclass(frozen=True)
class GateDecorator(Method):
    r"""Tick: train norms alone and add up what each gate does to the loss; cut. Tock: train everything; and again.

    $\Theta_k = \sum_{\text{batches}} \left|\frac{\partial\mathcal{L}}{\partial\phi_k}\,\phi_k\right|$: a gate $\phi_k$
    behind the batch norm of every channel; its first-order effect on the loss is taken in absolute value for every
    batch, and then added up. Each round removes the same share of what is left, the smallest effects of the whole
    network first.

    When it fails: without batch norms. A round takes two trainings, so that a short budget of epochs allows few rounds,
    and each of them then cuts much at once.
    """

    card: ClassVar = Card(
        key="gbn",
        name="Gate Decorator (tick-tock)",
        family=Family.GRADIENT,
        data=Data.TRAINING,
        cost="two short trainings for every round",
        paper=Paper(
            "Gate Decorator: Global Filter Pruning Method for Accelerating Deep Convolutional Neural Networks",
            "You, Yan, Ye, Ma, Wang",
            "NeurIPS",
            2019,
            "1909.08174",
        ),
        published=(
            Published("ResNet-56", "CIFAR-10", "93.15 % at 70 % fewer FLOPs", "youzhonghui/gate-decorator", True),
            Published("VGG-16", "CIFAR-10", "92.07 % at 90 % fewer FLOPs", "youzhonghui/gate-decorator", True),
        ),
        builds_on=("transfer-prune", "netslim"),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper removes 0.2 % of the filters after each Tick, with a Tock of ten epochs after every ten Ticks, and "
        "trains 40 epochs in the end; here a round removes its whole part after one Tick and has one Tock."
    )
    in_paper: ClassVar = (
        InPaper("rounds", "about one per 0.2 % of the filters"),
        InPaper("strength", "1e-3"),
        InPaper("epochs", "a Tock of 10 after every 10 Ticks, 40 in the end"),
        InPaper("lr", "1e-3 to 1e-2, up and down"),
        InPaper("batch_size", "128"),
        InPaper("weight_decay", "5e-4"),
    )

    rounds: Annotated[int, Range(1, 10, "Rounds", step=1)] = 2
    strength: Annotated[float, Range(1e-5, 0.1, "Penalty on scales during the Tock", log=True)] = 1e-3

    def obstacle(self, network: Network) -> str:
        return without_scales(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        for number in range(1, self.rounds + 1):
            named = f", round {number}" if self.rounds > 1 else ""
            yield Train(0.2 / self.rounds, (GateEffects(),), keep="last", name=f"tick{named}")
            to = Within(GlobalThreshold(normalise="none"), staged(goal, number / self.rounds))
            yield Cut(Learnt(), to, name=f"smallest effects{named}")
            if number < self.rounds:
                tock = (ScalePenalty(self.strength),)
                yield Train(0.4 / self.rounds, tock, keep="last", name=f"tock{named}")
        yield Train(0.4, name="what is left")
