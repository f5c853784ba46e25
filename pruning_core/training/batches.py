"""Training batches from resident tensors: shuffled, augmented on the device, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pruning_core.datasets.dataset import Dataset
from pruning_core.errors import UserError
from pruning_core.measuring.registry import measure_of


def derived(*numbers: int) -> int:
    """A seed for a tuple of numbers (Knuth's MMIX generator, folded over them)."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return seed


def dice(*numbers: int) -> torch.Generator:
    """A generator of its own for each tuple of numbers, so that no other thread can disturb the stream."""
    return torch.Generator().manual_seed(derived(*numbers))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Full batches and the rest of at least two images: batch normalisation cannot be trained on one.

    Raises UserError when there are fewer than two images.
    """
    if images < 2:
        raise UserError("Training needs at least two images. Choose a larger data set.")
    full, rest = divmod(images, batch_size)
    return full + (rest > 1)


def shuffled(
    data: Dataset, batch_size: int, augment: str, seed: int, epoch: int, device: str, start: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (x float32 (n, C, H, W), y (n, …)) of one epoch from batch number ``start`` on, on ``device``.

    Order and augmentation depend on seed, epoch and batch number alone. Raises UserError for an augmentation of images
    whose targets would have to move along.
    """
    if augment != "none" and not data.pictures:
        raise UserError("What is no picture is neither shifted nor mirrored. Choose no augmentation.")
    if augment != "none" and not measure_of(data).decides:
        raise UserError(
            "Images that are shifted or mirrored would no longer belong to what their outputs are compared with. "
            "Choose no augmentation."
        )
    order = torch.randperm(len(data), generator=dice(seed, epoch)).to(data.images.device)
    for step in range(start, steps_per_epoch(len(data), batch_size)):
        chosen = order[step * batch_size : (step + 1) * batch_size]
        images = data.images[chosen].to(device, non_blocking=True)
        images = augmented(images, augment, dice(seed, epoch, step))
        yield data.normalised(images), data.labels[chosen].to(device, non_blocking=True)


def augmented(images: Tensor, augment: str, generator: torch.Generator) -> Tensor:
    """uint8 (n, C, H, W), each image shifted by up to an eighth of its sides and perhaps mirrored.

    What comes in is the edge, repeated: a black frame would be a colour of its own, and batch-norm statistics taken
    with it do not fit the images that a network meets later.
    """
    if augment == "none":
        return images
    n, channels, height, width = images.shape
    down, right = max(1, height // 8), max(1, width // 8)
    rows = torch.randint(-down, down + 1, (n, 1), generator=generator) + torch.arange(height)  # (n, H)
    columns = torch.randint(-right, right + 1, (n, 1), generator=generator) + torch.arange(width)  # (n, W)
    if augment == "shift and flip":
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.clamp(0, height - 1).to(images.device), columns.clamp(0, width - 1).to(images.device)
    which = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return images[which, channel, rows[:, None, :, None], columns[:, None, None, :]]
