"""Controls: the pruned network with new random weights, trained as long as the pruned one, or for the same work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from pruning_core.criteria import Criterion, L1Norm
from pruning_core.graph import Plan
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Cut, Phase, Reinitialise, Train, Widths
from pruning_core.methods.staged import staged
from pruning_core.methods.units import uniform_counts
from pruning_core.taxonomy import Card, Data, Family, Paper, Published

RETHINKING = Paper(
    "Rethinking the Value of Network Pruning", "Liu, Sun, Zhou, Huang, Darrell", "ICLR", 2019, "1810.05270"
)
SOURCE = "Eric-mingjie/rethinking-network-pruning"
FEWER = (
    "The paper trains from scratch for 160 epochs on CIFAR-10 and 90 on ImageNet, as long as the unpruned network; "
    "here the epochs are those that the other methods get, and those in which the given network was trained are not "
    "counted. Weights are drawn as PyTorch's layers draw them."
)


@dataclass(frozen=True)
class ScratchE(Method):
    r"""The control of every pruned network: the same widths, new random weights, and as many epochs.

    $\theta_0 \sim p(\theta)$, then $\arg\min_\theta \mathcal{L}(\theta)$ for $E$ epochs: no weight of the given network
    is used, nor what its batch norms have seen. If it ends as well as a pruned network does, the widths were what
    mattered, and not the weights that were kept.

    When it fails: a few epochs are few for random weights, while a pruned network begins with trained ones. Compare
    them after as many epochs as the given network was trained for, or read it as a lower bound.
    """

    card: ClassVar = Card(
        key="scratch-e",
        name="From scratch, equal epochs (Scratch-E)",
        family=Family.CONTROL,
        data=Data.TRAINING,
        cost="one training",
        paper=RETHINKING,
        published=(
            Published("ResNet-34-A", "ImageNet", "72.77 %, fine-tuned after L1 pruning 72.56 %", SOURCE, True),
            Published("ResNet-50 at ThiNet's 50", "ImageNet", "73.31 %", SOURCE, True),
        ),
        builds_on=("l1", "thinet", "netslim", "lth"),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = FEWER
    in_paper: ClassVar = (InPaper("epochs", "160 (CIFAR-10), 90 (ImageNet)"),)

    criterion: Criterion = field(default_factory=L1Norm)

    def times(self, goal: Goal) -> float:
        """So many times as many epochs as there are."""
        return 1.0

    def phases(self, goal: Goal) -> Iterator[Phase]:
        counts = uniform_counts(goal.network, staged(goal, 1))
        yield Cut(self.criterion, Widths(counts), name="the pruned widths")
        yield Reinitialise(name="new weights")
        yield Train(1.0, name="from scratch", longer=self.times(goal))


@dataclass(frozen=True)
class ScratchB(ScratchE):
    r"""The control at equal work: the same widths, new random weights, and as many multiplications as unpruned.

    $E_B = \lfloor E \cdot M / M_S \rfloor$ epochs, where an image costs $M$ multiply-adds before and $M_S$ after
    pruning: a smaller network is trained longer, so that training it takes what the unpruned one would take.

    When it fails: as with equal epochs, a few are few. A network that has stopped learning gains nothing from more of
    them.
    """

    card: ClassVar = Card(
        key="scratch-b",
        name="From scratch, equal work (Scratch-B)",
        family=Family.CONTROL,
        data=Data.TRAINING,
        cost="one training of more epochs",
        paper=RETHINKING,
        published=(
            Published("ResNet-34-A", "ImageNet", "73.08 %, fine-tuned after L1 pruning 72.56 %", SOURCE, True),
            Published("ResNet-50 at ThiNet's 50", "ImageNet", "73.90 %", SOURCE, True),
        ),
        builds_on=("l1", "thinet", "netslim", "lth"),
    )
    scaled_down: ClassVar[str] = FEWER
    in_paper: ClassVar = (InPaper("epochs", "160 or 90, divided by the share of MACs left"),)

    def times(self, goal: Goal) -> float:
        counts = uniform_counts(goal.network, staged(goal, 1))
        pruned = goal.network.cost(Plan({key: range(count) for key, count in counts.items()}))
        return goal.network.cost().macs / max(1, pruned.macs)
