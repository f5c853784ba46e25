"""Images and labels as resident tensors, with what a model needs to read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.datasets.called import Called, called
from pruning_core.datasets.findings import Finding
from pruning_core.datasets.findings.parts import MeasureOnly
from pruning_core.datasets.findings.places import Annotations
from pruning_core.datasets.targets import BOXES, NUMBERS, Labels
from pruning_core.errors import UserError
from pruning_core.numeric.detections import Decoder
from pruning_core.storage.memory import must_fit

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, what image libraries use to turn colour into grey
CHUNK = 512  # images per step of a conversion, so that no float copy of a whole data set is ever made


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set.

    images: uint8 (N, C, H, W), or, of what is no picture, float32 (N, C, …): rows of tables (N, columns), sound (N, 1,
    samples). labels: int64 (N,) in [0, len(classes)), or, where ``classes`` is empty, what the network's outputs are
    compared with, of any type and shape (N, …), (N, 0) where nothing came with the images; mean, std: per channel, of
    pixels scaled to [0, 1] or of numbers as they are. measure: the key of what outputs are judged by. decoder: how
    outputs are boxes, where they are judged as such. findings: what was converted or looks odd, about the whole set
    and not only this split. divided: its training and test images were drawn by chance from one set, because the
    source has one. Change mean, std or classes with ``dataclasses.replace``.

    Raises UserError when it is empty, when a label has no class, or when mean and std do not match the channels.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    split: str = "test"
    findings: tuple[Finding, ...] = ()
    divided: bool = False
    measure: str = "top1"
    decoder: Decoder | None = None

    def __post_init__(self) -> None:
        numbers = self.images.dtype == torch.float32 and self.images.ndim > 1
        if not numbers and (self.images.ndim != 4 or self.images.dtype != torch.uint8):
            raise ValueError(f"images must be uint8 (N, C, H, W), not {self.images.dtype} {tuple(self.images.shape)}")
        if len(self.images) == 0:
            raise UserError(f"The data set {self.name!r} holds no {self.split} images. Choose one that holds some.")
        if len(self.labels) != len(self.images) or (self.classes and self.labels.ndim != 1):
            raise UserError(
                f"The data set {self.name!r} holds {len(self.images)} images and {self.labels.numel()} labels. "
                "Every image needs exactly one label."
            )
        if self.classes:
            self._check_labels()
        channels = self.images.shape[1]
        if len(self.mean) != channels or len(self.std) != channels:
            raise UserError(
                f"The images of {self.name!r} have {channels} channel(s): give as many means and standard deviations."
            )
        if min(self.std) <= 0:
            raise UserError("A standard deviation must be above 0, because pixels are divided by it.")

    def _check_labels(self) -> None:
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise UserError(
                f"The labels of {self.name!r} run from {low} to {high}, but there are {len(self.classes)} classes. "
                "Labels count from 0; name as many classes as there are."
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        """Whether anything came with the images."""
        return self.labels.numel() > 0

    @property
    def kind(self) -> Labels:
        """What came with each image, as far as its shape and type tell it."""
        if self.classes:
            return Labels.CLASSES
        if not self.labelled:
            return Labels.NOTHING
        if self.labels.ndim > 1 and self.labels.dtype in (torch.uint8, torch.int64):
            return Labels.MASKS
        if self.labels.shape[2:] == (NUMBERS,) and self.categories:
            return Labels.BOXES
        picture = self.labels.ndim == 4 and self.labels.shape[1] in (1, 3)
        return Labels.PICTURES if picture else Labels.NUMBERS

    @property
    def categories(self) -> tuple[str, ...]:
        """Of the boxes that came with the images, as labels (N, M, 6) number them; () where none did."""
        told = (each for each in self.findings if isinstance(each, Annotations) and each.way == BOXES)
        return next((each.categories for each in told), ())

    @property
    def notes(self) -> tuple[str, ...]:
        """The findings as sentences, those that raise a doubt about numbers first."""
        return tuple(each.sentence for each in sorted(self.findings, key=lambda each: not each.doubt))

    @property
    def size(self) -> tuple[int, ...]:
        """(C, H, W) of one image; (C, …) of what is no picture."""
        return tuple(self.images.shape[1:])

    @property
    def called(self) -> Called:
        """What one of the ``images`` is called."""
        return called(self.images, self.findings)

    @property
    def pictures(self) -> bool:
        """Whether the images are pictures: bytes, of any size that is asked for."""
        return self.images.dtype == torch.uint8

    def to(self, device: torch.device | str) -> Dataset:
        """The same split with images and labels resident on ``device``."""
        return dataclasses.replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def normalised(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(n, C, …) -> ``dtype`` (n, C, …): bytes are scaled to [0, 1]; then by mean and std."""
        shape = (1, -1, *(1,) * (images.ndim - 2))
        std = torch.tensor(self.std, dtype=dtype, device=images.device).view(shape)
        mean = torch.tensor(self.mean, dtype=dtype, device=images.device).view(shape)
        if images.dtype != torch.uint8:
            return (images.to(dtype) - mean) / std
        return images.to(dtype).mul_(1 / (255 * std)).sub_(mean / std)

    def batches(
        self,
        batch_size: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        indices: Sequence[int] | Tensor | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x normalised (n, C, …), y int64 (n,)) in order, or in the order of ``indices``.

        Bytes travel to the device and are normalised there: a quarter of the traffic of floats.
        """
        chosen = None if indices is None else torch.as_tensor(indices, dtype=torch.int64, device=self.images.device)
        total = len(self) if chosen is None else len(chosen)
        for start in range(0, total, batch_size):
            part: slice | Tensor = slice(start, start + batch_size)
            if chosen is not None:
                part = chosen[start : start + batch_size]
            x = self.images[part].to(device, non_blocking=True)
            yield self.normalised(x, dtype), self.labels[part].to(device, non_blocking=True)

    def subset(self, count: int, seed: int = 0) -> Dataset:
        """``count`` random images without repetition; a smaller count is a prefix of a larger one of the same seed."""
        if count >= len(self):
            return self
        if count < 1:
            raise UserError("At least one image is needed.")
        return self._take(torch.from_numpy(_permutation(len(self), seed)[:count]))

    def split_off(
        self, fraction: float, seed: int = 0, names: tuple[str, str] = ("fit", "held-out")
    ) -> tuple[Dataset, Dataset]:
        """(rest, part): ``part`` holds ``fraction`` of every class, at least one image of it; order is kept.

        The same images come out on every machine and version: the generator's stream is frozen by NumPy's policy.
        """
        if not 0 < fraction < 1:
            raise UserError(f"The share to set apart must lie between 0 and 1, not {fraction:g}.")
        chosen = np.zeros(len(self), dtype=bool)
        for label, members in enumerate(self._by_class()):
            count = set_apart(len(members), fraction)
            if 0 < len(members) <= count:
                whose = f"Class {self.classes[label]!r} of {self.name!r}" if self.classes else f"{self.name!r}"
                raise UserError(
                    f"{whose} has {len(members)} image(s), too few to set some apart. Give every class at least two "
                    "images, or bring separate test images."
                )
            chosen[members[_permutation(len(members), seed + label)[:count]]] = True
        part = torch.from_numpy(chosen)
        return (
            dataclasses.replace(self._take(torch.nonzero(~part).flatten()), split=names[0]),
            dataclasses.replace(self._take(torch.nonzero(part).flatten()), split=names[1]),
        )

    def _by_class(self) -> list[np.ndarray]:
        """The numbers of the images of each class; of all images where there are no classes."""
        if not self.classes:
            return [np.arange(len(self))]
        labels = self.labels.cpu().numpy()
        return [np.flatnonzero(labels == label) for label in range(len(self.classes))]

    def resized(self, height: int, width: int) -> Dataset:
        """The same images at another size: bilinear with anti-aliasing, rounded to bytes. Labels of places follow."""
        if not self.pictures or self.size[1:] == (height, width):
            return self
        self._must_fit(self.size[0], height, width)
        out = torch.empty((len(self), self.size[0], height, width), dtype=torch.uint8, device=self.images.device)
        for start in range(0, len(self), CHUNK):
            part = self.images[start : start + CHUNK].float()
            part = F.interpolate(part, (height, width), mode="bilinear", antialias=True, align_corners=False)
            out[start : start + CHUNK] = part.round_().clamp_(0, 255).to(torch.uint8)
        return dataclasses.replace(self, images=out, labels=self._followed(height, width))

    def places_at(self, *sides: int) -> tuple[int, ...]:
        """The sides of what labels say of places, once images have these: labels of places follow their images."""
        if not self._of_places or not self.pictures:
            return tuple(self.labels.shape[1 if self.kind is Labels.MASKS else 2 :])
        (height, width), (_, own_height, own_width) = sides, self.size
        above, beside = self.labels.shape[-2:]
        return max(1, round(above * height / own_height)), max(1, round(beside * width / own_width))

    @property
    def _of_places(self) -> bool:
        """Whether labels are a class at every place (N, H', W'), or pictures or maps (N, C, H', W')."""
        return self.labels.ndim == 4 or self.kind is Labels.MASKS

    def _followed(self, height: int, width: int) -> Tensor:
        """Labels for resized images: of places the nearest one's class, of pictures and maps as images are resized."""
        places = self.places_at(height, width)
        if not self._of_places or places == self.labels.shape[-2:]:
            return self.labels
        must_fit(
            self.labels[:1].nbytes / prod(self.labels.shape[-2:]) * prod(places) * len(self),
            f"The labels of {len(self):,} images at {places[0]} × {places[1]} places",
            "Choose fewer images or a smaller size.",
        )
        if self.labels.ndim == 3:
            return F.interpolate(self.labels[:, None], places, mode="nearest-exact")[:, 0]
        parts = self.labels.split(CHUNK)
        return torch.cat([F.interpolate(part, places, mode="bilinear", antialias=True) for part in parts])

    def with_channels(self, channels: int) -> Dataset:
        """Grey repeated to ``channels``, or colour turned into grey. Raises UserError for anything else."""
        have = self.size[0]
        if have == channels or not self.pictures:
            return self
        self._must_fit(channels, *self.size[1:])
        if have == 1:
            return dataclasses.replace(
                self,
                images=self.images.expand(-1, channels, -1, -1).contiguous(),
                mean=self.mean * channels,
                std=self.std * channels,
            )
        if have == 3 and channels == 1:
            out = torch.empty((len(self), 1, *self.size[1:]), dtype=torch.uint8, device=self.images.device)
            weights = torch.tensor(LUMINANCE, device=self.images.device).view(1, 3, 1, 1)
            for start in range(0, len(self), CHUNK):
                grey = (self.images[start : start + CHUNK].float() * weights).sum(1, keepdim=True)
                out[start : start + CHUNK] = grey.round_().to(torch.uint8)
            mean, std = channel_statistics(out)
            return dataclasses.replace(self, images=out, mean=mean, std=std)
        raise UserError(f"Images with {have} channels cannot be turned into images with {channels}.")

    def fitted(self, size: tuple[int, ...]) -> Dataset:
        """The same images as a model of input ``size`` takes them: (C, H, W) of pictures. Raises UserError."""
        self.check_takes(size)
        if not self.pictures:
            return self
        return self.with_channels(size[0]).resized(size[1], size[2])

    def check_takes(self, size: tuple[int, ...]) -> None:
        """Raise UserError where these images cannot be brought to ``size``: only pictures are resized."""
        if size == self.size or (self.pictures and len(size) == 3):
            return
        wanted, own = (" × ".join(map(str, each)) for each in (size, self.size))
        what = f"is an image of {own}" if self.pictures else f"has {own} numbers"
        way_out = {
            1: " Columns of a table can be left out.",
            2: " Recordings are given their length below their curves.",
        }
        raise UserError(
            f"The network reads {wanted} numbers at a time, and each example of {self.name!r} {what}. Choose data and "
            f"a network that belong together.{way_out.get(len(self.size), '')}"
        )

    def check_fits(self, model_classes: int) -> None:
        """Raise UserError when a model with ``model_classes`` outputs cannot be judged on this data."""
        if model_classes != len(self.classes):
            raise UserError(
                f"The model tells {model_classes} classes apart, the data set {self.name!r} has {len(self.classes)}. "
                "Choose data and a model with the same classes."
            )

    @property
    def trainable(self) -> bool:
        """False for images that may be measured on only."""
        return not any(isinstance(each, MeasureOnly) for each in self.findings)

    def check_trainable(self) -> None:
        """Raise UserError when these images may be measured on only."""
        for each in self.findings:
            if isinstance(each, MeasureOnly):
                raise UserError(f"{self.name} is for measuring only: its images are test images. {each.way_out}")

    def _must_fit(self, channels: int, height: int, width: int) -> None:
        """Raise UserError when that many pixels would fill the memory: the system would end the server, not a run."""
        must_fit(
            len(self) * channels * height * width,
            f"{len(self):,} images of {height} × {width} pixels",
            "Choose fewer images or a smaller size.",
        )

    def _take(self, indices: Tensor) -> Dataset:
        indices = indices.to(self.images.device)
        return dataclasses.replace(self, images=self.images[indices], labels=self.labels[indices])


