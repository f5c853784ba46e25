"""Whether images are put into the class that their label names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.measuring.measure import Against, Averaged, Decided, Measure

UNBALANCED = 1.5  # times as many images of one class as of another, from where classes are worth counting alike


@dataclass(frozen=True)
class TopOne(Decided):
    """Share of images whose highest score is that of the right class."""

    key: ClassVar = "top1"
    name: ClassVar = "Accuracy"
    says: ClassVar = "share of images that are put into the right class (top-1)"
    against: ClassVar = Against.CLASSES

    @property
    def title(self) -> str:
        return "Top-1 accuracy"


@dataclass(frozen=True)
class TopFive(Averaged):
    """Share of images whose right class is among the five highest scores."""

    key: ClassVar = "top5"
    name: ClassVar = "Top-5 accuracy"
    says: ClassVar = "share of images whose right class is among the five highest scores"
    against: ClassVar = Against.CLASSES

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return of_classes and width > 5

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.topk(5, 1).indices == targets[:, None]).any(1, keepdim=True).double()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)


@dataclass(frozen=True)
class BalancedAccuracy(Measure):
    """Mean of the classes' recalls: every class counts the same, however many images it has.

    Rows (N, 2) are the right class and whether it was named. Classes without images do not count (Brodersen et al., The
    balanced accuracy and its posterior distribution, ICPR 2010).
    """

    key: ClassVar = "balanced"
    name: ClassVar = "Balanced accuracy"
    says: ClassVar = "share of the images of a class that are put into it (recall), the mean over classes"
    against: ClassVar = Against.CLASSES

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return of_classes

    def worth(self, labels: Tensor) -> bool:
        """Where classes have about as many images each it is the accuracy once more."""
        there = labels.unique(return_counts=True)[1]
        return bool(there.max() > UNBALANCED * there.min())

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([targets, outputs.argmax(1) == targets], 1).double()

    def value(self, rows: Tensor, weights: Tensor) -> Tensor:
        classes, right = rows[:, 0].long(), rows[:, 1]
        empty = torch.zeros(len(weights), int(classes.max()) + 1, dtype=torch.float64)
        there, found = (empty.index_add(1, classes, counted) for counted in (weights, weights * right))
        return (found / there).nanmean(1)  # 0 / 0 where a class has no images

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)
