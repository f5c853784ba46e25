"""From labels to closed forms: how many positions of every dimension remain after any plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from pruning_core.graph.capturing.passage import Passage
from pruning_core.graph.labelling.contract import Product
from pruning_core.graph.labelling.labels import Labelled, Plane, cover
from pruning_core.graph.layout import Count, LayerShape, Shape, Sizes, TensorTerm, Term


class Counter:
    """Numbers the distinct counts; ``unit`` maps labels to units of groups, -1 for what always stays."""

    def __init__(self, unit: Plane, group_of: NDArray[np.int64], group_sizes: Sequence[int]) -> None:
        self.unit, self.group_of, self.group_sizes = unit, group_of, group_sizes
        self.counts: list[Count] = []
        self._numbers: dict[bytes, int | None] = {}  # by the units along a dimension
        self._forms: dict[object, int] = {}  # by what the count says
        self._seen: dict[tuple[int, int], tuple[Plane, int | None]] = {}

    def count(self, plane: Plane, dim: int) -> int | None:
        """Number of the count along ``dim``; None when nothing along it can be removed."""
        key = (id(plane), dim)
        if key not in self._seen:
            self._seen[key] = (plane, self._count(plane, dim))  # holding the plane keeps its identity unique
        return self._seen[key][1]

    def _count(self, plane: Plane, dim: int) -> int | None:
        alone = plane.size == plane.shape[dim]
        along = self.unit[plane.ravel() if alone else plane[_line_along(plane.ndim, dim)]]
        if not alone and (along == along[0]).all():
            return None
        key = along.tobytes()
        if key not in self._numbers:
            self._numbers[key] = self._number(along, key)
        return self._numbers[key]

    def _number(self, along: NDArray[np.int64], key: bytes) -> int | None:
        if along.max() < 0:
            return None
        count = self._closed(along)
        number = self._forms.setdefault((count.full, count.each) if count.units is None else key, len(self.counts))
        if number == len(self.counts):
            self.counts.append(count)
        return number

    def _closed(self, along: NDArray[np.int64]) -> Count:
        units, times = np.unique(along[along >= 0], return_counts=True)
        groups = self.group_of[units]
        each = []
        for g in np.unique(groups).tolist():
            own = times[groups == g]
            if len(own) != self.group_sizes[g] or (own != own[0]).any():
                return Count(len(along), (), np.ascontiguousarray(along))
            each.append((g, int(own[0])))
        return Count(len(along), tuple(each))

    def term(self, owner: str, factor: int, counts: Iterable[tuple[Plane, int]]) -> Term:
        """A product of counts; what cannot change joins the factor."""
        numbers = []
        for plane, dim in counts:
            number = self.count(plane, dim)
            if number is None:
                factor *= plane.shape[dim]
            else:
                numbers.append(number)
        return Term(owner, factor, tuple(numbers))

    def size(self, name: str, x: Labelled) -> Term:
        """Number of elements of a parameter or buffer."""
        counts = [(p, d) for p in x.planes for d in cover(p)]
        return self.term(name, prod(x.shape) // prod(x.shape[d] for _, d in counts), counts)

    def shape(self, x: Labelled) -> Shape:
        """Sizes of a tensor with the counts of its dimensions."""
        numbers: dict[int, int | None] = {}
        for plane in x.planes:
            for d in cover(plane):
                if d not in numbers:  # the first plane along a dimension counts it
                    numbers[d] = self.count(plane, d)
        return Shape(x.shape, tuple(-1 if (n := numbers.get(d)) is None else n for d in range(len(x.shape))))

    def sized(self, entries: Iterable[tuple[str, Labelled]]) -> Mapping[str, Mapping[int, frozenset[int]]]:
        """For every module, the sizes its code worked with and what they count; only where some can change."""
        found: dict[str, dict[int, set[int]]] = {}
        for owner, x in entries:
            for n, number in zip(x.shape, self.shape(x).counts):
                if n > 1:
                    found.setdefault(owner, {}).setdefault(n, set()).add(number)
        changing = {owner: {n: frozenset(c) for n, c in sizes.items() if c != {-1}} for owner, sizes in found.items()}
        return {owner: sizes for owner, sizes in changing.items() if sizes}


@dataclass(frozen=True)
class Measures:
    """What a recording knows of sizes, without anything that belongs to the model."""

    unit: Plane  # of every label, -1 for what always stays
    group_of: NDArray[np.int64]
    group_sizes: tuple[int, ...]
    tensors: tuple[tuple[str, Labelled, int, bool], ...]  # name, labels, bytes per element, whether it is a parameter
    products: tuple[Product, ...]
    passages: tuple[Passage, ...]
    sized: tuple[tuple[str, Labelled], ...]

    def sizes(self) -> Sizes:
        counter = Counter(self.unit, self.group_of, self.group_sizes)
        return Sizes(
            products=tuple(counter.term(p.owner, p.factor, p.counts) for p in self.products),
            tensors=tuple(TensorTerm(n, counter.size(n, x), width, own) for n, x, width, own in self.tensors),
            layers=tuple(
                LayerShape(p.module, p.kind, counter.shape(p.read), counter.shape(p.wrote)) for p in self.passages
            ),
            sized=counter.sized(self.sized),
            counts=tuple(counter.counts),
        )


@lru_cache(maxsize=256)
def _line_along(ndim: int, dim: int) -> tuple[slice | int, ...]:
    return tuple(slice(None) if d == dim else 0 for d in range(ndim))
