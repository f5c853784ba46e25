"""Recoveries: what is done to a network that lost channels, so that it keeps working. This tuple is the only list.

An axis beside criterion, allocation and schedule: any of them follows any cut, and they chain, as mending before
fine-tuning does. Each is phases of the one interpreter (:mod:`.perform`), so it is cancelled, resumed and reported as
every other phase is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar

from torch import nn

from pruning_core.knobs import Knobbed, Range
from pruning_core.methods.phases import Mend, Phase, Recover, Train
from pruning_core.taxonomy import Card, Data, Family, Paper
from pruning_core.training.distillation import Distillation, FeatureWeight, LabelWeight, Temperature
from pruning_core.training.recalibrate import keeping_statistics

LARGE = 400_000_000  # MACs of an image from which on fewer images must do
FEW = 128


@dataclass(frozen=True)
class Recovery(Knobbed, ABC):
    """A subclass is a frozen dataclass whose docstring says what it does and when it fails (``taxonomy.Card``).

    Its annotated fields are its knobs; ``images``, where it has one, is how many images of the fitted part it looks at:
    never those that accuracies are reported on. ``trains``: whether it is a training, with the settings of its program.
    Raises ValueError for a knob out of range.
    """

    card: ClassVar[Card]
    trains: ClassVar[bool] = False

    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """What is done, in order, to a network that was just cut."""

    @property
    def looks_at(self) -> int:
        """Images of the fitted part that it looks at without training on them."""
        return int(getattr(self, "images", 0))

    def changes(self, model: nn.Module) -> bool:
        """Whether it does anything to this network."""
        return bool(self.phases())

    def sized(self, macs: int) -> Recovery:
        """The same from fewer images where each of them takes many multiply-adds."""
        if macs < LARGE or self.looks_at <= FEW or "images" not in {each.name for each in fields(self)}:
            return self
        changed: dict[str, Any] = {"images": FEW}
        return replace(self, **changed)


def phases_of(recoveries: Iterable[Recovery]) -> tuple[Phase, ...]:
    """One after the other."""
    return tuple(phase for recovery in recoveries for phase in recovery.phases())


@dataclass(frozen=True)
class JustCut(Recovery):
    r"""Nothing: the channels are gone, and every weight that is left stays as it was.

    $\theta_S = \theta|_S$. What every other recovery has to be held against.

    When it fails: nearly always at a third of the channels or more: layers read less than they were trained to read,
    and batch norms go on with statistics of a network that is gone.
    """

    card: ClassVar = Card(key="rec-none", name="Just cut", family=Family.RECOVERY, data=Data.NONE, cost="none")

    def phases(self) -> tuple[Phase, ...]:
        return ()


@dataclass(frozen=True)
class NewStatistics(Recovery):
    r"""Batch norms get the statistics of the network that is left; no weight changes.

    $\mu_c, \sigma_c^2 \leftarrow \text{mean and variance of channel } c \text{ over images, as the smaller network
    computes it}$.

    When it fails: networks without batch norms stay as they are; what the lost channels told the next layer stays lost.
    """

    card: ClassVar = Card(
        key="rec-statistics",
        name="New batch-norm statistics",
        family=Family.RECOVERY,
        data=Data.UNLABELLED,
        cost="one forward pass",
        paper=Paper(
            "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning",
            "Li, Wu, Su, Wang",
            "ECCV",
            2020,
            "2007.02491",
        ),
    )
    images: Annotated[int, Range(16, 4096, "Images", log=True)] = 512

    def changes(self, model: nn.Module) -> bool:
        return bool(keeping_statistics(model))

    def phases(self) -> tuple[Phase, ...]:
        return (Recover(self.images, name="statistics"),)


@dataclass(frozen=True)
class Mending(Recovery):
    r"""Refit by least squares every weight that reads what is left, so that it writes what it wrote before.

    $W' = \arg\min_W \| Y - X_S W \|^2 + \lambda \|W - W_S\|^2$ with what the layer reads in the smaller network, $X_S$,
    and what it wrote in the unpruned one, $Y$; layer by layer in the order of the network. $\lambda$ is chosen on
    images set apart, biases are refitted, and batch norms move along. No labels, no gradients. He et al. and ThiNet do
    this for their own choice of channels; it does as well after any other.

    When it fails: with few images and wide layers the samples decide little; what needs another function of its inputs,
    not other weights, cannot be mended.
    """

    card: ClassVar = Card(
        key="rec-mend",
        name="Mend (least squares)",
        family=Family.RECOVERY,
        data=Data.UNLABELLED,
        cost="two forward passes, then one linear system per layer",
        paper=Paper(
            "Channel Pruning for Accelerating Very Deep Neural Networks", "He, Zhang, Sun", "ICCV", 2017, "1707.06168"
        ),
        builds_on=("cp-lasso",),
    )
    images: Annotated[int, Range(16, 4096, "Images", log=True)] = 128
    positions: Annotated[int, Range(1, 256, "Positions an image", log=True)] = 64

    def phases(self) -> tuple[Phase, ...]:
        return (Mend(self.images, self.positions, name="mend"),)


@dataclass(frozen=True)
class Tuning(Recovery):
    r"""Train what is left on labelled images.

    $\theta_S \leftarrow \arg\min_{\theta_S} \mathbb{E}\, \ell(f_{\theta_S}(x), y)$, from the weights that are there.

    When it fails: it takes labels and time, and how much of its gain is due to training longer shows only beside the
    same training of the unpruned network.
    """

    card: ClassVar = Card(
        key="rec-tune",
        name="Fine-tune",
        family=Family.RECOVERY,
        data=Data.TRAINING,
        cost="a training",
        paper=Paper(
            "Learning both Weights and Connections for Efficient Neural Networks",
            "Han, Pool, Tran, Dally",
            "NIPS",
            2015,
            "1506.02626",
        ),
    )
    trains: ClassVar = True

    def phases(self) -> tuple[Phase, ...]:
        return (Train(name="train"),)


@dataclass(frozen=True)
class Distilling(Recovery):
    r"""Train what is left to answer as the unpruned network does; labels are not needed.

    $T^2\, \mathrm{KL}\big(\operatorname{softmax}(z/T) \,\|\, \operatorname{softmax}(z_S/T)\big)
    + \beta \operatorname{mean}_l \|h_l - h_{S,l}\|^2 / \|h_l\|^2$ with the scores $z$ and, in layers that kept their
    width, the features $h_l$ of the unpruned network.

    When it fails: the teacher's mistakes are learnt too; every step runs both networks; where every layer lost
    channels, no features agree and the scores alone teach.
    """

    card: ClassVar = Card(
        key="rec-distil",
        name="Fine-tune by distillation",
        family=Family.RECOVERY,
        data=Data.UNLABELLED,
        cost="a training, and a forward pass of the unpruned network per step",
        paper=Paper(
            "Distilling the Knowledge in a Neural Network", "Hinton, Vinyals, Dean", "arXiv", 2015, "1503.02531"
        ),
    )
    trains: ClassVar = True
    temperature: Temperature = 4.0
    features: FeatureWeight = 1.0
    labels: LabelWeight = 0.0

    def phases(self) -> tuple[Phase, ...]:
        return (Train(objective=Distillation(self.temperature, self.features, self.labels), name="distil"),)


RECOVERIES: tuple[type[Recovery], ...] = (JustCut, NewStatistics, Mending, Tuning, Distilling)
