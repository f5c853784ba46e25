"""The plain way, against which every other method has to show what it is good for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from pruning_core.allocation.base import Allocation
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import Criterion, L1Norm
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Cut, Phase, Within
from pruning_core.methods.recoveries import NewStatistics, Recovery, Tuning, phases_of
from pruning_core.methods.staged import staged
from pruning_core.taxonomy import Card, Data, Family


@dataclass(frozen=True)
class CutAndTrain(Method):
    r"""Remove the least important channels once, then train what is left.

    $\theta \to \theta_S \to \arg\min_{\theta_S} \mathcal{L}$: ``criterion`` says which channels go, ``allocation`` from
    where, and ``recoveries`` what is done then. By default batch-norm statistics are renewed before the training, so
    that it does not begin with those of a network that is gone.

    When it fails: at high ratios one cut takes more than training brings back; steps do better there.
    """

    card: ClassVar = Card(
        key="cut-train",
        name="Cut, then train",
        family=Family.MAGNITUDE,
        data=Data.TRAINING,
        cost="scores once, then one training",
        paper=L1Norm.card.paper,
        builds_on=("l1",),
    )
    outcome: ClassVar = Outcome.SMALLER
    in_paper: ClassVar = (
        InPaper("epochs", "40 (CIFAR-10)"),
        InPaper("lr", "0.001"),
    )

    criterion: Criterion = field(default_factory=L1Norm)
    allocation: Allocation = field(default_factory=Uniform)
    recoveries: tuple[Recovery, ...] = (NewStatistics(), Tuning())

    def phases(self, goal: Goal) -> Iterator[Phase]:
        yield Cut(self.criterion, Within(self.allocation, staged(goal, 1)), name="cut")
        yield from phases_of(self.recoveries)
