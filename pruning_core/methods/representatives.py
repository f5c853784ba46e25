"""Kernel representatives (REPrune) as it was meant: chosen anew while the network trains, with regrowth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.criteria import KernelRepresentatives
from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.exploring import Exploration, Exploring
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Cut, Learnt, Phase, Train, Zeros
from pruning_core.methods.staged import staged
from pruning_core.methods.units import Slices, joined, without_scales
from pruning_core.numeric.kernel_clusters import covering_order, kernel_trees
from pruning_core.numeric.weight_hash import lots
from pruning_core.taxonomy import Card, Data, Family, Time
from pruning_core.training.hooks import Hook


def coverage(kernels: Sequence[Tensor], lottery: Tensor, keep: int) -> Tensor:
    """(C,) filters that a greedy cover of kernel clusters takes earlier are more important.

    ``kernels`` (C, inputs, size) of each layer that makes the channels. One cut for the cluster trees of all inputs,
    the lowest that lets every tree merge as often as filters go. ``lottery`` (C,) settles ties.
    """
    count = len(lottery)
    trees = kernel_trees(tuple(kernels))
    order, _ = covering_order(trees.labels(trees.common_cut(count - keep)), lottery)
    places = torch.empty(count, dtype=torch.float64)
    places[order] = 1 - torch.arange(count, dtype=torch.float64) / count
    return places


@dataclass(frozen=True)
class CoverExploration(Exploration):
    """Kept are the filters whose kernels stand for most clusters of kernels."""

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _Cover(self, model, network)


class _Cover(Exploring):
    def importance(self, key: str, keep: int) -> Tensor:
        own = self.filters[key]
        return coverage([kernels(each) for each in own], lots(joined(own).detach().double(), 0), keep)


def kernels(filters: Slices) -> Tensor:
    """(C, inputs, kernel size); scalars for a linear layer."""
    return filters.rows().detach().double().unflatten(1, (-1, prod(filters.tensor.shape[2:])))


@dataclass(frozen=True)
class TrainedRepresentatives(Method):
    r"""While training, keep the filters whose kernels stand for most of the others, and let some of the rest grow back.

    $\arg\max_S \#\{(j, \text{cluster of kernels of input } j) : \text{some } W_{i,j}, i \in S, \text{lies in it}\}$:
    the kernels of every input channel are clustered by Ward's method at one height for all of them, and filters are
    taken one by one that cover most clusters not covered yet. One threshold for all batch-norm scales says how many
    each layer keeps. Channels grow back as in channel exploration, fewer every time.

    When it fails: without batch norms. The paper was read in secondary notes only, and what happens when all clusters
    are covered, counting starts anew, is our reading. In a few epochs what grows back has little time.
    """

    card: ClassVar = Card(
        key="reprune-trained",
        name="Kernel representatives in training (REPrune)",
        family=Family.KERNELS,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training; in every round one cluster tree per input channel of each layer",
        paper=KernelRepresentatives.card.paper,
        published=KernelRepresentatives.card.published,
        builds_on=("netslim", "chex"),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains from scratch, 250 epochs on ImageNet with a choice every second epoch of the first 180; here "
        "the given network is trained on for a few epochs. It leaves out the channels that residual blocks add up; "
        "here they are clustered too, over all layers that make them."
    )
    in_paper: ClassVar = (
        InPaper("rounds", "90: every 2nd of the first 180 epochs", False),
        InPaper("regrown", "as in CHEX, 0.3", False),
        InPaper("epochs", "250 (ImageNet), 160 (CIFAR-10)", False),
        InPaper("batch_size", "1,024 (ImageNet), 256 (CIFAR-10)", False),
        InPaper("weight_decay", "5e-4", False),
    )

    rounds: Annotated[int, Range(1, 30, "Rounds of choosing and regrowing", step=1)] = 6
    regrown: Annotated[float, Range(0.0, 0.9, "Share regrown at first", step=0.05)] = 0.3

    def obstacle(self, network: Network) -> str:
        return without_scales(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        hook = CoverExploration(staged(goal, 1), self.rounds, self.regrown)
        yield Train(0.65, (hook,), keep="last", name="choose and regrow")
        yield Cut(Learnt(), Zeros(), name="what is closed")
        yield Train(0.35, name="what is left")