def set_apart(members: int, fraction: float) -> int:
    """How many of a class's ``members`` a share of ``fraction`` is: at least one where there are any."""
    return max(1, round(fraction * members)) if members else 0


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) per channel of uint8 (N, C, H, W), of pixels scaled to [0, 1]; exact, from histograms. Of float32
    (N, C, …) of the numbers themselves.

    A constant channel gets the standard deviation 1, because numbers are divided by it.
    """
    if images.dtype != torch.uint8:
        flat = images.transpose(0, 1).flatten(1).double()
        deviations = flat.std(1, correction=0)
        return tuple(flat.mean(1).tolist()), tuple(torch.where(deviations > 0, deviations, 1.0).tolist())
    levels = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    means, spreads = [], []
    for channel in range(images.shape[1]):
        share = torch.bincount(images[:, channel].flatten(), minlength=256).double()
        share /= share.sum().clamp(min=1)
        mean = (share * levels).sum()
        variance = (share * (levels - mean) ** 2).sum()
        means.append(round(float(mean), 6))
        spreads.append(round(float(variance.sqrt()), 6) or 1.0)
    return tuple(means), tuple(spreads)


def _permutation(count: int, seed: int) -> np.ndarray:
    return np.random.RandomState(seed % 2**32).permutation(count)
