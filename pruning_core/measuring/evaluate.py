"""Accuracy on real images, with its interval, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.datasets.dataset import Dataset
from pruning_core.errors import UserError
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import class_scores, precision, ready
from pruning_core.measuring.intervals import wilson
from pruning_core.measuring.measures import Accuracy
from pruning_core.storage.memory import out_of_memory


@dataclass(frozen=True, eq=False)
class Batch:
    """``indices`` (n,) into the evaluated images, ``scores`` (n, K) and ``labels`` (n,), all on the CPU."""

    indices: Tensor
    scores: Tensor
    labels: Tensor


def default_batch_size(size: tuple[int, int, int], device: str) -> int:
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
    """Yield the class scores of ``images`` random images of ``dataset`` (default: of all), a batch at a time.

    The order is shuffled by ``seed``, so that what has been seen so far is a fair sample even of data sorted by class.
    An exhausted memory halves the batch; raises UserError when one image is too much, and for whatever is wrong with
    the network or the number of classes (``class_scores``).
    """
    chosen = dataset if images is None else dataset.subset(images, seed)
    where = choose_device(device)
    network = ready(model, where)
    dtype, classes = precision(network), len(dataset.classes)
    size = batch_size or default_batch_size(dataset.size, where)
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))
    start = 0
    while start < len(order):
        indices = order[start : start + size]
        scores = None
        try:
            x = chosen.normalised(chosen.images[indices.to(chosen.images.device)].to(where), dtype)
            scores = class_scores(network, x, classes).float().cpu()
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
    """Adds up batches. ``correct`` (N,) bool and ``scores`` (N, K) are in the order of the evaluated images."""

    def __init__(self, dataset: Dataset, images: int | None = None) -> None:
        self.total = len(dataset) if images is None else min(images, len(dataset))
        self.correct = torch.zeros(self.total, dtype=torch.bool)
        self.scores = torch.zeros(self.total, len(dataset.classes))
        self._name = f"{dataset.name} ({dataset.split})"
        self._seen = self._top1 = self._top5 = 0
        self._loss = 0.0
        self._start = time.perf_counter()

    def add(self, batch: Batch) -> Accuracy:
        """The accuracy over all batches added so far."""
        right = batch.scores.argmax(1) == batch.labels
        self.correct[batch.indices] = right
        self.scores[batch.indices] = batch.scores
        self._seen += len(right)
        self._top1 += int(right.sum())
        classes = batch.scores.shape[1]
        if classes > 5:
            self._top5 += int((batch.scores.topk(5, 1).indices == batch.labels[:, None]).any(1).sum())
        self._loss += float(F.cross_entropy(batch.scores.double(), batch.labels, reduction="sum"))
        low, high = wilson(self._top1, self._seen)
        return Accuracy(
            top1=self._top1 / self._seen,
            top5=self._top5 / self._seen if classes > 5 else None,
            loss=self._loss / self._seen,
            images=self._seen,
            low=low,
            high=high,
            total=self.total,
            dataset=self._name,
            seconds=time.perf_counter() - self._start,
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
    """Yield the accuracy after every batch; the last one is complete. Arguments and errors as for ``predicting``."""
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
