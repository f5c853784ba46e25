"""How far numbers are from those that came with the images: coordinates, ages, depths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.measuring.measure import Against, Averaged, Summed, Unscaled, flat

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

    def each(self, rows: Tensor) -> Tensor | None:
        return None  # one image has no variance

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _apart(outputs, targets).square().mean()


@dataclass(frozen=True)
class AbsoluteError(Unscaled):
    """Mean distance of a number from its target (MAE), in the unit of the targets."""

    key: ClassVar = "mae"
    name: ClassVar = "Mean absolute error"
    says: ClassVar = "mean distance of a number from its target, in the unit of the targets"
    rises: ClassVar = False
    against: ClassVar = Against.TARGETS

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (flat(outputs) - flat(targets)).abs().mean(1, keepdim=True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _apart(outputs, targets).abs().mean()


@dataclass(frozen=True)
class SquaredError(Unscaled):
    """Mean squared distance of a number from its target (MSE)."""

    key: ClassVar = "mse"
    name: ClassVar = "Mean squared error"
    says: ClassVar = "mean squared distance of a number from its target"
    rises: ClassVar = False
    against: ClassVar = Against.TARGETS

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (flat(outputs) - flat(targets)).square().mean(1, keepdim=True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _apart(outputs, targets).square().mean()


@dataclass(frozen=True)
class NormalisedError(Averaged):
    """Mean distance of a point from where it belongs, over the size of the box around the image's points (NME).

    Numbers are coordinates in pairs: x, y, x, y … The size is the root of width times height.
    """

    key: ClassVar = "nme"
    name: ClassVar = "Normalised mean error"
    says: ClassVar = "mean distance of a point (x, y) from where it belongs, as a share of the size of all points' box"
    rises: ClassVar = False
    against: ClassVar = Against.TARGETS

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return not places and width >= 4 and width % 2 == 0

    def wants(self, labels: Tensor) -> bool:
        return float(_box(_points(labels)).min()) > 0

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._errors(outputs.double(), targets.double())[:, None]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._errors(outputs, targets.to(outputs.dtype)).mean()

    def _errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = _points(targets)
        return (_points(outputs) - wanted).norm(dim=2).mean(1) / _box(wanted)


def _points(values: Tensor) -> Tensor:
    """(n, …) -> (n, points, 2)."""
    return values.reshape(len(values), -1, 2)


def _box(points: Tensor) -> Tensor:
    """(n, points, 2) -> (n,): how large the box around an image's points is."""
    return (points.amax(1) - points.amin(1)).prod(1).sqrt()


def _apart(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.flatten(1) - targets.to(outputs.dtype).reshape(len(targets), -1)
