"""What a block reads and makes, as short rows of numbers of many images: to see what it adds to telling classes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.datasets import Dataset

BATCH = 128
NUMBERS = 512  # of one image behind one block, at most about


@dataclass(frozen=True, eq=False)
class Ends:
    """(N, numbers) in front of a block and behind it."""

    front: Tensor
    behind: Tensor


@torch.no_grad()
def features(model: nn.Module, blocks: list[str], images: Dataset) -> Generator[float, None, dict[str, Ends]]:
    """Block name -> what it reads and makes of every image, pooled; yields the share of images done."""
    kept: dict[str, tuple[list[Tensor], list[Tensor]]] = {name: ([], []) for name in blocks}

    def look(name: str) -> torch.utils.hooks.RemovableHandle:
        def seen(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            kept[name][0].append(pooled(given[0]))
            kept[name][1].append(pooled(made))

        return model.get_submodule(name).register_forward_hook(seen)

    handles = [look(name) for name in blocks]
    try:
        for start in range(0, len(images), BATCH):
            model(images.normalised(images.images[start : start + BATCH]))
            yield min(1.0, (start + BATCH) / len(images))
    finally:
        for handle in handles:
            handle.remove()
    return {name: Ends(torch.cat(front), torch.cat(behind)) for name, (front, behind) in kept.items()}


def pooled(x: Tensor) -> Tensor:
    """(N, about 512 numbers) of maps (N, C, H, W) or tokens (N, T, C)."""
    if x.dim() == 4:
        side = max(1, min(isqrt(max(1, NUMBERS // x.shape[1])), *x.shape[2:]))
        return F.adaptive_avg_pool2d(x, side).flatten(1)
    return x.flatten(1) if x.dim() == 2 else x.mean(1)


def imprinted_accuracy(rows: Tensor, labels: Tensor, classes: int) -> float:
    """Of the classifier whose class vectors are the mean directions of half of the rows, on the other half.

    Even rows make it and odd ones judge it.
    """
    unit = F.normalize(rows, dim=1)
    sums = torch.zeros(classes, unit.shape[1]).index_add_(0, labels[::2], unit[::2])
    found = (unit[1::2] @ F.normalize(sums, dim=1).T).argmax(1)
    return float((found == labels[1::2]).double().mean())


def probed_accuracy(rows: Tensor, labels: Tensor, classes: int, steps: int, seed: int) -> float:
    """Of a linear classifier trained on the even rows, on the odd ones."""
    mean, deviation = rows[::2].mean(0), rows[::2].std(0).clamp(min=1e-6)
    x = (rows - mean) / deviation
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    shift = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.Adam((weight, shift), lr=0.05)
    order = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        for _ in range(steps):
            picked = 2 * torch.randint(len(x[::2]), (min(256, len(x[::2])),), generator=order)
            loss = F.cross_entropy(x[picked] @ weight.T + shift, labels[picked]) + 1e-3 * weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    found = (x[1::2] @ weight.detach().T + shift.detach()).argmax(1)
    return float((found == labels[1::2]).double().mean())
