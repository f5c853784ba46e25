"""What a network's outputs are judged by: one frozen class per measure, with its name, unit and direction.

A measure turns the outputs for a batch, and what they are compared with, into a row of numbers per image, and sums rows
up to a value with a 95 % interval. So every study that runs images can judge by any of them: what runs the images knows
no measure, and a measure knows no network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.measuring.bootstrap import bounds, paired
from pruning_core.measuring.intervals import paired_drop, wilson
from pruning_core.measuring.measures import Drop
from pruning_core.numeric.detections import Decoder
from pruning_core.numeric.outputs import Takes

FEW = 256  # images that tell how far targets are apart


class Unit(StrEnum):
    """How a value is written: a share in per cent (differences in points), in decibels, or as a plain number."""

    SHARE = "share"
    DECIBEL = "dB"
    PLAIN = ""


class Against(StrEnum):
    """What the outputs are compared with."""

    CLASSES = "the labels: the number of one class per image"
    NETWORK = "the outputs of the network that was cut first"
    TARGETS = "the targets that came with the images, of the shape of the outputs"
    PLACES = "the labels: the number of a class at every place of an image"
    BOXES = "the boxes around what is in an image, each with its class"


@dataclass(frozen=True)
class Measure(ABC):
    """A subclass says what it is called and measured in, and implements ``rows`` and ``value``.

    ``key``: as it is stored. ``name``: as a page calls it; ``says``: what it means, a half sentence. ``rises``: whether
    a higher value is better. ``scale``: the difference that counts as a whole, where it is the same for all images.
    ``decides``: the largest output is a decision that is right or wrong, so that a value is a share of images.
    ``takes``: which of a network's outputs it looks at; several lie behind one another. ``stands_in``: the sentence
    that says so where ``loss`` cannot be what the network was trained with.
    """

    key: ClassVar[str]
    name: ClassVar[str]
    says: ClassVar[str]
    unit: ClassVar[Unit] = Unit.SHARE
    rises: ClassVar[bool] = True
    scale: ClassVar[float] = 1.0
    against: ClassVar[Against]
    decides: ClassVar[bool] = False
    stands_in: ClassVar[str] = ""

    @property
    def takes(self) -> Takes:
        return Takes.MAIN

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        """Whether outputs of ``width`` numbers, at each of ``places`` where there are any, can be judged by it.

        ``of_classes``: the largest of them names a class.
        """
        return True

    def read_by(self, decoder: Decoder | None) -> Measure:
        """The same for outputs that ``decoder`` reads as boxes; itself where a measure takes outputs as they are."""
        return self

    def wants(self, labels: Tensor) -> bool:
        """Whether numbers (N, …) of the shape of the outputs are of the kind that it compares outputs with."""
        return True

    def worth(self, labels: Tensor) -> bool:
        """Whether to offer it for images with ``labels`` (N, …) that it can judge: not where it says nothing new."""
        return True

    def target(self, outputs: Tensor) -> Tensor:
        """What is kept of the reference network's ``outputs`` (n, …) to compare others with."""
        return outputs

    @abstractmethod
    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(n, …) outputs and targets -> (n, k) float64: what each image adds."""

    @abstractmethod
    def value(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Rows (N, k), counted ``weights`` (B, N) times each -> (B,) values."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What a training towards this measure minimises: a scalar, the mean over the batch, with a gradient.

        Computed in the precision of ``outputs``, which must not be less than float32.
        """

    def apart(self, outputs: Tensor, wanted: Tensor) -> Tensor | None:
        """How far ``outputs`` are from those ``wanted`` of another network that a training follows: a scalar with a
        gradient. None where numbers of outputs mean alike, so that their plain distance says it."""
        return None

    def of(self, rows: Tensor) -> tuple[float, float, float]:
        """(value, low, high) over the images of ``rows`` (N, k): the bounds hold 95 % of bootstrap samples of them."""
        return bounds(self.value, rows)

    def drop(self, base: Tensor, new: Tensor) -> Drop:
        """How much worse ``new`` is than ``base``, both (N, k) rows of the same images; bootstrapped in pairs."""
        lost, low, high = paired(self.value, base, new)
        sign = 1.0 if self.rises else -1.0
        low, high = sorted((sign * low, sign * high))
        return Drop(sign * lost, low, high, 0, 0, len(new), self.key)

    def each(self, rows: Tensor) -> Tensor | None:
        """Rows (N, k) -> (N,): what each image is worth by itself; None where a value is of many images together."""
        return None

    def whole(self, targets: Tensor) -> float:
        """The difference that counts as a whole among images with ``targets`` (N, …): tolerances are shares of it."""
        return self.scale

    @property
    def title(self) -> str:
        """What it is called where there is room."""
        return self.name

    def better(self, value: float) -> float:
        """``value`` so that more is better."""
        return value if self.rises else -value


