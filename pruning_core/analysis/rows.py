"""What a sweep knows of its cells while it goes on: counts by cell, and the cells of one group as a row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pruning_core.allocation.lowest import removed_count
from pruning_core.analysis.bisection import UNPRUNED, estimate, gaps, unlike
from pruning_core.measuring.intervals import paired_bounds, wilson
from pruning_core.measuring.marks import in_top5
from pruning_core.measuring.measure import Measure
from pruning_core.measuring.measures import TOP1, Accuracy, Cell, Drop

ENOUGH = 64  # images before a cell decides what is measured beside it


@dataclass
class Count:
    """What is known of one cell; ``images`` were seen from the place ``skipped`` of the order on."""

    ratio: float
    removed: int
    skipped: int = 0
    images: int = 0
    top1: int = 0
    top5: int = 0
    lost: int = 0
    gained: int = 0
    seconds: float = 0.0
    open: bool = False  # to be measured
    settled: bool = False
    between: tuple[float, float] | None = None
    key: str = TOP1  # of the measure

    @property
    def place(self) -> int:
        """How far in the order of the images."""
        return self.skipped + self.images

    @property
    def drop(self) -> float:
        return (self.lost - self.gained) / self.images

    def add(self, scores: Tensor, labels: Tensor, right: Tensor) -> None:
        """A batch's scores (n, K), and on which images the unpruned network is right (n,)."""
        now = scores.argmax(1) == labels
        self.images += len(labels)
        self.top1 += int(now.sum())
        self.top5 += in_top5(scores, labels)
        self.lost += int((right & ~now).sum())
        self.gained += int((now & ~right).sum())

    def narrow(self, tolerance: float, total: int) -> bool:
        """Whether the interval of the drop over the whole evaluation set is within ``tolerance`` to each side.

        It is the paired one, narrowed by the share of the ``total`` images already seen.
        """
        low, high = paired_bounds(self.lost, self.gained, self.images)
        left = math.sqrt((total - self.images) / max(1, total - 1))
        return (high - low) * left <= 2 * tolerance

    def cell(self, group: str, total: int, *, exact: bool) -> Cell:
        low, high = wilson(self.top1, self.images)
        drop_low, drop_high = paired_bounds(self.lost, self.gained, self.images)
        return Cell(
            group=group,
            ratio=self.ratio,
            removed=self.removed,
            top1=self.top1 / self.images,
            top5=self.top5 / self.images if self.key == TOP1 else None,
            images=self.images,
            low=low,
            high=high,
            drop=self.drop,
            drop_low=drop_low,
            drop_high=drop_high,
            lost=self.lost,
            gained=self.gained,
            exact=exact and self.images == total,
            seconds=self.seconds,
            skipped=self.skipped,
            between=self.between,
            measure=self.key,
        )

    def restore(self, cell: Cell) -> None:
        """Go on from a measured cell of an earlier sweep."""
        self.images, self.lost, self.gained, self.seconds = cell.images, cell.lost, cell.gained, cell.seconds
        self.top1, self.top5 = round(cell.top1 * cell.images), round((cell.top5 or 0) * cell.images)
        self.skipped, self.between, self.open = cell.skipped, cell.between, True


@dataclass
class Weighed(Count):
    """A cell whose images are not right or wrong: what each of them adds to ``measure``, here and unpruned."""

    measure: Measure | None = None
    whole: float = 1.0
    base: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)

    @property
    def drop(self) -> float:
        return self._lost().drop

    def add(self, scores: Tensor, labels: Tensor, right: Tensor) -> None:
        """A batch's outputs (n, …), what they are compared with, and the unpruned network's rows (n, k)."""
        assert self.measure is not None
        self.images += len(labels)
        self.base.append(right)
        self.rows.append(self.measure.rows(scores, labels))

    def narrow(self, tolerance: float, total: int) -> bool:
        """As of counted images; ``tolerance`` is a share of ``whole``."""
        lost = self._lost()
        left = math.sqrt((total - self.images) / max(1, total - 1))
        return (lost.high - lost.low) * left <= 2 * tolerance * self.whole

    def cell(self, group: str, total: int, *, exact: bool) -> Cell:
        assert self.measure is not None
        value, low, high = self.measure.of(torch.cat(self.rows))
        lost = self._lost()
        return Cell(
            group=group,
            ratio=self.ratio,
            removed=self.removed,
            top1=value,
            top5=None,
            images=self.images,
            low=low,
            high=high,
            drop=lost.drop,
            drop_low=lost.low,
            drop_high=lost.high,
            lost=0,
            gained=0,
            exact=exact and self.images == total,
            seconds=self.seconds,
            skipped=self.skipped,
            between=self.between,
            measure=self.measure.key,
        )

    def restore(self, cell: Cell) -> None:
        """Begin again: a cell does not tell what its images added."""

    def _lost(self) -> Drop:
        assert self.measure is not None
        return self.measure.drop(torch.cat(self.base), torch.cat(self.rows))


