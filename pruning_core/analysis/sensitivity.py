"""The sensitivity sweep: what is left after removing a share of one group, really measured, for every group and ratio.

Images are in the outer loop and cells in the inner one, so only one batch of activations is alive, every cell has an
answer after the first batch, and its interval shrinks with every further one. The fast sweep measures fewer cells
(:mod:`bisection`) on fewer images. In a mended sweep what reads the group is refitted by least squares in every cell.
Source: Li et al. 2017 (arXiv 1608.08710), section 3.2; Han et al. 2015 (arXiv 1506.02626).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest
from pruning_core.analysis.rows import ENOUGH, Row
from pruning_core.datasets.dataset import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import check_scores
from pruning_core.measuring.marks import in_top5
from pruning_core.measuring.measure import Measure
from pruning_core.measuring.measures import TOP1, Accuracy, Cell
from pruning_core.measuring.registry import measure_of
from pruning_core.mending import Refits
from pruning_core.replay.scorers import Scorer, as_it_is, make_scorer, most
from pruning_core.storage.memory import out_of_memory

# The first batch is small, so that the first cells appear at once: so many images, and so many multiply-adds of theirs.
FIRST_IMAGES, FIRST_WORK = 128, 1 << 33
LEAST = 1 / 64  # a cell that costs nearly nothing still stops, at a quarter of the tolerance
FINER = 4  # a sweep whose cells may stop between batches takes them this much smaller, where they are large
CHECKED = 8  # one row of so many has an estimate checked


@dataclass(frozen=True)
class Exact:
    """Every cell on every image; the predictions are those of the really smaller network."""


@dataclass(frozen=True)
class Fast:
    """A cell stops when the 95 % interval of its drop is within ``tolerance`` to each side: a share of what counts as a
    whole by the measure, and of the images where they are right or wrong.

    Between two measured cells whose drops differ by no more than ``tolerance`` the others are estimated, unless there
    are very few images.
    Cells that cost a fraction c < 1 of the mean stop at ``tolerance`` times the cube root of c: with n images a cell
    errs as 1/sqrt(n) and costs c n, so the least error for the work has n ~ c^(-2/3), widths ~ c^(1/3).
    """

    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise UserError("The tolerance must lie between 0 and 1: 0.02 means two points of accuracy.")


@dataclass(frozen=True)
class LeftOut:
    """A group without cells: ``why`` no channel of it can be removed."""

    key: str
    why: str


@dataclass(frozen=True)
class NotMended:
    """A group that a mended sweep just cuts (its cells say so), or where it refits only some of the layers: ``why``."""

    key: str
    why: str
    partly: bool = False


def sweep(
    model: nn.Module,
    network: Network,
    dataset: Dataset,
    scores: Mapping[str, Tensor],
    ratios: Sequence[float],
    *,
    mode: Exact | Fast = Exact(),
    images: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
    past: Iterable[Cell] = (),
    refits: Refits | None = None,
    only: Collection[str] | None = None,
) -> Iterator[Accuracy | Cell | LeftOut | NotMended]:
    """Yield the unpruned accuracy and every cell, again and again, each time from more images.

    Before them, groups of which nothing can be removed: they have no cells; and those that ``refits`` cannot mend.

    In a fast sweep most cells are estimated from measured ones at first, and may be measured later.
    ``scores`` maps group keys to (C,) importances; the lowest go first. ``ratios`` are fractions removed, in [0, 1).
    ``images`` of the data set are used, in the order of ``seed``. ``past`` are cells of an earlier, stopped sweep with
    the same arguments: what they have seen is not computed again. A batch that does not fit into memory is halved.
    ``refits``, of the same network, mends every cell: its images should not be among those of ``dataset``.
    ``only`` the rows of these groups are measured, with the very cells that a sweep of all groups gives them.
    Raises UserError for a ratio outside [0, 1), an unknown group, a network that does not fit the data, or when not
    even a small batch fits.
    """
    for ratio in ratios:
        if not 0 <= ratio < 1:
            raise UserError(
                f"A ratio is the share of channels removed, from 0 up to but not including 1; not {ratio:g}."
            )
    where = choose_device(device)
    chosen = dataset if images is None else dataset.subset(images, seed)
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))
    example = chosen.normalised(chosen.images[order[:1]])
    measure, rough = measure_of(chosen), isinstance(mode, Fast)
    scorer = make_scorer(
        model, network, example, tuple(scores), where,
        rough=rough, refit=refits or as_it_is, decides=measure.decides, takes=measure.takes,
    )  # fmt: skip
    refusals = {key: scorer.refusal(key) if only is None or key in only else "" for key in scores}
    yield from (LeftOut(key, why) for key, why in refusals.items() if why)
    wanted = [key for key, why in refusals.items() if not why]
    if scores and not wanted:
        raise UserError(f"No channel of any of these groups can be removed. {next(iter(refusals.values()))}")
    mended = frozenset[str]() if refits is None else refits.mended
    if refits is not None:
        yield from (NotMended(key, refits.unmended[key]) for key in wanted if key in refits.unmended)
        yield from (NotMended(key, refits.partly[key], True) for key in wanted if key in refits.partly)
    base = _Base(chosen, len(order))
    rows = _rows(mode, scorer, network, wanted, ratios, tuple(past), len(order), seed, measure, base.whole)
    if only is not None:  # after all were made: what is enough for a row depends on what the others cost
        rows = [row for row in rows if row.group in only]
    size = batch_size or min(scorer.at_once, most(where) // (FINER if rough else 1))
    first = min(size, FIRST_IMAGES, max(2, FIRST_WORK // max(1, network.cost().macs)))
    drops = {
        (row.group, c.removed): (row.group, lowest(scores[row.group], c.removed)) for row in rows for c in row.counts
    }
    for event in _Sweep(chosen, order, scorer, rows, drops, base, isinstance(mode, Exact), where, size, first).run():
        if isinstance(event, Cell) and event.group in mended and event.removed:
            yield replace(event, mended=True)
        else:
            yield event


@dataclass
class _Sweep:
    """One pass over the images; ``size`` and ``first`` (images at once) shrink when memory is short."""

    chosen: Dataset
    order: Tensor
    scorer: Scorer
    rows: list[Row]
    drops: Mapping[tuple[str, int], tuple[str, tuple[int, ...]]]  # (group, channels removed) -> what goes
    base: _Base
    exact: bool
    where: str
    size: int
    first: int

    def run(self) -> Iterator[Accuracy | Cell]:
        start = 0
        while start < len(self.order):
            stop = self._until(start)
            if self.base.seen >= stop and not any(row.unseen(start) for row in self.rows):
                start = stop
                continue
            try:
                yield from self._batch(start, stop)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self.base.undo(start)
                self._halve(error)
                continue
            start = stop
            if not self.exact and all(row.finished for row in self.rows):
                break

    def _until(self, start: int) -> int:
        stop = min(start + (self.first if start == 0 else self.size), len(self.order))
        # a resumed cell that saw more than this waits until the others have caught up, to go on where it was
        return min([stop, *(c.place for row in self.rows for c in row.counts if not c.settled and c.place > start)])

    def _batch(self, start: int, stop: int) -> Iterator[Accuracy | Cell]:
        chunk = self.order[start:stop]
        x, labels = self.chosen.normalised(self.chosen.images[chunk]), self.chosen.labels[chunk]
        right = self.base.add(self.scorer.begin(x), labels)
        yield self.base.accuracy()
        for row in self.rows:
            while waiting := row.unseen(start):
                for count in waiting:
                    began = time.perf_counter()
                    drop = self.drops[row.group, count.removed]
                    count.add(self.scorer.scores(drop) if count.removed else self.base.last, labels, right)
                    count.seconds += time.perf_counter() - began
                    row.settle(count)
                    yield count.cell(row.group, len(self.order), exact=self.exact)
            yield from row.estimates(self.base.accuracy())

    def _halve(self, error: Exception) -> None:
        if self.size <= 4:
            raise UserError(
                "The memory is not enough for a batch of four images. Choose smaller images or another device."
            ) from error
        self.size, self.first = self.size // 2, min(self.first, self.size // 2)
        if self.where.startswith("cuda"):
            torch.cuda.empty_cache()


def _rows(
    mode: Exact | Fast,
    scorer: Scorer,
    network: Network,
    groups: Iterable[str],
    ratios: Sequence[float],
    past: tuple[Cell, ...],
    total: int,
    seed: int,
    measure: Measure,
    whole: float,
) -> list[Row]:
    groups = tuple(groups)
    if isinstance(mode, Exact):
        tolerance, alike = dict.fromkeys(groups, -1.0), None
    else:
        shares = {key: scorer.share(key) for key in groups}
        mean = sum(shares.values()) / max(1, len(shares)) or 1.0
        tolerance = {k: mode.tolerance * min(1.0, max(LEAST, share / mean)) ** (1 / 3) for k, share in shares.items()}
        alike = mode.tolerance if total >= 2 * ENOUGH else None
    every = min(CHECKED, max(1, len(groups)))
    return [
        Row.of(
            key,
            network.group(key).size,
            ratios,
            past,
            total=total,
            tolerance=tolerance[key],
            alike=alike,
            checked=number % every == seed % every,
            measure=measure,
            whole=whole,
        )
        for number, key in enumerate(groups)
    ]


class _Base:
    """The unpruned network on the images so far, one by one: what each adds to the measure."""

    def __init__(self, dataset: Dataset, total: int) -> None:
        self.name, self.total = f"{dataset.name} ({dataset.split})", total
        self.measure, self.classes = measure_of(dataset), len(dataset.classes)
        self.whole = self.measure.whole(dataset.labels)
        self.parts: list[tuple[Tensor, int, float]] = []  # rows, top-5, loss of each batch
        self.last = torch.empty(0)
        self.began = time.perf_counter()

    @property
    def seen(self) -> int:
        return sum(len(part[0]) for part in self.parts)

    def undo(self, start: int) -> None:
        while self.seen > start:
            self.parts.pop()

    def add(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Rows (n, k) of a batch; where images are right or wrong, which of them are right (n,)."""
        if self.measure.decides:
            check_scores(outputs, self.classes)
        rows = self.measure.rows(outputs, targets)
        loss = len(rows) * float(self.measure.loss(outputs.double(), targets))
        self.parts.append((rows, in_top5(outputs, targets) if self._in_top5 else 0, loss))
        self.last = outputs
        return rows[:, 0].bool() if self.measure.decides else rows

    @property
    def _in_top5(self) -> bool:
        return self.measure.key == TOP1 and self.classes > 5

    def accuracy(self) -> Accuracy:
        value, low, high = self.measure.of(torch.cat([part[0] for part in self.parts]))
        images = self.seen
        return Accuracy(
            top1=value,
            top5=sum(part[1] for part in self.parts) / images if self._in_top5 else None,
            loss=sum(part[2] for part in self.parts) / images,
            images=images,
            low=low,
            high=high,
            total=self.total,
            dataset=self.name,
            seconds=time.perf_counter() - self.began,
            measure=self.measure.key,
            whole=self.whole,
        )
