"""All labels of a capture, the edges between them, and the units they resolve to.

Labels that must live and die together are joined by edges; the connected components are the units.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pruning_core.graph.labelling.labels import Labelled, Note, Origin, Plane, compress, cover, first_along, line

Edge = tuple[Plane, Plane]  # joined position by position, after broadcasting


@dataclass
class Universe:
    """All labels handed out during one capture, with edges, pins and constraints."""

    size: int = 0
    edges: list[Edge] = field(default_factory=list)
    sums: list[Edge] = field(default_factory=list)  # edges too: made where activations were added
    pins: list[Note] = field(default_factory=list)
    inexact: list[Note] = field(default_factory=list)
    rectangles: list[Plane] = field(default_factory=list)
    meetings: list[tuple[Plane, Plane, str]] = field(default_factory=list)
    repeats: list[tuple[int, int]] = field(default_factory=list)
    blocks: dict[int, tuple[Plane, int]] = field(default_factory=dict)  # by identity: vectors handed out, first labels
    operator: str = ""  # the operator whose rule is running, for the notes

    def fresh(self, count: int) -> Plane:
        labels = np.arange(self.size, self.size + count, dtype=np.int64)
        self.blocks[id(labels)] = labels, self.size
        self.size += count
        return labels

    def repetition(self, count: int) -> Plane:
        """Labels of the positions at which one value is repeated."""
        self.repeats.append((self.size, self.size + count))
        return self.fresh(count)

    def is_repetition(self, plane: Plane) -> bool:
        first = int(plane.flat[0])
        at = bisect_right(self.repeats, (first, self.size)) - 1
        return at >= 0 and first < self.repeats[at][1]

    def fresh_tensor(self, shape: Sequence[int], origin: Origin, *, zero: bool) -> Labelled:
        """One new plane per dimension longer than 1."""
        if len(shape) == 1:
            planes: tuple[Plane, ...] = (self.fresh(shape[0]),) if shape[0] > 1 else ()
        else:
            planes = tuple(line(self.fresh(n), d, len(shape)) for d, n in enumerate(shape) if n > 1)
        return Labelled(tuple(shape), planes, origin, zero)

    def link(self, a: Plane, b: Plane) -> None:
        """Labels at the same (broadcast) position live and die together."""
        if a is not b:
            self.edges.append((a, b))

    def meet(self, wide: Plane, narrow: Plane) -> None:
        """``narrow`` is used at every position of ``wide``, which varies along more dimensions.

        Either they are linked, or, where the labels of ``wide`` turn out not to vary along ``narrow`` (the width of
        attention heads that leave as a whole), ``narrow`` stays whole. Decided when everything is known.
        """
        if cover(wide) == cover(narrow):
            self.link(wide, narrow)
        else:
            self.meetings.append((wide, narrow, self.operator))

    def tie(self, plane: Plane, dims: Iterable[int]) -> Plane:
        """All labels along ``dims`` live and die together; the plane that is left of it."""
        dims = [d for d in dims if plane.shape[d] > 1]
        if not dims:
            return plane
        first = first_along(plane, dims)
        self.link(plane, first)
        return first

    def pin(self, planes: Iterable[Plane], reason: str) -> None:
        for plane in planes:
            self.pins.append(Note(plane.ravel(), self.operator, reason))

    def blur(self, plane: Plane, reason: str) -> None:
        """Removing a unit of this plane changes what the others compute."""
        self.inexact.append(self.note(plane, reason))

    def note(self, plane: Plane, reason: str) -> Note:
        return Note(plane.ravel(), self.operator, reason)

    def rectangle(self, plane: Plane) -> None:
        """What remains of this plane must be a rectangular block."""
        if len(cover(plane)) > 1:
            self.rectangles.append(plane)

    # -- resolving ----------------------------------------------------------------------------------------------------
    def resolve(self) -> Units:
        """Components of the edges, with ties added until every constraint holds.

        Of several dimensions that could stay free, the longest does: it gives the finest units.
        """
        component = self._merge(*self._joined_blocks())
        apart = component  # what would be units if nothing were added
        component = self._merge(component, self.sums)
        component = self._merge(component, self._decide_meetings(component))
        open_planes = self.rectangles
        while True:
            pins = Notes(self.pins, component)
            ties, open_planes = self._tie_rectangles(component, pins.noted, open_planes)
            if not ties:
                return Units(component, pins, Notes(self.inexact, component), self._coupled(component, apart))
            component = self._merge(component, ties)  # every pass merges labels, so this ends

    def _coupled(self, component: Plane, apart: Plane) -> NDArray[np.bool_]:
        """One flag per unit: whether an addition tied together what was apart."""
        coupled = np.zeros(int(component.max(initial=-1)) + 1, dtype=bool)
        for a, b in self.sums:
            different = apart[a] != apart[b]
            coupled[np.broadcast_to(component[a], different.shape)[different]] = True
        return coupled

    def _joined_blocks(self) -> tuple[Plane, list[Edge]]:
        """Components after joining every label of one block with its like in another, and the edges that are left.

        Most edges are of this kind: a weight's outputs, its bias and the norm behind it.
        """
        lead: dict[int, int] = {}  # first label of a block -> first label of an earlier block that it is joined with
        sizes: dict[int, int] = {}
        rest = []
        for a, b in self.edges:
            first = self._first_of_block(a), self._first_of_block(b)
            if None in first or a.shape != b.shape:
                rest.append((a, b))
                continue
            early, late = sorted(_last(lead, f) for f in first if f is not None)
            if early != late:
                lead[late] = early
            sizes[late] = a.size
        component = np.arange(self.size, dtype=np.int64)
        alone = np.ones(self.size, dtype=bool)
        for late in lead:
            early, size = _last(lead, late), sizes[late]
            component[late : late + size] = component[early : early + size]
            alone[late : late + size] = False
        return (np.cumsum(alone) - 1)[component], rest

    def _first_of_block(self, plane: Plane) -> int | None:
        """Where its labels begin, when it is a whole block in its order."""
        owner = plane if plane.base is None else plane.base
        _, first = self.blocks.get(id(owner), (None, None))
        whole = first is not None and plane.size == owner.size > 0 and plane.flags.c_contiguous
        return first if whole else None

    def _decide_meetings(self, component: Plane) -> list[Edge]:
        edges: list[Edge] = []
        for wide, narrow, operator in self.meetings:
            shared = cover(wide) & cover(narrow)
            units = component[wide]
            if shared and (units == first_along(units, shared)).all():
                self.pins.append(Note(narrow.ravel(), operator, "units that leave as a whole use all of it"))
            else:
                edges.append((wide, narrow))
        self.meetings.clear()
        return edges

    @staticmethod
    def _tie_rectangles(
        component: Plane, pinned: NDArray[np.bool_], planes: list[Plane]
    ) -> tuple[list[Edge], list[Plane]]:
        """New ties, and the planes to look at again; a plane that is rectangular once stays so under any merging."""
        touched = np.zeros(len(pinned), dtype=bool)
        ties: list[Edge] = []
        again = []
        for plane in planes:
            units = component[plane]
            if touched[units].any():
                again.append(plane)  # an earlier tie of this pass may already have settled it
                continue
            varying = compress(np.where(pinned[units], -1, units))
            live = sorted(cover(varying), key=lambda d: units.shape[d])
            if len(live) > 1:
                ties.append((plane, first_along(plane, live[:-1])))
                touched[units] = True
        return ties, again

    @staticmethod
    def _merge(component: Plane, edges: Sequence[Edge]) -> Plane:
        """``component`` after joining both ends of every edge."""
        if not edges:
            return component
        pairs = [pair for a, b in edges for pair in _aligned(a, b)]
        a = component[np.concatenate([p[0].ravel() for p in pairs])]
        b = component[np.concatenate([p[1].ravel() for p in pairs])]
        different = a != b
        a, b = a[different], b[different]
        count = int(component.max(initial=-1)) + 1
        graph = coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
        return connected_components(graph, directed=False)[1].astype(np.int64)[component]


def _last(lead: dict[int, int], first: int) -> int:
    """The end of a chain, which becomes shorter on the way."""
    while first in lead:
        lead[first] = lead.get(lead[first], lead[first])
        first = lead[first]
    return first


def _aligned(a: Plane, b: Plane) -> Iterator[Edge]:
    """Edges between planes of the same shape, as few as connect the same labels."""
    if a.shape == b.shape:
        yield a, b
        return
    only_a = [d for d in range(a.ndim) if b.shape[d] == 1]
    only_b = [d for d in range(a.ndim) if a.shape[d] == 1]
    for x, y in ((a, first_along(b, only_b)), (first_along(a, only_a), b)):
        x, y = np.broadcast_arrays(x, y)
        yield x, y


class Notes:
    """The first note on each unit."""

    def __init__(self, notes: Sequence[Note], component: Plane) -> None:
        self._notes = notes
        self._first = np.full(int(component.max(initial=-1)) + 1, -1, dtype=np.int64)
        for number in range(len(notes) - 1, -1, -1):
            self._first[component[notes[number].labels]] = number

    @cached_property
    def noted(self) -> NDArray[np.bool_]:
        """One flag per unit."""
        return self._first >= 0

    def of(self, unit: int) -> Note | None:
        return self._notes[self._first[unit]] if self._first[unit] >= 0 else None


@dataclass(frozen=True)
class Units:
    """The outcome: ``of[label]`` is the unit a label belongs to."""

    of: Plane
    pins: Notes
    inexact: Notes
    coupled: NDArray[np.bool_]  # one flag per unit: an addition ties together what would be several units

    @property
    def count(self) -> int:
        return len(self.pins.noted)

    @property
    def pinned(self) -> NDArray[np.bool_]:
        return self.pins.noted
