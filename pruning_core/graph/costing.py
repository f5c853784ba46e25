"""The layout's terms as arrays, so that the cost of a plan is one small product of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pruning_core.graph.layout import Sizes, Term
from pruning_core.graph.plan import Plan

Keep = Callable[[Plan], NDArray[np.bool_]]  # flags of the units that stay


@dataclass(frozen=True)
class Sums:
    """``each`` is (counts, groups): positions lost per unit that a group loses."""

    groups: dict[str, int]
    full: NDArray[np.int64]
    each: NDArray[np.int64]
    irregular: tuple[tuple[int, NDArray[np.int64]], ...]
    mac_factor: NDArray[np.int64]
    mac_counts: NDArray[np.int64]
    size_factor: NDArray[np.int64]
    size_counts: NDArray[np.int64]
    trainable: NDArray[np.int64]
    itemsize: NDArray[np.int64]

    @staticmethod
    def of(sizes: Sizes, keys: Sequence[str]) -> Sums:
        each = np.zeros((len(sizes.counts), len(keys)), dtype=np.int64)
        for i, count in enumerate(sizes.counts):
            for group, positions in count.each:
                each[i, group] = positions
        return Sums(
            {key: i for i, key in enumerate(keys)},
            np.array([c.full for c in sizes.counts], dtype=np.int64),
            each,
            tuple((i, c.units) for i, c in enumerate(sizes.counts) if c.units is not None),
            *_table(sizes.products, len(sizes.counts)),
            *_table([t.term for t in sizes.tensors], len(sizes.counts)),
            np.array([t.trainable for t in sizes.tensors], dtype=np.int64),
            np.array([t.itemsize for t in sizes.tensors], dtype=np.int64),
        )

    def remaining(self, plan: Plan, keep: Keep) -> NDArray[np.int64]:
        """The value of every count under ``plan``, and a last 1."""
        lost = np.zeros(len(self.groups), dtype=np.int64)
        for key, units in plan.items():
            lost[self.groups[key]] = len(units)
        counts = self.full - self.each @ lost
        if self.irregular and plan:
            alive = keep(plan)
            for i, unit_of in self.irregular:
                counts[i] = np.count_nonzero(alive[unit_of])
        return np.append(counts, 1)

    def macs(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Per product, for the whole batch."""
        return self.mac_factor * counts[self.mac_counts].prod(axis=1, dtype=np.int64)

    def sizes(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Elements per parameter and buffer."""
        return self.size_factor * counts[self.size_counts].prod(axis=1, dtype=np.int64)


def _table(terms: Sequence[Term], one: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Factors, and count numbers filled up with ``one``, the number of a count that is always 1."""
    width = max((len(t.counts) for t in terms), default=0)
    rows = [list(t.counts) + [one] * (width - len(t.counts)) for t in terms]
    return np.array([t.factor for t in terms], dtype=np.int64), np.array(rows, dtype=np.int64).reshape(
        len(terms), width
    )