@dataclass(frozen=True)
class Decided(Measure):
    """A share of images: rows (N, 1) are 1 where the largest of the (n, K) outputs names the right class, else 0."""

    decides: ClassVar[bool] = True

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return of_classes

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(1) == targets)[:, None].double()

    def value(self, rows: Tensor, weights: Tensor) -> Tensor:
        return (weights @ rows.double())[:, 0] / weights.sum(1)

    def each(self, rows: Tensor) -> Tensor | None:
        return rows[:, 0]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def apart(self, outputs: Tensor, wanted: Tensor) -> Tensor | None:
        """How far ``outputs`` are from those ``wanted`` of another network that a training follows: a scalar with a
        gradient. None where numbers of outputs mean alike, so that their plain distance says it."""
        return None

    def of(self, rows: Tensor) -> tuple[float, float, float]:
        """With Wilson's interval instead of a bootstrap."""
        right = int(rows.sum())
        return right / len(rows), *wilson(right, len(rows))

    def drop(self, base: Tensor, new: Tensor) -> Drop:
        """With the paired interval of shares instead of a bootstrap."""
        return paired_drop(base.flatten().bool(), new.flatten().bool(), self.key)


@dataclass(frozen=True)
class Averaged(Measure):
    """The mean over images of one number each: rows (N, 1)."""

    def value(self, rows: Tensor, weights: Tensor) -> Tensor:
        return (weights @ rows)[:, 0] / weights.sum(1)

    def each(self, rows: Tensor) -> Tensor | None:
        return rows[:, 0]


@dataclass(frozen=True)
class Unscaled(Averaged):
    """Of numbers in a unit of their own: a whole is what is between the targets and their mean for every image."""

    unit: ClassVar[Unit] = Unit.PLAIN

    def whole(self, targets: Tensor) -> float:
        """So a tolerance of 0.02 is a fiftieth of what a network loses that does not look at its images."""
        few = targets[:: -(-len(targets) // FEW)].float()
        even = torch.ones(1, len(few), dtype=torch.float64)
        blind = self.value(self.rows(few.mean(0, keepdim=True).expand_as(few), few), even)
        apart = float((blind - self.value(self.rows(few, few), even)).abs())
        return apart if isfinite(apart) and apart > 0 else self.scale


@dataclass(frozen=True)
class Summed(Measure):
    """A function of the sums over images: rows are added up, then :meth:`from_sums` says what they come to."""

    @abstractmethod
    def from_sums(self, sums: Tensor) -> Tensor:
        """(B, k) -> (B,)."""

    def value(self, rows: Tensor, weights: Tensor) -> Tensor:
        return self.from_sums(weights @ rows)

    def each(self, rows: Tensor) -> Tensor | None:
        return self.from_sums(rows)


def flat(values: Tensor) -> Tensor:
    """(n, …) -> (n, m) float64."""
    return values.reshape(len(values), -1).double()


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """0 where both are 0, infinite where only ``below`` is."""
    return torch.where(above == 0, torch.zeros_like(above), above / below)
