"""Whether positions of a sequence get the class that their label names: of a language model, the next token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.datasets.targets import nobody
from pruning_core.measuring.measure import Unit
from pruning_core.measuring.segmenting import OfPlaces, PlacesRight


@dataclass(frozen=True)
class PositionsRight(PlacesRight):
    """Share of the labelled positions, over all sequences, that get the right class."""

    key: ClassVar = "positions_right"
    name: ClassVar = "Accuracy at positions"
    says: ClassVar = "share of labelled positions, such as tokens of a text, that get the right class"

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return len(places) == 1 and width > 1


@dataclass(frozen=True)
class Perplexity(OfPlaces):
    """e to the mean cross-entropy of the labelled positions, over all sequences."""

    key: ClassVar = "perplexity"
    name: ClassVar = "Perplexity"
    says: ClassVar = "among how many classes, were they equally likely, a position leaves the choice"
    unit: ClassVar = Unit.PLAIN
    rises: ClassVar = False

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return len(places) == 1 and width > 1

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        unknown = nobody(targets)
        lost = F.cross_entropy(outputs.double(), targets.long(), ignore_index=unknown, reduction="none")
        return torch.stack([lost.sum(1), (targets != unknown).sum(1).double()], 1)

    def from_sums(self, sums: Tensor) -> Tensor:
        return (sums[:, 0] / sums[:, 1].clamp_min(1)).exp()

    def whole(self, targets: Tensor) -> float:
        """What a guess by how often each class occurs is away from knowing them all."""
        known = targets[targets != nobody(targets)]
        if not len(known):
            return self.scale
        share = known.long().bincount().double() / len(known)
        guessed = float(torch.special.entr(share).sum().exp()) - 1
        return guessed or self.scale
