"""Channel gating: a few input channels decide, pixel by pixel, whether the others are worth reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.graph.gated import Decision, GateChannels
from pruning_core.graph.modules import modules_by_name
from pruning_core.knobs import Choice, Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.normed import HAS_GATES, has_gates
from pruning_core.methods.phases import Phase, Rebuild, Recover, Train
from pruning_core.methods.rebuilding import Rebuilding, Target, Work
from pruning_core.methods.settling import settled
from pruning_core.methods.staged import staged
from pruning_core.methods.units import without_modules
from pruning_core.sparsity.weights import shapes
from pruning_core.taxonomy import Card, Data, Execution, Family, Paper, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

NO_PARTS = (
    "This method reads the input channels of a convolution in {parts} equal parts, and no plain convolution of this "
    "network behind the first one has channels that can be divided so. Choose fewer parts, or another method."
)
BELOW = 4.0  # how far below their target thresholds begin: of normal values hardly one lies there, every gate is open


@dataclass(frozen=True)
class Gating(Rebuilding):
    """Every plain convolution behind the first one whose input channels can be divided gets gates."""

    parts: int = 4
    threshold: float = 0.0

    def why_not(self, model: nn.Module, network: Network, target: Target) -> str:
        return "" if self._chosen(model, network) else NO_PARTS.format(parts=self.parts)

    def edits(self, model: nn.Module, network: Network, target: Target, images: Dataset, seed: int) -> Work:
        if obstacle := self.why_not(model, network, target):
            raise UserError(obstacle)
        yield 1.0
        return tuple(GateChannels(name, self.parts, self.threshold) for name in self._chosen(model, network))

    def _chosen(self, model: nn.Module, network: Network) -> list[str]:
        known = modules_by_name(model)
        ran = [layer.name for layer in network.layer_costs() if layer.macs]
        return [name for name in ran[1:] if self._fits(known.get(name))]

    def _fits(self, layer: nn.Module | None) -> bool:
        return type(layer) is nn.Conv2d and layer.groups == 1 and layer.in_channels % self.parts == 0


@dataclass(frozen=True)
class GateTraining(HookSpec):
    """Thresholds rise to where they are learned, and are drawn to ``target`` by ``strength`` times their distance²."""

    watches: ClassVar = (
        Watch("open", "Outputs computed in full", "share"),
        Watch("threshold", "Mean threshold in use", "deviations"),
    )
    target: Annotated[float, Range(-4.0, 4.0, "Target of thresholds")] = 0.5
    strength: Annotated[float, Range(0.0, 1.0, "Pull of thresholds to their target")] = 1e-4

    def begin(self, model: nn.Module, network: Network) -> Hook:
        """Raises UserError for a network without such gates."""
        found = {name: module for name, module in model.named_modules() if isinstance(module, Decision)}
        if not found:
            raise UserError("This network has no channel gates. Choose a method that puts them in first.")
        return _GateTraining(self.target, self.strength, found)


class _GateTraining(Hook):
    def __init__(self, target: float, strength: float, decisions: dict[str, Decision]) -> None:
        self.target, self.strength, self.decisions = target, strength, decisions
        self.shares = list[Tensor]()  # of this evaluation
        self.handles = [each.register_forward_hook(self._note) for each in decisions.values()]

    def overrides(self, moment: Moment) -> dict[str, Tensor]:
        self.shares.clear()
        below = self._below(moment)
        return {f"{name}.threshold": each.threshold - below for name, each in self.decisions.items()}

    def penalty(self, moment: Moment) -> Tensor:
        far = [((each.threshold - self.target) ** 2).sum() for each in self.decisions.values()]
        return self.strength * torch.stack(far).sum()

    def watched(self, moment: Moment) -> dict[str, Tensor]:
        thresholds = torch.cat([each.threshold.detach() for each in self.decisions.values()])
        return {"open": torch.stack(self.shares).double().mean(), "threshold": thresholds.mean() - self._below(moment)}

    def stop(self, model: nn.Module) -> None:
        for handle in self.handles:
            handle.remove()

    def _below(self, moment: Moment) -> float:
        return BELOW * (1 - settled(moment.done))

    def _note(self, decision: Decision, given: tuple[Tensor], decided: Tensor) -> None:
        if not decision.training:
            self.shares.append(decided.mean())


@dataclass(frozen=True)
class ChannelGating(Method):
    r"""Convolve a part of the input channels first; only where that sum is large enough, add what the others say.

    $y = y_p + d \odot y_r$ with $d = 1[\mathrm{BN}(y_p) > \Delta]$ for every output channel and pixel, where $y_p$
    reads the first $1/p$ of the inputs and $y_r$ the rest. Gradients of the step are those of a sigmoid; every
    channel's $\Delta$ is learned and drawn to a target, which says how much is computed: there is no budget to keep to.

    When it fails: the decision differs from pixel to pixel, so only hardware made for it gains time. A high target
    leaves most outputs to a part of their inputs, whatever the image.
    """

    card: ClassVar = Card(
        key="cgate", name="Channel gating", family=Family.DYNAMIC, data=Data.TRAINING, time=Time.DURING,
        execution=Execution.DYNAMIC, cost="one training, with one more batch norm in every layer",
        paper=Paper(
            "Channel Gating Neural Networks", "Hua, Zhou, De Sa, Zhang, Suh", "NeurIPS", 2019, "1805.12549",
        ),
    builds_on=("fbs",),)  # fmt: skip
    outcome: ClassVar = Outcome.DYNAMIC
    budgeted: ClassVar[bool] = False
    scaled_down: ClassVar[str] = (
        "The paper trains from scratch with thresholds that begin far below their target, and lets other inputs decide "
        "for other groups of outputs; here a trained network's thresholds rise within a few epochs, and the same first "
        "inputs decide for all."
    )
    in_paper: ClassVar = (
        InPaper("parts", "4"),
        InPaper("target", UNREAD),
        InPaper("strength", "1e-4"),
        InPaper("epochs", UNREAD),
    )

    parts: Annotated[int, Choice((2, 4, 8), "Parts of the input channels")] = 4
    target: Annotated[float, Range(-4.0, 4.0, "Target of thresholds", step=0.1)] = 0.5
    strength: Annotated[float, Range(0.0, 1.0, "Pull of thresholds to their target")] = 1e-4

    def obstacle(self, network: Network) -> str:
        if obstacle := without_modules(network) or (HAS_GATES if has_gates(network) else ""):
            return obstacle
        convolutions = {layer.name for layer in network.layer_costs() if layer.kind == "Conv2d" and layer.macs}
        behind = [(name.rpartition(".")[0], shape) for name, shape in list(shapes(network).items())[1:]]
        fits = any(name in convolutions and shape[1] % self.parts == 0 for name, shape in behind)
        return "" if fits else NO_PARTS.format(parts=self.parts)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        yield Rebuild(Gating(self.parts, self.target), staged(goal, 1), name="gates inside convolutions")
        yield Recover(name="statistics")
        hook = GateTraining(self.target, self.strength)
        yield Train(hooks=(hook,), keep="last", name="with rising thresholds")
