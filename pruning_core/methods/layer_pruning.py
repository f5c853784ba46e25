"""Whole blocks leave: LayerPrune judges them by their weights or by imprinting, DBP by linear probes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import nn

from pruning_core.datasets import Dataset
from pruning_core.graph import Network
from pruning_core.knobs import Choice, Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.block_features import features, imprinted_accuracy, probed_accuracy
from pruning_core.methods.blocks import Block, without_blocks
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.phases import Phase, Rebuild, Recover, Train
from pruning_core.methods.rebuilding import WithoutBlocks
from pruning_core.methods.staged import staged
from pruning_core.taxonomy import Card, Data, Family, Granularity, Paper, Published

NORM, SCALE, IMPRINT = "mean size of weights", "batch-norm scales", "imprinting"
Values = Generator[float, None, dict[str, float]]


@dataclass(frozen=True)
class ByWeights(WithoutBlocks):
    """The mean absolute value over a block, of its convolutions or of its batch norms' scales."""

    scales: bool = False

    def values(self, model: nn.Module, network: Network, blocks: list[Block], images: Dataset, seed: int) -> Values:
        yield 1.0
        return {block.name: self._of(model.get_submodule(block.name)) for block in blocks}

    def _of(self, block: nn.Module) -> float:
        parts = [
            parameter.detach().abs().double().mean()
            for name, parameter in block.named_parameters()
            if name.endswith("weight") and (parameter.dim() == 1) is self.scales
        ]
        return float(torch.stack(parts).mean()) if parts else 0.0


@dataclass(frozen=True)
class ByImprinting(WithoutBlocks):
    """How many more images a classifier of mean directions gets right behind a block than in front of it."""

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return True

    def values(self, model: nn.Module, network: Network, blocks: list[Block], images: Dataset, seed: int) -> Values:
        ends = yield from features(model, [block.name for block in blocks], images)
        classes = len(images.classes)
        return {
            name: imprinted_accuracy(each.behind, images.labels, classes)
            - imprinted_accuracy(each.front, images.labels, classes)
            for name, each in ends.items()
        }


@dataclass(frozen=True)
class ByProbes(WithoutBlocks):
    """How many more images a trained linear classifier gets right behind a block than in front of it."""

    steps: Annotated[int, Range(10, 2000, "Steps of a probe")] = 150

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return True

    def values(self, model: nn.Module, network: Network, blocks: list[Block], images: Dataset, seed: int) -> Values:
        ends = yield from features(model, [block.name for block in blocks], images)
        classes, found = len(images.classes), dict[str, float]()
        for number, (name, each) in enumerate(ends.items(), 1):
            behind, front = (
                probed_accuracy(rows, images.labels, classes, self.steps, seed) for rows in (each.behind, each.front)
            )
            found[name] = behind - front
            yield number / len(ends)
        return found


@dataclass(frozen=True)
class LayerPrune(Method):
    r"""Judge whole residual blocks once, take the least valuable ones out, and train what is left.

    $x + F(x) \rightarrow x$ for the blocks of smallest $\frac{1}{|W_b|}\sum_{w \in W_b} |w|$, or of smallest gain
    $a_b - a_{b-1}$ in accuracy of a classifier whose class vectors are the mean embeddings behind the block.

    When it fails: only blocks that give back the shape that they read can leave; networks without such blocks, and
    small budgets, are out of reach. A sum of norms in place of the mean would always favour wide late layers.
    """

    card: ClassVar = Card(
        key="layerprune", name="LayerPrune", family=Family.MAGNITUDE, data=Data.TRAINING,
        granularity=Granularity.LAYER, cost="one look at the weights, or one pass of images, and a training",
        paper=Paper(
            "To Filter Prune, or to Layer Prune, That Is the Question",
            "Elkerdawy, Elhoushi, Singh, Zhang, Ray", "ACCV", 2020, "2007.05667",
        ),
        published=(
            Published("ResNet-50", "ImageNet", "0.5 % above ResNet-18 at its latency", "abstract of the paper", True),
        ),
    builds_on=("l1", "taylor"),)  # fmt: skip
    outcome: ClassVar = Outcome.SHALLOWER
    scaled_down: ClassVar[str] = "The paper fine-tunes like the tail of the original schedule; here it is a few epochs."
    in_paper: ClassVar = (
        InPaper("score", "all of these; imprinting in its first paper"),
        InPaper("epochs", "the tail of the original schedule", False),
    )

    score: Annotated[str, Choice((NORM, SCALE, IMPRINT), "Blocks are judged by")] = IMPRINT

    def obstacle(self, network: Network) -> str:
        return without_blocks(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        how = ByImprinting() if self.score == IMPRINT else ByWeights(self.score == SCALE)
        yield Rebuild(how, staged(goal, 1), name="the least valuable blocks")
        yield Recover(name="statistics")
        yield Train(name="what is left")


@dataclass(frozen=True)
class DiscriminationBlocks(Method):
    r"""Attach a linear classifier in front of every residual block and behind it; take out the blocks that add least.

    $D_b = a(\text{probe}_b) - a(\text{probe}_{b-1})$, accuracies of linear probes on pooled features, trained with the
    network standing still and judged on images that they were not trained on. With rounds it is repeated.

    When it fails: a block that prepares what a later one reads adds little by itself and is taken out first. Negative
    gains are normal. Only blocks that give back the shape that they read can leave.
    """

    card: ClassVar = Card(
        key="dbp", name="Discrimination-based block pruning (DBP)", family=Family.ACTIVATION, data=Data.TRAINING,
        granularity=Granularity.BLOCK, cost="one pass of images, two probes for every block, and a training",
        paper=Paper(
            "DBP: Discrimination Based Block-Level Pruning for Deep Model Acceleration",
            "Wang, Zhao, Chen, Hu, Cai, Liu", "arXiv", 2019, "1912.10178",
        ),
    )  # fmt: skip
    outcome: ClassVar = Outcome.SHALLOWER
    scaled_down: ClassVar[str] = "Probes take a few hundred steps on pooled features, and the training a few epochs."
    in_paper: ClassVar = (
        InPaper("rounds", UNREAD),
        InPaper("steps", UNREAD),
        InPaper("epochs", UNREAD),
    )

    rounds: Annotated[int, Range(1, 4, "Rounds", step=1)] = 1
    steps: Annotated[int, Range(10, 2000, "Steps of a probe", step=10)] = 150

    def obstacle(self, network: Network) -> str:
        return without_blocks(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        for number in range(1, self.rounds + 1):
            named = f", round {number}" if self.rounds > 1 else ""
            budget = staged(goal, number / self.rounds)
            yield Rebuild(ByProbes(self.steps), budget, name=f"blocks that add least{named}")
            yield Recover(name=f"statistics{named}")
            yield Train(1 / self.rounds, name=f"what is left{named}")
