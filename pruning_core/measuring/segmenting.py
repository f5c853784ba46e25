"""Whether places of an image, such as its pixels, are put into the class that their label names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.datasets.targets import nobody
from pruning_core.measuring.measure import Against, Summed


@dataclass(frozen=True)
class OfPlaces(Summed):
    """A class at every place."""

    against: ClassVar = Against.PLACES

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return len(places) > 1 and width > 1

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets.long(), ignore_index=nobody(targets))


@dataclass(frozen=True)
class MeanOverlap(OfPlaces):
    """Mean intersection over union: of each class over all images, then the mean over the classes that occur."""

    key: ClassVar = "miou"
    name: ClassVar = "Mean IoU"
    says: ClassVar = "overlap of the places given to a class with those of it, the mean over classes"

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        classes, known = outputs.shape[1], targets != nobody(targets)
        given = F.one_hot(torch.where(known, outputs.argmax(1), classes), classes + 1)[..., :classes]
        wanted = F.one_hot(torch.where(known, targets.long(), classes), classes + 1)[..., :classes]
        both = (given & wanted).flatten(1, -2).sum(1)
        either = (given | wanted).flatten(1, -2).sum(1)
        return torch.cat([both, either], 1).double()

    def from_sums(self, sums: Tensor) -> Tensor:
        both, either = sums.chunk(2, 1)
        there = either > 0
        return torch.where(there, both / either.clamp_min(1), 0.0).sum(1) / there.sum(1).clamp_min(1)


@dataclass(frozen=True)
class PlacesRight(OfPlaces):
    """Share of the labelled places, over all images, that are put into the right class."""

    key: ClassVar = "pixel_accuracy"
    name: ClassVar = "Pixel accuracy"
    says: ClassVar = "share of labelled pixels that are put into the right class"

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        known = targets != nobody(targets)
        right = (outputs.argmax(1) == targets) & known
        return torch.stack([right.flatten(1).sum(1), known.flatten(1).sum(1)], 1).double()

    def from_sums(self, sums: Tensor) -> Tensor:
        return sums[:, 0] / sums[:, 1].clamp_min(1)