@dataclass
class Row:
    """The cells of one group, by rising ratio.

    ``alike``: drops that differ by no more have the cells between them estimated; None measures every cell.
    ``checked``: one cell that need not be measured still is to be, to see how good the estimates are.
    """

    group: str
    counts: list[Count]
    total: int  # images
    tolerance: float  # half width of an interval that is narrow enough; negative: none is
    alike: float | None
    checked: bool

    @staticmethod
    def of(
        group: str,
        size: int,
        ratios: Sequence[float],
        past: Iterable[Cell],
        *,
        total: int,
        tolerance: float,
        alike: float | None,
        checked: bool,
        measure: Measure | None = None,
        whole: float = 1.0,
    ) -> Row:
        """``measure``: what the outputs are judged by, by default the classes that labels name.

        ``tolerance`` and ``alike`` are shares of ``whole``, the difference that counts as one by that measure.
        """
        removed = [(ratio, removed_count(ratio, size)) for ratio in sorted(set(ratios))]
        if measure is None or measure.decides:
            counts = [Count(*each, key=measure.key if measure else TOP1) for each in removed]
        else:
            counts = [Weighed(*each, key=measure.key, measure=measure, whole=whole) for each in removed]
            alike = None if alike is None else alike * whole
        for count in counts:
            count.open = alike is None or count.removed == 0  # what removes nothing costs nothing
        row = Row(group, counts, total, tolerance, alike, checked)
        for cell in past:
            for count in counts:
                same = (cell.group, cell.ratio, cell.removed) == (group, count.ratio, count.removed)
                if same and cell.images > count.images:
                    count.restore(cell)
        for count in counts:
            count.settled = count.images > 0 and count.narrow(tolerance, total)
        row.checked = checked and all(count.between is None for count in counts)
        return row

    @property
    def finished(self) -> bool:
        return all(c.settled for c in self.counts if c.open)

    def unseen(self, start: int) -> list[Count]:
        """Cells that the batch from ``start`` on is to be run for, newly opened ones included."""
        self._open(start)
        return [c for c in self.counts if c.open and not c.settled and c.place <= start]

    def settle(self, count: Count) -> None:
        count.settled = count.narrow(self.tolerance, self.total)

    def _open(self, start: int) -> None:
        if self.alike is None or start > self.total // 2:
            return  # what is left would not tell more than the cells beside it
        if not self.counts[-1].open:
            self._add(len(self.counts) - 1, start)
        known = {i: c.drop for i, c in enumerate(self.counts) if c.settled or c.images >= ENOUGH}
        if len(known) < sum(c.open for c in self.counts):
            return  # the ends of some gap are not known well enough
        for place in unlike(known, self.alike):
            self._add(place, start)
        if self.checked and len(known) == sum(c.open for c in self.counts):
            self.checked = False
            for gap in sorted(gaps(known), key=lambda g: len(g.inside))[-1:]:  # the widest, if there is one
                self._add(gap.middle, start)
                left = 0.0 if gap.left == UNPRUNED else self.counts[gap.left].ratio
                self.counts[gap.middle].between = left, self.counts[gap.right].ratio

    def _add(self, place: int, start: int) -> None:
        self.counts[place].open, self.counts[place].skipped = True, start

    def estimates(self, base: Accuracy) -> Iterator[Cell]:
        """The cells that are not measured, from those that are; ``base``: the unpruned network so far."""
        seen = [i for i, c in enumerate(self.counts) if c.images]
        for gap in gaps(seen):
            right = self.counts[gap.right].cell(self.group, self.total, exact=False)
            left = unpruned(base)
            if gap.left != UNPRUNED:
                left = self.counts[gap.left].cell(self.group, self.total, exact=False)
            for count in self.counts[gap.left + 1 : gap.right]:
                if not count.open:
                    yield estimate(left, right, count.ratio, count.removed)


def unpruned(base: Accuracy) -> Cell:
    """The unpruned network as a cell at ratio 0."""
    return Cell(
        "", 0.0, 0, base.top1, base.top5, base.images, base.low, base.high, 0.0, 0.0, 0.0, 0, 0, False, 0.0,
        measure=base.measure,
    )  # fmt: skip
