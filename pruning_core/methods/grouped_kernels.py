"""Grouped kernel pruning: filters in groups of equal size, each reading a part of the channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.graph.edits import Edit, Regroup
from pruning_core.knobs import Choice
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Phase, Rebuild, Recover, Train
from pruning_core.methods.rebuilding import Rebuilding, Target, Work
from pruning_core.methods.staged import staged
from pruning_core.methods.units import without_modules
from pruning_core.sparsity.weights import Bill, prunable, shapes
from pruning_core.taxonomy import Card, Data, Family, Granularity, Paper, Published

NO_GROUPS = (
    "This method makes plain convolutions grouped, and no convolution of this network behind the first one has kernels "
    "and a number of filters that can be divided into {groups} groups. Choose fewer groups, or another method."
)
ROUNDS = 10  # of moving filters between groups and means to filters


def balanced_groups(rows: NDArray[np.float64], groups: int, seed: int) -> list[list[int]]:
    """k-means whose clusters are of equal size: filters (C, numbers) into ``groups`` lists, each in order."""
    size = len(rows) // groups
    draw = np.random.default_rng(seed)
    centres = rows[draw.choice(len(rows), groups, replace=False)]
    labels = np.full(len(rows), -1)
    for _ in range(ROUNDS):
        far = ((rows[:, None] - centres[None]) ** 2).sum(2)
        _, column = linear_sum_assignment(np.repeat(far, size, axis=1))
        if (column // size == labels).all():
            break
        labels = column // size
        centres = np.stack([rows[labels == group].mean(0) for group in range(groups)])
    return [np.flatnonzero(labels == group).tolist() for group in range(groups)]


def diverse(kernels: Tensor, count: int) -> list[int]:
    """``count`` of the grouped kernels (C_in, numbers) that differ among each other and are near to what goes.

    From every start the least similar one is added again and again; kept is the set of least cost, which is the
    similarity inside it less (balanced) that of what goes to its nearest in the set.
    """
    total = len(kernels)
    if count >= total:
        return list(range(total))
    similar = 1 - torch.cdist(kernels.double(), kernels.double())
    near = int(0.2 * count)
    best, least = list(range(count)), float("inf")
    for start in range(total):
        kept = [start]
        inside = similar[start].clone()
        inside[start] = float("inf")
        while len(kept) < count:
            nearest = int(inside.argmin())
            kept.append(nearest)
            inside += similar[nearest]
            inside[nearest] = float("inf")
        cost = float(similar[kept][:, kept].triu(1).sum())
        if near:
            others = [unit for unit in range(total) if unit not in set(kept)]
            balance = (count * (count - 1) / 2) / (len(others) * near)
            cost -= balance * float(similar[others][:, kept].topk(near, dim=1).values.sum())
        if cost < least:
            best, least = sorted(kept), cost
    return best


@dataclass(frozen=True)
class GroupedKernels(Rebuilding):
    """Every plain convolution behind the first one gets ``groups`` clusters of filters that each read a part of it."""

    groups: int = 8

    def why_not(self, model: nn.Module, network: Network, target: Target) -> str:
        try:
            self._share(prunable(model, network), self._chosen(model, network), Bill.of(model, network), target)
        except UserError as error:
            return str(error)
        return ""

    def edits(self, model: nn.Module, network: Network, target: Target, images: Dataset, seed: int) -> Work:
        weights, chosen = prunable(model, network), self._chosen(model, network)
        share = self._share(weights, chosen, Bill.of(model, network), target)
        found: list[Edit] = []
        for number, name in enumerate(chosen, 1):
            weight = weights[name].detach()
            filters = balanced_groups(weight.flatten(1).double().numpy(), self.groups, seed)
            count = _count(weight.shape[1], share)
            inputs = [diverse(weight[units].transpose(0, 1).flatten(1), count) for units in filters]
            layer = name.rpartition(".")[0]
            found.append(Regroup(layer, tuple(map(tuple, filters)), tuple(map(tuple, inputs))))
            yield number / len(chosen)
        return tuple(found)

    def _chosen(self, model: nn.Module, network: Network) -> list[str]:
        """Their weights by name. Raises UserError for none."""
        chosen = [name for name in list(prunable(model, network))[1:] if self._fits(model, name)]
        if not chosen:
            raise UserError(NO_GROUPS.format(groups=self.groups))
        return chosen

    def _fits(self, model: nn.Module, name: str) -> bool:
        layer = model.get_submodule(name.rpartition(".")[0])
        return (
            type(layer) is nn.Conv2d
            and layer.groups == 1
            and layer.kernel_size != (1, 1)
            and layer.out_channels % self.groups == 0
        )

    def _share(self, weights: dict[str, Tensor], chosen: list[str], bill: Bill, target: Target) -> float:
        """The largest share of the input channels that every group may keep. Raises UserError for none."""
        most = max(weights[name].shape[1] for name in chosen)

        def cost(share: float) -> float:
            left = {name: weight.numel() for name, weight in weights.items()}
            for name in chosen:
                inputs = weights[name].shape[1]
                left[name] = left[name] // inputs * _count(inputs, share)
            return target.of(*bill.left(left))

        for kept in range(most, 0, -1):
            if cost(kept / most) <= target.limit:
                return kept / most
        unit = "MACs" if target.kind == "macs" else "parameters"
        raise UserError(
            f"Even with one input channel for every group {cost(0.0):,.0f} {unit} are left, and {target.limit:,.0f} "
            "were asked for. Choose a larger budget, or a method that removes channels."
        )


def _count(inputs: int, share: float) -> int:
    """How many of the input channels every group keeps, as the authors round it, and at least one."""
    return min(inputs, max(1, int(share * (inputs + 1))))


@dataclass(frozen=True)
class GroupedKernelPruning(Method):
    r"""Cluster the filters of a layer into groups of equal size; each group keeps the input channels that differ most.

    $\min_S \sum_{a<b \in S} s(a,b) - \beta \sum_{j \notin S} \textstyle\sum_{\text{top } e} s(j, S)$ with
    $s(a,b) = 1 - \|G_a - G_b\|_2$ between the grouped kernels $G_j$ of one group: diverse inside, near to what goes.
    What comes out is a dense grouped convolution, really smaller, with its channels permuted before and behind it.

    When it fails: PyTorch's grouped convolutions are often slower than dense ones, as the authors report themselves;
    the latency that is measured says so. Layers whose filters cannot be divided into the groups stay as they are.
    """

    card: ClassVar = Card(
        key="tmi-gkp", name="Grouped kernel pruning", family=Family.KERNELS, data=Data.TRAINING,
        granularity=Granularity.KERNEL, cost="clustering of filters, a greedy choice in each group, and a training",
        paper=Paper(
            "Revisit Kernel Pruning with Lottery Regulated Grouped Convolutions", "Zhong, Zhang, Huang, Xu", "ICLR",
            2022,
        ),
        published=(
            Published("ResNet-56", "CIFAR-10", "93.78 to 94.00 %", "logs of the authors' repository", True),
            Published("ResNet-50", "ImageNet", "76.15 to 75.53 % at 33.74 % fewer FLOPs", "reading notes", False),
        ),
    builds_on=("lth",),)  # fmt: skip
    outcome: ClassVar = Outcome.REGROUPED
    scaled_down: ClassVar[str] = (
        "The paper clusters in three ways and lets checkpoints of the whole training vote for one (the lottery); here "
        "it is one clustering without a vote. It fine-tunes 300 epochs, here a few."
    )
    in_paper: ClassVar = (
        InPaper("groups", "8"),
        InPaper("epochs", "300"),
        InPaper("lr", "0.01, a tenth every 100 epochs"),
        InPaper("batch_size", "64"),
        InPaper("weight_decay", "5e-4"),
    )

    groups: Annotated[int, Choice((2, 4, 8), "Groups")] = 4

    def obstacle(self, network: Network) -> str:
        if recorded := without_modules(network):
            return recorded
        behind = list(shapes(network).values())[1:]
        fits = any(len(shape) == 4 and shape[2:] != (1, 1) and shape[0] % self.groups == 0 for shape in behind)
        return "" if fits else NO_GROUPS.format(groups=self.groups)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        yield Rebuild(GroupedKernels(self.groups), staged(goal, 1), name="grouped convolutions")
        yield Recover(name="statistics")
        yield Train(name="what is left")
