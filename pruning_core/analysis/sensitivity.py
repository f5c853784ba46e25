"""The sensitivity sweep: real accuracies after removing a share of one group, for every group and ratio.

Images are in the outer loop and cells in the inner one, so only one batch of activations is alive, every cell has an
answer after the first batch, and its interval shrinks with every further one.
Source: Li et al. 2017 (arXiv 1608.08710), section 3.2; Han et al. 2015 (arXiv 1506.02626).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.analysis.device import choose_device
from pruning_core.analysis.intervals import paired_bounds, wilson
from pruning_core.analysis.measures import Accuracy, Cell
from pruning_core.analysis.memory import out_of_memory
from pruning_core.analysis.scorers import Scorer, make_scorer, most
from pruning_core.datasets.dataset import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network

# The first batch is small, so that the first cells appear at once: so many images, and so many multiply-adds of theirs.
FIRST_IMAGES, FIRST_WORK = 128, 1 << 33
LEAST = 1 / 64  # a cell that costs nearly nothing still stops, at a quarter of the tolerance
FINER = 4  # a sweep whose cells may stop between batches takes them this much smaller, where they are large


@dataclass(frozen=True)
class Exact:
    """Every cell on every image; the predictions are those of the really smaller network."""


@dataclass(frozen=True)
class Fast:
    """A cell stops when the 95 % interval of its drop is within ``tolerance`` (a share of the images) to each side.

    Cells that cost a fraction c < 1 of the mean stop at ``tolerance`` times the cube root of c: with n images a cell
    errs as 1/sqrt(n) and costs c n, so the least error for the work has n ~ c^(-2/3), widths ~ c^(1/3).
    """

    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise UserError("The tolerance must lie between 0 and 1: 0.02 means two points of accuracy.")


@dataclass
class _Count:
    """What is known of one cell."""

    removed: int
    images: int = 0
    top1: int = 0
    top5: int = 0
    lost: int = 0
    gained: int = 0
    seconds: float = 0.0
    settled: bool = False


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
) -> Iterator[Accuracy | Cell]:
    """Yield the unpruned accuracy and every cell, again and again, each time from more images.

    ``scores`` maps group keys to (C,) importances; the lowest go first. ``ratios`` are fractions removed, in [0, 1).
    ``images`` of the data set are used, in the order of ``seed``. ``past`` are cells of an earlier, stopped sweep with
    the same arguments: what they have seen is not computed again. A batch that does not fit into memory is halved.
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
    counts = {(key, ratio): _Count(removed_count(ratio, network.group(key).size)) for key in scores for ratio in ratios}
    _restore(counts, past)
    drops = {(key, ratio): (key, lowest(scores[key], c.removed)) for (key, ratio), c in counts.items()}
    example = chosen.normalised(chosen.images[order[:1]])
    scorer = make_scorer(model, network, example, tuple(scores), where, rough=isinstance(mode, Fast))
    limits = _limits(mode, scorer, tuple(scores))
    total = len(order)
    for (key, _), count in counts.items():
        count.settled = count.images > 0 and _narrow(count, limits[key], total)
    size = batch_size or min(scorer.at_once, most(where) // (FINER if isinstance(mode, Fast) else 1))
    first = min(size, FIRST_IMAGES, max(2, FIRST_WORK // max(1, network.cost().macs)))
    base = _Base(chosen, total)
    start = 0
    while start < total:
        stop = min(start + (first if start == 0 else size), total)
        # a resumed cell that saw more than this waits until the others have caught up, to go on where it was
        stop = min([stop, *(c.images for c in counts.values() if not c.settled and c.images > start)])
        waiting = [cell for cell, c in counts.items() if not c.settled and c.images <= start]
        if not waiting and base.seen >= stop:
            start = stop
            continue
        rows = order[start:stop]
        x, labels = chosen.normalised(chosen.images[rows]), chosen.labels[rows]
        try:
            right = base.add(scorer.begin(x), labels)
            yield base.accuracy()
            for cell in waiting:
                count = counts[cell]
                began = time.perf_counter()
                if count.removed:
                    _add(count, scorer.scores(drops[cell]), labels, right)
                else:
                    _add(count, base.last, labels, right)
                count.seconds += time.perf_counter() - began
                count.settled = _narrow(count, limits[cell[0]], total)
                yield _cell(cell, count, total, isinstance(mode, Exact))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            base.undo(start)
            if size <= 4:
                raise UserError(
                    "The memory is not enough for a batch of four images. Choose smaller images or another device."
                ) from error
            size, first = size // 2, min(first, size // 2)
            if where.startswith("cuda"):
                torch.cuda.empty_cache()
            continue
        start = stop
        if isinstance(mode, Fast) and all(c.settled for c in counts.values()):
            break


def _limits(mode: Exact | Fast, scorer: Scorer, groups: Sequence[str]) -> dict[str, float]:
    """By group, the half width of an interval that is narrow enough; nothing is in an exact sweep."""
    if isinstance(mode, Exact):
        return dict.fromkeys(groups, -1.0)
    shares = {key: scorer.share(key) for key in groups}
    mean = sum(shares.values()) / max(1, len(shares)) or 1.0
    return {key: mode.tolerance * min(1.0, max(LEAST, share / mean)) ** (1 / 3) for key, share in shares.items()}


class _Base:
    """The unpruned network on the images so far."""

    def __init__(self, dataset: Dataset, total: int) -> None:
        self.name, self.total = f"{dataset.name} ({dataset.split})", total
        self.parts: list[tuple[int, int, int, float]] = []  # images, top-1, top-5, loss of each batch
        self.last = torch.empty(0)
        self.classes = len(dataset.classes)
        self.began = time.perf_counter()

    @property
    def seen(self) -> int:
        return sum(p[0] for p in self.parts)

    def undo(self, start: int) -> None:
        while self.seen > start:
            self.parts.pop()

    def add(self, scores: Tensor, labels: Tensor) -> Tensor:
        if scores.dim() != 2 or scores.shape[1] != self.classes:
            raise UserError(
                f"The network's output has shape {tuple(scores.shape)}; the data needs one score for each of "
                f"{self.classes} classes. Choose data and a network with the same classes."
            )
        right = scores.argmax(1) == labels
        loss = float(torch.nn.functional.cross_entropy(scores.double(), labels, reduction="sum"))
        self.parts.append((len(labels), int(right.sum()), _top5(scores, labels), loss))
        self.last = scores
        return right

    def accuracy(self) -> Accuracy:
        n, one, five, loss = (sum(p[i] for p in self.parts) for i in range(4))
        low, high = wilson(int(one), int(n))
        return Accuracy(
            top1=one / n,
            top5=five / n if self.classes > 5 else None,
            loss=loss / n,
            images=int(n),
            low=low,
            high=high,
            total=self.total,
            dataset=self.name,
            seconds=time.perf_counter() - self.began,
        )


def _top5(scores: Tensor, labels: Tensor) -> int:
    if scores.shape[1] <= 5:
        return 0
    return int((scores.topk(5, 1).indices == labels[:, None]).any(1).sum())


def _add(count: _Count, scores: Tensor, labels: Tensor, right: Tensor) -> None:
    now = scores.argmax(1) == labels
    count.images += len(labels)
    count.top1 += int(now.sum())
    count.top5 += _top5(scores, labels)
    count.lost += int((right & ~now).sum())
    count.gained += int((now & ~right).sum())


def _bounds(count: _Count, total: int) -> tuple[float, float]:
    """Interval of the drop over the whole evaluation set: the paired one, narrowed by the share already seen."""
    low, high = paired_bounds(count.lost, count.gained, count.images)
    drop = (count.lost - count.gained) / count.images
    left = math.sqrt((total - count.images) / max(1, total - 1))
    return drop - (drop - low) * left, drop + (high - drop) * left


def _narrow(count: _Count, tolerance: float, total: int) -> bool:
    low, high = _bounds(count, total)
    return high - low <= 2 * tolerance


def _cell(cell: tuple[str, float], c: _Count, total: int, exact: bool) -> Cell:
    low, high = wilson(c.top1, c.images)
    drop_low, drop_high = paired_bounds(c.lost, c.gained, c.images)
    return Cell(
        group=cell[0],
        ratio=cell[1],
        removed=c.removed,
        top1=c.top1 / c.images,
        top5=c.top5 / c.images,
        images=c.images,
        low=low,
        high=high,
        drop=(c.lost - c.gained) / c.images,
        drop_low=drop_low,
        drop_high=drop_high,
        lost=c.lost,
        gained=c.gained,
        exact=exact and c.images == total,
        seconds=c.seconds,
    )


def _restore(counts: dict[tuple[str, float], _Count], past: Iterable[Cell]) -> None:
    for cell in past:
        count = counts.get((cell.group, cell.ratio))
        if count is not None and cell.images > count.images and cell.removed == count.removed:
            counts[cell.group, cell.ratio] = replace(
                count,
                images=cell.images,
                top1=round(cell.top1 * cell.images),
                top5=round((cell.top5 or 0) * cell.images),
                lost=cell.lost,
                gained=cell.gained,
                seconds=cell.seconds,
            )
