"""From a reference to tensors: read, split, resize, rename."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from pruning_core.datasets import digits, folder, npz, torchvision_sets
from pruning_core.datasets.dataset import Dataset, channel_statistics
from pruning_core.datasets.raw import Progress, Raw, quiet
from pruning_core.datasets.ref import DataRef, Source
from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root

READERS: dict[Source, Callable[[DataRef, Root | None, Progress], Raw]] = {
    "digits": digits.read,
    "npz": npz.read,
    "folder": folder.read,
    "torchvision": torchvision_sets.read,
}


def load_splits(ref: DataRef, root: Root | None = None, progress: Progress = quiet) -> tuple[Dataset, Dataset]:
    """(train, test) of ``ref``; both carry the mean and std of train.

    root: the data directory, needed for uploads and downloads. Raises UserError when the data cannot be had or is
    unusable.
    """
    raw = READERS[ref.source](ref, root, progress)
    whole = _dataset(raw.images, raw.labels, raw, ref, "train")
    if raw.test_images is not None and raw.test_labels is not None:
        train, test = whole, _dataset(raw.test_images, raw.test_labels, raw, ref, "test")
    else:
        train, test = whole.split_off(ref.test_fraction, ref.seed, names=("train", "test"))
    train, test = (_shaped(part, ref) for part in (train, test))
    mean, std = channel_statistics(train.images)
    mean, std = ref.mean or mean, ref.std or std
    return dataclasses.replace(train, mean=mean, std=std), dataclasses.replace(test, mean=mean, std=std)


def hold_out(train: Dataset, ref: DataRef) -> tuple[Dataset, Dataset]:
    """(fit, held-out) of ``train``. Every choice made by looking at accuracy looks at held-out, never at test."""
    return train.split_off(ref.held_out, ref.seed)


def load_data(ref: DataRef, root: Root | None = None, progress: Progress = quiet) -> Dataset:
    """The one split that ``ref.split`` names. Raises as ``load_splits`` does."""
    train, test = load_splits(ref, root, progress)
    if ref.split == "test":
        return test
    if ref.split == "train":
        return train
    fit, held_out = hold_out(train, ref)
    return fit if ref.split == "fit" else held_out


def _dataset(images: Tensor, labels: Tensor, raw: Raw, ref: DataRef, split: str) -> Dataset:
    classes = raw.classes
    if ref.classes is not None:
        if len(ref.classes) != len(classes):
            raise UserError(
                f"{ref.name!r} has {len(classes)} classes, and {len(ref.classes)} names were given. Give one name each."
            )
        classes = ref.classes
    channels = images.shape[1] if images.ndim == 4 else 1
    neutral = (0.0,) * channels, (1.0,) * channels  # replaced once the training part is known
    return Dataset(images, labels, classes, *neutral, name=ref.name, split=split, notes=raw.notes)


def _shaped(part: Dataset, ref: DataRef) -> Dataset:
    if ref.channels is not None:
        part = part.with_channels(ref.channels)
    return part.resized(*ref.size) if ref.size is not None else part
