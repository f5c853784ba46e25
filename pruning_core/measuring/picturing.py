"""How near pictures that a network makes are to those that came with the images: both in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.measuring.measure import Against, Averaged, Unit, flat

MOST_DB = 100.0  # of a picture that equals its target
WINDOW, SIGMA = 11, 1.5
DARK, FLAT = 0.01**2, 0.03**2  # keep quotients of nothing by nothing at 1, for a range of 1


def _of_pictures(width: int, places: tuple[int, ...]) -> bool:
    return len(places) == 2 and width in (1, 3)


def _are_pictures(labels: Tensor) -> bool:
    return float(labels.min()) >= 0 and float(labels.max()) <= 1


@dataclass(frozen=True)
class SignalToNoise(Averaged):
    """Peak signal-to-noise ratio, the mean over pictures; the peak is 1."""

    key: ClassVar = "psnr"
    name: ClassVar = "PSNR"
    says: ClassVar = "peak signal-to-noise ratio of a picture against its target, the mean over pictures"
    unit: ClassVar = Unit.DECIBEL
    scale: ClassVar = 25.0  # a fiftieth of it, half a decibel, is what two points are of a share
    against: ClassVar = Against.TARGETS

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return _of_pictures(width, places)

    def wants(self, labels: Tensor) -> bool:
        return _are_pictures(labels)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        squares = (flat(outputs) - flat(targets)).square().mean(1, keepdim=True)
        return (-10 * squares.clamp_min(10 ** (-MOST_DB / 10)).log10()).double()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets.to(outputs.dtype))


@dataclass(frozen=True)
class Similarity(Averaged):
    """Structural similarity in a Gaussian window of 11 pixels (Wang et al., IEEE Trans. Image Process. 13, 2004)."""

    key: ClassVar = "ssim"
    name: ClassVar = "SSIM"
    says: ClassVar = "structural similarity of a picture to its target, 1 where they are equal"
    unit: ClassVar = Unit.PLAIN
    against: ClassVar = Against.TARGETS

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return _of_pictures(width, places) and min(places) >= WINDOW

    def wants(self, labels: Tensor) -> bool:
        return _are_pictures(labels)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return structural(outputs.double(), targets.double())[:, None]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 1 - structural(outputs, targets.to(outputs.dtype)).mean()


def structural(x: Tensor, y: Tensor) -> Tensor:
    """(n, C, H, W) twice -> (n,): the mean over channels and those places around which the window is whole."""
    at = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    bell = torch.exp(-at.square() / (2 * SIGMA**2))
    window = torch.outer(bell, bell)
    window = (window / window.sum()).expand(x.shape[1], 1, WINDOW, WINDOW)

    def blurred(values: Tensor) -> Tensor:
        return F.conv2d(values, window, groups=values.shape[1])

    mean_x, mean_y = blurred(x), blurred(y)
    spread_x, spread_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    common = blurred(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + DARK) / (mean_x**2 + mean_y**2 + DARK)
    found: Tensor = light * (2 * common + FLAT) / (spread_x + spread_y + FLAT)
    return found.flatten(1).mean(1)
