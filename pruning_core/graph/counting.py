"""From labels to closed forms: how many positions of every dimension remain after any plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pruning_core.graph.labels import Labelled, Plane, cover
from pruning_core.graph.layout import Count, Shape, Term


class Counter:
    """Numbers the distinct counts; ``unit`` maps labels to units of groups, -1 for what always stays."""

    def __init__(self, unit: Plane, group_of: NDArray[np.int64], group_sizes: Sequence[int]) -> None:
        self.unit, self.group_of, self.group_sizes = unit, group_of, group_sizes
        self.counts: list[Count] = []
        self._numbers: dict[object, int] = {}
        self._seen: dict[tuple[int, int], tuple[Plane, int | None]] = {}

    def count(self, plane: Plane, dim: int) -> int | None:
        """Number of the count along ``dim``; None when nothing along it can be removed."""
        key = (id(plane), dim)
        if key not in self._seen:
            self._seen[key] = (plane, self._count(plane, dim))  # holding the plane keeps its identity unique
        return self._seen[key][1]

    def _count(self, plane: Plane, dim: int) -> int | None:
        along = self.unit[plane[tuple(slice(None) if d == dim else 0 for d in range(plane.ndim))]]
        if along.max() < 0 or (cover(plane) != {dim} and (along == along[0]).all()):
            return None
        key = along.tobytes()
        if key not in self._numbers:
            count = self._closed(along)
            form = (count.full, count.each) if count.units is None else key
            self._numbers[key] = self._numbers.setdefault(form, len(self.counts))
            if self._numbers[key] == len(self.counts):
                self.counts.append(count)
        return self._numbers[key]

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
        fixed = 1
        for d, n in enumerate(x.shape):
            fixed *= 1 if x.over(d) else n
        return self.term(name, fixed, [(p, next(iter(cover(p)))) for p in x.planes])

    def shape(self, x: Labelled) -> Shape:
        """Sizes of a tensor with the counts of its dimensions."""
        return Shape(x.shape, tuple(self._along(x, d) for d in range(len(x.shape))))

    def _along(self, x: Labelled, dim: int) -> int:
        over = x.over(dim)
        number = self.count(over[0], dim) if over else None
        return -1 if number is None else number

    def sized(self, entries: Iterable[tuple[str, Labelled]]) -> Mapping[str, Mapping[int, frozenset[int]]]:
        """For every module, the sizes its code worked with and what they count; only where some can change."""
        found: dict[str, dict[int, set[int]]] = {}
        for owner, x in entries:
            for d, n in enumerate(x.shape):
                if n > 1:
                    found.setdefault(owner, {}).setdefault(n, set()).add(self._along(x, d))
        changing = {owner: {n: frozenset(c) for n, c in sizes.items() if c != {-1}} for owner, sizes in found.items()}
        return {owner: sizes for owner, sizes in changing.items() if sizes}
