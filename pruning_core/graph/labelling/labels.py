"""Integer unit labels on every dimension of every tensor.

A tensor's labels are *planes*: integer arrays that broadcast to its shape. An element is alive when every plane's
label at its position is alive, so one plane per labelled dimension is the usual case, and a plane that varies along
several dimensions appears when a labelled dimension is split (attention heads, channel shuffles).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.int64]


class Origin(Enum):
    """Where a tensor's values come from: decides which side of a product is silenced."""

    CONSTANT = 0
    PARAMETER = 1
    ACTIVATION = 2


@dataclass(frozen=True)
class Note:
    """Why some labels are pinned or inexact."""

    labels: Plane
    operator: str
    reason: str


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labels of one tensor; every plane has as many dimensions as the tensor, each full or 1.

    ``zero``: where a unit is silenced at its source (its weights and biases are zero), its values here are zero.
    ``debts``: what is inexact about these labels as soon as anything reads the tensor.
    """

    shape: tuple[int, ...]
    planes: tuple[Plane, ...] = ()
    origin: Origin = Origin.CONSTANT
    zero: bool = False
    debts: tuple[Note, ...] = ()

    def over(self, dim: int) -> list[Plane]:
        """Planes that vary along ``dim``."""
        return [p for p in self.planes if p.shape[dim] > 1]

    def to(self, shape: Sequence[int], planes: Sequence[Plane]) -> Labelled:
        """The same values in another place."""
        return Labelled(tuple(shape), tuple(planes), self.origin, self.zero)


def cover(plane: Plane) -> frozenset[int]:
    """Dimensions along which a plane is not broadcast."""
    return _longer_than_one(plane.shape)


@lru_cache(maxsize=4096)
def _longer_than_one(shape: tuple[int, ...]) -> frozenset[int]:
    return frozenset([i for i, n in enumerate(shape) if n > 1])


def first_along(plane: Plane, dims: Collection[int]) -> Plane:
    """The plane at position 0 of ``dims``, which stay as dimensions of size 1."""
    return plane[tuple(slice(0, 1) if d in dims else slice(None) for d in range(plane.ndim))]


def compress(plane: Plane) -> Plane:
    """Collapse the dimensions along which the labels do not change."""
    for d in range(plane.ndim):
        if plane.shape[d] > 1:
            first = first_along(plane, (d,))
            if (plane == first).all():
                plane = first
    return plane


def line(labels: Plane, dim: int, ndim: int) -> Plane:
    """A vector of labels laid along ``dim`` of an ``ndim``-dimensional tensor."""
    return labels.reshape((1,) * dim + (-1,) + (1,) * (ndim - dim - 1))
