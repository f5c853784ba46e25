"""From a reference to tensors: read, split, resize, rename."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from torch import Tensor

from pruning_core.datasets import decoded, digits, npz, odd, sample, tables, text_sample, torchvision_sets, zips
from pruning_core.datasets.dataset import Dataset, channel_statistics
from pruning_core.datasets.raw import Progress, Raw, quiet
from pruning_core.datasets.ref import DataRef, Source
from pruning_core.datasets.targets import Labels
from pruning_core.errors import UserError, quoted
from pruning_core.storage.uploads import Root, directory

Reader = Callable[[DataRef, Root | None, Progress], Raw]


@dataclass(frozen=True)
class Upload:
    """What a stranger brings: looked at closely, and kept decoded. ``sized``: the reader brings images to one size."""

    read: Reader
    sized: bool

    def __call__(self, ref: DataRef, root: Root | None, progress: Progress) -> Raw:
        place = decoded.place(directory(root), ref, self.sized)
        kept = decoded.load(place)
        if kept is not None:
            return kept
        raw = self.read(ref, root, progress)
        _parts(raw, dataclasses.replace(ref, classes=None))  # refuses what is no data set, before it is looked at
        raw = raw.also(odd.look(raw))
        with suppress(PermissionError):  # a child that is shut in reads the copies of others and leaves none
            decoded.save(place, raw)
        return raw


SAMPLES: dict[str, Reader] = {
    sample.CIFAR_SAMPLE.name: sample.read,
    text_sample.TEXT_SAMPLE.name: text_sample.read,
}


def _sample(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    if ref.name not in SAMPLES:
        raise UserError(f"There is no sample called {quoted(ref.name)}. Choose one of {', '.join(SAMPLES)}.")
    return SAMPLES[ref.name](ref, root, progress)


READERS: dict[Source, Reader] = {
    "digits": digits.read,
    "sample": _sample,
    "npz": Upload(npz.read, sized=False),
    "folder": Upload(zips.read, sized=True),
    "table": Upload(tables.read, sized=False),
    "torchvision": torchvision_sets.read,
}
STANDARDISED = ("table",)  # whose numbers are brought to mean 0 and deviation 1; other numbers go in as they are


def load_splits(ref: DataRef, root: Root | None = None, progress: Progress = quiet) -> tuple[Dataset, Dataset]:
    """(train, test) of ``ref``; both carry the mean and std of train. Of what is no picture and no table these are 0
    and 1, and so they are of pictures that have target pictures: what goes in is like what should come out.

    root: the data directory, needed for uploads and downloads. Raises UserError when the data cannot be had or is
    unusable.
    """
    train, test = _parts(READERS[ref.source](ref, root, progress), ref)
    train, test = (_shaped(part, ref) for part in (train, test))
    mean, std = train.mean, train.std
    if (train.pictures and train.kind is not Labels.PICTURES) or ref.source in STANDARDISED:
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


def _parts(raw: Raw, ref: DataRef) -> tuple[Dataset, Dataset]:
    """(train, test) as they were found, or divided by chance."""
    whole = _dataset(raw.images, raw.labels, raw, ref, "train")
    if raw.test_images is not None and raw.test_labels is not None:
        return whole, _dataset(raw.test_images, raw.test_labels, raw, ref, "test")
    whole = dataclasses.replace(whole, divided=True)
    return whole.split_off(ref.test_fraction, ref.seed, names=("train", "test"))


def _dataset(images: Tensor, labels: Tensor, raw: Raw, ref: DataRef, split: str) -> Dataset:
    classes = raw.classes
    if ref.classes is not None:
        if len(ref.classes) != len(classes):
            raise UserError(
                f"{ref.name!r} has {len(classes)} classes, and {len(ref.classes)} names were given. Give one name each."
            )
        classes = ref.classes
    channels = images.shape[1] if images.ndim > 1 else 1
    neutral = (0.0,) * channels, (1.0,) * channels  # replaced once the training part is known
    return Dataset(images, labels, classes, *neutral, name=ref.name, split=split, findings=raw.findings)


def _shaped(part: Dataset, ref: DataRef) -> Dataset:
    if ref.channels is not None:
        part = part.with_channels(ref.channels)
    part = part.resized(*ref.size) if ref.size is not None else part
    if ref.order == "BGR" and part.size[0] == 3:
        part = dataclasses.replace(part, images=part.images.flip(1))
    return part
