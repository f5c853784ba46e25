"""A short, good training recipe for small images, with everything resident on one device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pruning_core.datasets import Dataset
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.training.batches import shuffled, steps_per_epoch


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, linear warm-up, cosine decay, label smoothing, shifts and perhaps mirroring.

    learning_rate: at the end of the warm-up; weight_decay: on weights of layers, not on biases or batch norm;
    augment: as in ``training.FineTune``. mixed: bfloat16 and channels-last where the device multiplies bfloat16 in
    hardware; without it every processor computes alike.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 5e-4
    momentum: float = 0.9
    smoothing: float = 0.1
    warm_up: float = 0.05
    augment: str = "shift and flip"
    mixed: bool = True


ON_DIGITS = Recipe(epochs=60, batch_size=64, learning_rate=0.1, augment="shift", mixed=False)
ON_CIFAR = Recipe(epochs=200, batch_size=128, learning_rate=0.1)
RECIPES = {
    "digits_resnet": ON_DIGITS,
    "digits_vgg": ON_DIGITS,
    "cifar_resnet56": ON_CIFAR,
    "cifar_resnet20": ON_CIFAR,
}


@dataclass(frozen=True)
class EpochDone:
    """One pass over the training images: mean loss, and seconds since the start."""

    epoch: int
    loss: float
    learning_rate: float
    seconds: float


def train(model: nn.Module, data: Dataset, recipe: Recipe, seed: int, device: str = "cpu") -> Iterator[EpochDone]:
    """Train ``model`` in place on ``device``; it is in train mode between epochs.

    Random numbers for the order, shifts and mirroring come from generators of their own, so that the caller's are left
    alone; initial weights are the caller's.
    """
    mixed = recipe.mixed and has_bfloat16(device)
    layout = torch.channels_last if mixed else torch.contiguous_format
    model.to(device).to(memory_format=layout).train()
    data = data.to(device)
    steps = steps_per_epoch(len(data), recipe.batch_size)
    optimizer = torch.optim.SGD(
        _groups(model, recipe), lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True
    )
    total, warm = steps * recipe.epochs, max(1, round(recipe.warm_up * steps * recipe.epochs))
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / warm, total_iters=warm),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, total - warm)),
        ],
        milestones=[warm],
    )
    began = time.perf_counter()
    for epoch in range(recipe.epochs):
        losses = torch.zeros((), device=device)
        for x, y in shuffled(data, recipe.batch_size, recipe.augment, seed, epoch, device):
            x = x.contiguous(memory_format=layout)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=mixed):
                loss = F.cross_entropy(model(x), y, label_smoothing=recipe.smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += loss.detach() * len(y)
        mean = float(losses) / len(data)
        yield EpochDone(epoch, mean, float(schedule.get_last_lr()[0]), time.perf_counter() - began)


@torch.no_grad()
def accuracy(model: nn.Module, data: Dataset, device: str = "cpu", batch_size: int = 1000) -> float:
    """Share of images whose class is predicted, in eval mode and float32."""
    model.to(device).eval()
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in data.to(device).batches(batch_size, device))
    return right / len(data)


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def has_bfloat16(device: str) -> bool:
    """Where bfloat16 is multiplied in hardware: GPUs, and some CPUs."""
    return torch.device(device).type == "cuda" or bfloat16_is_fast(device)
