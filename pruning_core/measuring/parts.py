"""What parts of the images lose by any measure: each class, or groups that somebody names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray

from pruning_core.measuring.marks import Marks
from pruning_core.measuring.measure import Measure
from pruning_core.measuring.measures import Drop
from pruning_core.numeric.average_precision import of_class, to_find

FEWEST = 8  # images: bootstrap samples of fewer give an interval too narrow to be believed


@dataclass(frozen=True)
class PartLoss:
    """One part of the images: what each network is worth on it alone, and what is lost on it, with 95 % bounds."""

    name: str
    before: float
    after: float
    drop: Drop


def loss_in(name: str, mine: NDArray[np.bool_], before: Marks, after: Marks) -> PartLoss:
    """Of the images that ``mine`` (N,) is true for, at least one."""
    chosen = torch.from_numpy(mine)
    first, second = (Marks(each.measure, each.rows[chosen]) for each in (before, after))
    worth, left = (each.measure.of(each.rows)[0] for each in (first, second))
    return PartLoss(name, worth, left, first.drop(second))


def losses_in(before: Marks, after: Marks, groups: Sequence[str]) -> tuple[PartLoss, ...]:
    """For groups that somebody names, one for each image, in the order in which they appear; "" is none.

    Left out are those of fewer images than ``fewest``, and those of which the measure can tell nothing (such as the
    area under a curve where all answers are yes). Raises ValueError where a group is missing.
    """
    given = np.array(groups, dtype=object)
    if not len(given) == len(before) == len(after):
        raise ValueError("every image needs a group, or none by an empty name")
    parts = ((name, given == name) for name in dict.fromkeys(groups) if name)
    large = ((name, mine) for name, mine in parts if mine.sum() >= fewest(before.measure))
    told = ((name, mine) for name, mine in large if _told(before, mine) and _told(after, mine))
    return tuple(loss_in(name, mine, before, after) for name, mine in told)


def losses_by_category(before: Marks, after: Marks, categories: Sequence[str]) -> tuple[PartLoss, ...]:
    """Of each category of boxes as if there were no others, in their order, by a measure of boxes.

    Left out are those of which fewer images hold something than have an interval.
    """
    told = []
    for kind, name in enumerate(categories):
        first, second = (Marks(each.measure, of_class(each.rows, kind)) for each in (before, after))
        if int((to_find(first.rows) > 0).sum()) >= FEWEST:
            even = torch.ones(1, len(first.rows), dtype=torch.float64)
            worth, left = (float(each.measure.value(each.rows, even)) for each in (first, second))
            told.append(PartLoss(name, worth, left, first.drop(second)))
    return tuple(told)


def _told(marks: Marks, mine: NDArray[np.bool_]) -> bool:
    rows = marks.rows[torch.from_numpy(mine)]
    return isfinite(float(marks.measure.value(rows, torch.ones(1, len(rows), dtype=torch.float64))))


def fewest(measure: Measure) -> int:
    """Images that a part must have for an interval: any number where there is a formula for it."""
    return 1 if measure.decides else FEWEST


def fallen(before: Marks, after: Marks) -> NDArray[np.float64] | None:
    """(N,): how much worse each image is by itself, negative where it is better; None where no image has a value."""
    first, second = (each.measure.each(each.rows) for each in (before, after))
    if first is None or second is None:
        return None
    return (first - second if before.measure.rises else second - first).double().numpy()
