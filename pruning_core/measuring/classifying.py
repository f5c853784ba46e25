"""Whether images are put into the class that their label names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from pruning_core.measuring.measure import Against, Averaged, Decided


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
