"""Network Slimming: an L1 penalty on the scales of batch norms, then one cut through the whole network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.criteria import BatchNormScale
from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Absorb, Cut, Phase, Train, Within
from pruning_core.methods.staged import staged
from pruning_core.methods.units import Slices, scales, without_scales
from pruning_core.taxonomy import Card, Data, Family, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch


@dataclass(frozen=True)
class ScalePenalty(HookSpec):
    """``strength`` times the sum of the absolute scales of all batch norms whose channels can be cut.

    No weight decay acts on these scales beside it: that shrinks the large ones most, and tells none apart.
    """

    watches: ClassVar = (Watch("scales", "Batch-norm scales", "absolute value"),)
    strength: Annotated[float, Range(0.0, 0.1, "Penalty on scales")] = 1e-3

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _ScalePenalty(self.strength, [each for own in scales(model, network).values() for each in own])


class _ScalePenalty(Hook):
    def __init__(self, strength: float, found: list[Slices]) -> None:
        self._strength, self._scales = strength, found

    def undecayed(self) -> Sequence[Tensor]:
        return [each.tensor for each in self._scales]

    def penalty(self, moment: Moment) -> Tensor:
        return self._strength * torch.stack([each.rows().abs().sum() for each in self._scales]).sum()

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"scales": torch.cat([each.rows().abs().flatten() for each in self._scales])}


@dataclass(frozen=True)
class NetworkSlimming(Method):
    r"""Train with a penalty on batch-norm scales, cut the channels with the smallest ones, train again.

    $\mathcal{L} + \lambda \sum_l \|\gamma_l\|_1$: the penalty pulls the scales of channels that the task does not need
    towards zero; one threshold through the whole network then decides, so that every layer finds its own width. With
    several passes each one removes the same share of what is left. A channel with a small scale may still add a
    constant, its shift: the layers that read it get it into their biases, or their norms' means.

    When it fails: networks without batch norms have no such scales. After a short training the scales are not yet two
    heaps, small and large, and the threshold cuts through the middle.
    """

    card: ClassVar = Card(
        key="netslim",
        name="Network Slimming",
        family=Family.PENALTY,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="a training with the penalty and one after it, for every pass",
        paper=BatchNormScale.card.paper,
        published=BatchNormScale.card.published,
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains 160 epochs with the penalty from scratch (scales begin at 0.5, strength 1e-4 for VGG and "
        "1e-5 for ResNets) and 160 after the cut; here the given network is trained on for a few epochs, with a "
        "strength ten times as large or more."
    )
    in_paper: ClassVar = (
        InPaper("strength", "1e-4 (VGG), 1e-5 (ResNet, DenseNet)"),
        InPaper("passes", "1; several in its multi-pass form"),
        InPaper("epochs", "160 with the penalty, 160 after the cut"),
        InPaper("lr", "0.1"),
        InPaper("batch_size", "64"),
        InPaper("weight_decay", "1e-4"),
    )

    strength: Annotated[float, Range(1e-5, 0.1, "Penalty on scales", log=True)] = 1e-3
    passes: Annotated[int, Range(1, 4, "Passes", step=1)] = 1

    def obstacle(self, network: Network) -> str:
        return without_scales(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        for number in range(1, self.passes + 1):
            named = f", pass {number}" if self.passes > 1 else ""
            yield Train(0.5 / self.passes, (ScalePenalty(self.strength),), keep="last", name=f"small scales{named}")
            budget = staged(goal, number / self.passes)
            yield Cut(BatchNormScale(), Within(GlobalThreshold(), budget), name=f"the smallest scales{named}")
            yield Absorb(name=f"their shifts{named}")
            yield Train(0.5 / self.passes, name=f"without the penalty{named}")
