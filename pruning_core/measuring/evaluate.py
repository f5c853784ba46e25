"""What a network is worth on real images, with its interval, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from pruning_core.datasets.dataset import Dataset
from pruning_core.errors import UserError
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import check_scores, outputs_for, precision, ready
from pruning_core.measuring.marks import Marks, in_top5
from pruning_core.measuring.measures import TOP1, Accuracy
from pruning_core.measuring.registry import measure_of
from pruning_core.storage.memory import out_of_memory


@dataclass(frozen=True, eq=False)
class Batch:
    """``indices`` (n,) into the evaluated images, the outputs ``scores`` (n, …), and ``labels`` (n, …), on the CPU."""

    indices: Tensor
    scores: Tensor
    labels: Tensor


def default_batch_size(size: tuple[int, ...], device: str) -> int:
    """Images (C, H, W) per batch: fractions of a second of work, from the image size alone so that runs repeat."""
    images = (1 << 23 if device.startswith("cuda") else 1 << 18) // prod(size)
    return max(8, min(4096 if device.startswith("cuda") else 512, 1 << max(0, images.bit_length() - 1)))


def predicting(
    model: nn.Module,
    dataset: Dataset,
    *,
    images: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Iterator[Batch]:
    """Yield the outputs for ``images`` random images of ``dataset`` (default: of all), a batch at a time.

    The order is shuffled by ``seed``, so that what has been seen so far is a fair sample even of data sorted by class.
    An exhausted memory halves the batch; raises UserError when one image is too much, and for whatever is wrong with
    the network or the number of classes (``outputs_for``).
    """
    chosen = dataset if images is None else dataset.subset(images, seed)
    where = choose_device(device)
    network = ready(model, where)
    dtype, measure = precision(network), measure_of(dataset)
    size = batch_size or default_batch_size(dataset.size, where)
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))
    start = 0
    while start < len(order):
        indices = order[start : start + size]
        scores = None
        try:
            x = chosen.normalised(chosen.images[indices.to(chosen.images.device)].to(where), dtype)
            scores = outputs_for(network, x, measure.takes).float().cpu()
            if measure.decides:
                check_scores(scores, len(dataset.classes))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        if scores is None:  # outside the except clause, whose traceback would keep the memory alive
            if size == 1:
                raise UserError(
                    "The memory is not enough for a single image. Choose smaller images, a smaller network, or another "
                    "device."
                )
            size = max(1, min(size, len(indices)) // 2)
            if where.startswith("cuda"):
                torch.cuda.empty_cache()
            continue
        yield Batch(indices, scores, chosen.labels[indices.to(chosen.labels.device)].cpu())
        start += len(indices)


class Tally:
    """Adds up batches. ``rows`` (N, k) and ``scores`` (N, K) are in the order of the evaluated images.

    ``rows`` are what the measure of the data set makes of each image; ``scores`` are kept where they decide for one of
    K classes, else there are none (K is 0).
    """

    def __init__(self, dataset: Dataset, images: int | None = None) -> None:
        self.total = len(dataset) if images is None else min(images, len(dataset))
        self.measure = measure_of(dataset)
        self.rows = torch.zeros(self.total, 1, dtype=torch.float64)
        self._classes = len(dataset.classes)
        self.scores = torch.zeros(self.total, self._classes if self.measure.decides else 0)
        self._whole = self.measure.whole(dataset.labels)
        self._name = f"{dataset.name} ({dataset.split})"
        self._seen = self._top5 = 0
        self._places: list[Tensor] = []
        self._loss = 0.0
        self._start = time.perf_counter()

    @property
    def marks(self) -> Marks:
        """What is known of every image, to be compared with that of another network."""
        return Marks(self.measure, self.rows)

    def add(self, batch: Batch) -> Accuracy:
        """The value over all batches added so far."""
        rows = self.measure.rows(batch.scores, batch.labels)
        if rows.shape[1] != self.rows.shape[1]:
            self.rows = torch.zeros(self.total, rows.shape[1], dtype=torch.float64)
        self.rows[batch.indices] = rows
        if self.measure.decides:
            self.scores[batch.indices] = batch.scores
        self._places.append(batch.indices)
        self._seen += len(rows)
        top5 = self.measure.key == TOP1 and self._classes > 5
        if top5:
            self._top5 += in_top5(batch.scores, batch.labels)
        self._loss += len(rows) * float(self.measure.loss(batch.scores.double(), batch.labels))
        value, low, high = self.measure.of(self.rows[torch.cat(self._places)])
        return Accuracy(
            top1=value,
            top5=self._top5 / self._seen if top5 else None,
            loss=self._loss / self._seen,
            images=self._seen,
            low=low,
            high=high,
            total=self.total,
            dataset=self._name,
            seconds=time.perf_counter() - self._start,
            measure=self.measure.key,
            whole=self._whole,
        )


def evaluating(
    model: nn.Module,
    dataset: Dataset,
    *,
    images: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Iterator[Accuracy]:
    """Yield the value of the data set's measure after every batch; the last one is complete.

    Arguments and errors as for ``predicting``.
    """
    tally = Tally(dataset, images)
    batches = predicting(model, dataset, images=images, batch_size=batch_size, device=device, seed=seed)
    for batch in batches:
        yield tally.add(batch)


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    *,
    images: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Accuracy:
    """The accuracy on ``images`` random images (default: all). Arguments and errors as for ``predicting``."""
    *_, last = evaluating(model, dataset, images=images, batch_size=batch_size, device=device, seed=seed)
    return last
