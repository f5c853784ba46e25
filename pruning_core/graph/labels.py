"""Integer unit labels on every dimension of every tensor, and the edges between them.

A tensor's labels are *planes*: integer arrays that broadcast to its shape. An element is alive when every plane's
label at its position is alive, so one plane per labelled dimension is the usual case, and a plane that varies along
several dimensions appears when a labelled dimension is split (attention heads, channel shuffles).
Labels that must live and die together are joined by edges; the connected components are the units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Plane = NDArray[np.int64]


class Origin(Enum):
    """Where a tensor's values come from: decides which side of a product is silenced."""

    CONSTANT = 0
    PARAMETER = 1
    ACTIVATION = 2


@dataclass(frozen=True)
class Labelled:
    """The labels of one tensor; every plane has as many dimensions as the tensor, each full or 1."""

    shape: tuple[int, ...]
    planes: tuple[Plane, ...] = ()
    origin: Origin = Origin.CONSTANT

    def over(self, dim: int) -> list[Plane]:
        """Planes that vary along ``dim``."""
        return [p for p in self.planes if p.shape[dim] > 1]


def cover(plane: Plane) -> frozenset[int]:
    """Dimensions along which a plane is not broadcast."""
    return frozenset(i for i, n in enumerate(plane.shape) if n > 1)


def compress(plane: Plane) -> Plane:
    """Collapse the dimensions along which the labels do not change."""
    for d in range(plane.ndim):
        if plane.shape[d] > 1:
            first = plane[(slice(None),) * d + (slice(0, 1),)]
            if (plane == first).all():
                plane = first
    return plane


def line(labels: Plane, dim: int, ndim: int) -> Plane:
    """A vector of labels laid along ``dim`` of an ``ndim``-dimensional tensor."""
    return labels.reshape([-1 if i == dim else 1 for i in range(ndim)])


@dataclass
class Note:
    """Why some labels are pinned or inexact."""

    labels: Plane
    operator: str
    reason: str


@dataclass
class Universe:
    """All labels handed out during one capture, with edges, pins and rectangularity constraints."""

    size: int = 0
    edges: list[tuple[Plane, Plane]] = field(default_factory=list)
    pins: list[Note] = field(default_factory=list)
    inexact: list[Note] = field(default_factory=list)
    rectangles: list[Plane] = field(default_factory=list)
    operator: str = ""  # the operator whose rule is running, for the notes

    def fresh(self, count: int) -> Plane:
        labels = np.arange(self.size, self.size + count, dtype=np.int64)
        self.size += count
        return labels

    def fresh_tensor(self, shape: Sequence[int], origin: Origin) -> Labelled:
        """One new plane per dimension longer than 1."""
        planes = tuple(line(self.fresh(n), d, len(shape)) for d, n in enumerate(shape) if n > 1)
        return Labelled(tuple(shape), planes, origin)

    def link(self, a: Plane, b: Plane) -> None:
        """Labels at the same (broadcast) position live and die together."""
        if a.shape != b.shape:
            a, b = np.broadcast_arrays(a, b)
        self.edges.append((a.ravel(), b.ravel()))

    def tie(self, plane: Plane, dims: Iterable[int]) -> None:
        """All labels along ``dims`` live and die together."""
        dims = [d for d in dims if plane.shape[d] > 1]
        if dims:
            first = plane[tuple(slice(0, 1) if d in dims else slice(None) for d in range(plane.ndim))]
            self.link(plane, first)

    def pin(self, planes: Iterable[Plane], reason: str) -> None:
        for plane in planes:
            self.pins.append(Note(plane.ravel(), self.operator, reason))

    def blur(self, plane: Plane, reason: str) -> None:
        """Removing a unit of this plane changes what the others compute."""
        self.inexact.append(Note(plane.ravel(), self.operator, reason))

    def rectangle(self, plane: Plane) -> None:
        """What remains of this plane must be a rectangular block."""
        if len(cover(plane)) > 1:
            self.rectangles.append(plane)

    def resolve(self) -> Units:
        """Components of the edges, with ties added until every constraint on rectangles holds.

        Of several dimensions that could stay free, the longest does: it gives the finest units.
        """
        component = self._components()
        for _ in range(256):
            pinned = np.zeros(int(component.max(initial=-1)) + 1, dtype=bool)
            for note in self.pins:
                pinned[component[note.labels]] = True
            touched = np.zeros(len(pinned), dtype=bool)
            changed = False
            for plane in self.rectangles:
                units = component[plane]
                if touched[units].any():
                    continue  # an earlier tie of this pass may already have settled it
                live = sorted(cover(compress(np.where(pinned[units], -1, units))), key=lambda d: units.shape[d])
                if len(live) > 1:
                    self.tie(plane, live[:-1])
                    touched[units] = True
                    changed = True
            if not changed:
                return Units(component, pinned, self._first_notes(self.pins, component),
                             self._first_notes(self.inexact, component))
            component = self._components()
        raise RuntimeError("the rectangularity constraints did not settle")  # each pass merges labels: unreachable

    def _components(self) -> Plane:
        if not self.edges:
            return np.arange(self.size, dtype=np.int64)
        a = np.concatenate([e[0] for e in self.edges])
        b = np.concatenate([e[1] for e in self.edges])
        graph = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(self.size, self.size))
        return connected_components(graph, directed=False)[1].astype(np.int64)

    @staticmethod
    def _first_notes(notes: list[Note], component: Plane) -> dict[int, Note]:
        first: dict[int, Note] = {}
        for note in notes:
            for c in np.unique(component[note.labels]).tolist():
                first.setdefault(c, note)
        return first


@dataclass(frozen=True)
class Units:
    """The outcome: ``of[label]`` is the unit a label belongs to."""

    of: Plane
    pinned: NDArray[np.bool_]
    pin_notes: dict[int, Note]
    inexact_notes: dict[int, Note]
