"""What two networks say of the same images: where they differ, class by class and image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.measuring.classifying import TopOne
from pruning_core.measuring.intervals import paired_bounds
from pruning_core.measuring.marks import Marks
from pruning_core.measuring.measures import Drop
from pruning_core.measuring.parts import PartLoss, loss_in


@dataclass(frozen=True, eq=False)
class Answers:
    """``predicted`` (N,) are class numbers, ``confidence`` (N,) the softmax of the predicted class, in [0, 1].

    ``labels`` (N,) are the right ones. Raises ValueError where the three differ in length.
    """

    predicted: NDArray[np.int32]
    confidence: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __post_init__(self) -> None:
        if not len(self.predicted) == len(self.confidence) == len(self.labels):
            raise ValueError("answers, confidences and labels are of the same images")

    @property
    def right(self) -> NDArray[np.bool_]:
        return self.predicted == self.labels

    @property
    def marks(self) -> Marks:
        return Marks(TopOne(), torch.from_numpy(self.right)[:, None].double())


@dataclass(frozen=True)
class Flips:
    """Numbers of images whose prediction changed: right to wrong, wrong to right, wrong to another wrong."""

    lost: tuple[int, ...]
    gained: tuple[int, ...]
    other: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.lost) + len(self.gained) + len(self.other)


def flips(before: Answers, after: Answers) -> Flips:
    """Raises ValueError where the answers are of different images."""
    _same(before, after)
    changed = before.predicted != after.predicted
    lost, gained = changed & before.right, changed & after.right

    def numbers(mask: NDArray[np.bool_]) -> tuple[int, ...]:
        return tuple(int(each) for each in np.flatnonzero(mask))

    return Flips(numbers(lost), numbers(gained), numbers(changed & ~lost & ~gained))


def compared(before: Answers, after: Answers) -> Drop:
    """The accuracy lost, paired, with its 95 % bounds."""
    found = flips(before, after)
    lost, gained, images = len(found.lost), len(found.gained), len(before.labels)
    return Drop((lost - gained) / images, *paired_bounds(lost, gained, images), lost, gained, images)


def damage(before: Answers, after: Answers, classes: Sequence[str]) -> tuple[PartLoss, ...]:
    """Class by class, those of which there are images; intervals are paired."""
    _same(before, after)
    found = ((name, before.labels == number) for number, name in enumerate(classes))
    return tuple(loss_in(name, mine, before.marks, after.marks) for name, mine in found if mine.any())


def confusion(answers: Answers, classes: int) -> NDArray[np.int64]:
    """(K, K) counts: rows are the right classes, columns what the network says."""
    flat = answers.labels.astype(np.int64) * classes + answers.predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def _same(before: Answers, after: Answers) -> None:
    if not np.array_equal(before.labels, after.labels):
        raise ValueError("both networks must have seen the same images")
