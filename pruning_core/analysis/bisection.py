"""Which cells of a sweep are worth measuring, when few will do.

A row holds the cells of one group by rising ratio; before the first stands the unpruned network, which loses nothing.
The last cell is measured first. Between two measured ones that lose about the same, the others are estimated along a
straight line; elsewhere the middle one is measured too, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from pruning_core.measuring.measures import Cell

UNPRUNED = -1  # its position in a row


@dataclass(frozen=True)
class Gap:
    """Cells that are not measured, between two positions that are."""

    left: int
    right: int

    @property
    def inside(self) -> range:
        return range(self.left + 1, self.right)

    @property
    def middle(self) -> int:
        return (self.left + self.right) // 2


def gaps(measured: Iterable[int]) -> list[Gap]:
    """Of a row whose positions ``measured`` are measured."""
    return [Gap(a, b) for a, b in pairwise([UNPRUNED, *sorted(measured)]) if b - a > 1]


def unlike(drops: Mapping[int, float], alike: float) -> list[int]:
    """Middles of the gaps whose ends differ by more than ``alike``; ``drops`` by measured position."""
    return [gap.middle for gap in gaps(drops) if abs(drops[gap.right] - drops.get(gap.left, 0.0)) > alike]


def straight(ratio: float, ends: tuple[float, float], values: tuple[float, float]) -> float:
    """What a straight line through both ends has at ``ratio``."""
    return values[0] + (ratio - ends[0]) / (ends[1] - ends[0]) * (values[1] - values[0])


def estimate(left: Cell, right: Cell, ratio: float, removed: int) -> Cell:
    """A cell on the straight line between two measured ones of its group; its intervals cover both of theirs."""
    ends = left.ratio, right.ratio
    top5 = None if left.top5 is None or right.top5 is None else straight(ratio, ends, (left.top5, right.top5))
    return Cell(
        group=right.group,
        ratio=ratio,
        removed=removed,
        top1=straight(ratio, ends, (left.top1, right.top1)),
        top5=top5,
        images=0,
        low=min(left.low, right.low),
        high=max(left.high, right.high),
        drop=straight(ratio, ends, (left.drop, right.drop)),
        drop_low=min(left.drop_low, right.drop_low),
        drop_high=max(left.drop_high, right.drop_high),
        lost=0,
        gained=0,
        exact=False,
        seconds=0.0,
        between=ends,
        measure=right.measure,
    )


def errors(cells: Iterable[Cell]) -> list[float]:
    """How far off estimates of drops are, in [0, 1]: one for each cell that was measured though it need not be."""
    measured = [cell for cell in cells if not cell.estimated]
    drops = {(cell.group, cell.ratio): cell.drop for cell in measured}
    found = []
    for cell in measured:
        if cell.between is None:
            continue
        left, right = (drops.get((cell.group, end)) for end in cell.between)
        if left is None and cell.between[0] == 0:
            left = 0.0  # the unpruned network
        if left is not None and right is not None:
            found.append(abs(straight(cell.ratio, cell.between, (left, right)) - cell.drop))
    return found
