"""The classic sets that torchvision can fetch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.datasets.download import fetch
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root, directory


@dataclass(frozen=True)
class TorchvisionSet:
    """One set: the name of its class in torchvision, and its size for the person who waits for it."""

    name: str
    megabytes: int


SETS: tuple[TorchvisionSet, ...] = (
    TorchvisionSet("CIFAR10", 170),
    TorchvisionSet("CIFAR100", 169),
    TorchvisionSet("MNIST", 12),
    TorchvisionSet("FashionMNIST", 31),
)


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """Both splits of the set ``ref.name``, fetched once into the data directory.

    Raises UserError when the name is unknown, the set cannot be downloaded, or what came is not what was published.
    """
    train, test = _unpacked(ref, root, progress)
    return Raw(*_tensors(train), tuple(train.classes), *_tensors(test))


def fetch_set(ref: DataRef, root: Root | None, progress: Progress) -> None:
    """Have the set in the data directory, unpacked, for whoever cannot fetch it. Raises UserError as ``read`` does."""
    _unpacked(ref, root, progress)


def _unpacked(ref: DataRef, root: Root | None, progress: Progress) -> tuple[Any, Any]:
    """torchvision's objects of both splits."""
    chosen = next((item for item in SETS if item.name == ref.name), None)
    if chosen is None:
        raise UserError(f"There is no set called {ref.name!r}. Choose one of {', '.join(item.name for item in SETS)}.")
    from torchvision import datasets  # seconds to import, and seldom needed

    cls = getattr(datasets, chosen.name)
    folder = directory(root) / "downloads"
    for urls, target in _files(cls, folder):
        fetch(urls, target, f"{chosen.name} (about {chosen.megabytes} MB)", progress)
    try:
        # Files are in place, so this only verifies their published checksums and unpacks them.
        train, test = (cls(folder, train=train, download=True) for train in (True, False))
    except (RuntimeError, OSError, EOFError) as error:
        for _, target in _files(cls, folder):
            target.unlink(missing_ok=True)
        raise UserError(f"The download of {chosen.name} was damaged and has been removed. Try again.") from error
    return train, test


def _files(cls: Any, folder: Path) -> list[tuple[list[str], Path]]:
    """(addresses, place) of every archive, where torchvision looks for it."""
    if hasattr(cls, "resources"):
        place = folder / cls.__name__ / "raw"
        return [([mirror + name for mirror in cls.mirrors], place / name) for name, _ in cls.resources]
    return [([cls.url], folder / cls.filename)]


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    images = torch.as_tensor(np.asarray(part.data))
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
    return images, torch.as_tensor(part.targets, dtype=torch.int64)
