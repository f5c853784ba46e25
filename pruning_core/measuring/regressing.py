"""How far numbers are from those that came with the images: coordinates, ages, depths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.measuring.measure import Against, Averaged, Summed, Unit, flat

MOST_COLUMNS = 1024  # numbers of an image, of which each has a variance of its own


@dataclass(frozen=True)
class Explained(Summed):
    """Share of the variance of the targets that is explained (R², the mean over the numbers of an image)."""

    key: ClassVar = "r2"
    name: ClassVar = "R²"
    says: ClassVar = "share of the variance of the targets that the outputs explain, the mean over their numbers"
    against: ClassVar = Against.TARGETS

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return not places and width <= MOST_COLUMNS

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = flat(targets)
        missed = (flat(outputs) - wanted).square()
        return torch.cat([missed, wanted, wanted.square(), torch.ones_like(wanted[:, :1])], 1)

    def from_sums(self, sums: Tensor) -> Tensor:
        columns = (sums.shape[1] - 1) // 3
        missed, total, squares = sums[:, :-1].split(columns, 1)
        spread = squares - total.square() / sums[:, -1:]
        return (1 - missed / spread.clamp_min(1e-12)).mean(1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _apart(outputs, targets).square().mean()


@dataclass(frozen=True)
class AbsoluteError(Averaged):
    """Mean distance of a number from its target (MAE), in the unit of the targets."""

    key: ClassVar = "mae"
    name: ClassVar = "Mean absolute error"
    says: ClassVar = "mean distance of a number from its target, in the unit of the targets"
    unit: ClassVar = Unit.PLAIN
    rises: ClassVar = False
    against: ClassVar = Against.TARGETS

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (flat(outputs) - flat(targets)).abs().mean(1, keepdim=True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _apart(outputs, targets).abs().mean()


@dataclass(frozen=True)
class SquaredError(Averaged):
    """Mean squared distance of a number from its target (MSE)."""

    key: ClassVar = "mse"
    name: ClassVar = "Mean squared error"
    says: ClassVar = "mean squared distance of a number from its target"
    unit: ClassVar = Unit.PLAIN
    rises: ClassVar = False
    against: ClassVar = Against.TARGETS

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (flat(outputs) - flat(targets)).square().mean(1, keepdim=True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _apart(outputs, targets).square().mean()


def _apart(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.flatten(1) - targets.to(outputs.dtype).reshape(len(targets), -1)
