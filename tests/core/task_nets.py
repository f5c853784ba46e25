"""Small networks of other tasks than classification, and images for them: what people bring."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Enlarger(nn.Module):
    """Super-resolution by two with a pixel shuffle (Shi et al., 2016), on top of what interpolation gives."""

    def __init__(self, channels: int = 3, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 4 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.second(F.relu(self.first(x))))
        return F.interpolate(x, scale_factor=2.0) + F.pixel_shuffle(self.last(y), 2)


class Painter(nn.Module):
    """A U-Net of two levels: scores of ``classes`` classes at every pixel."""

    def __init__(self, channels: int = 3, classes: int = 4, width: int = 8) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.head = nn.Conv2d(2 * width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.down(x)
        right = self.up(self.deep(F.max_pool2d(left, 2)))
        return self.head(torch.cat([left, right], 1))


class Landmarks(nn.Module):
    """Coordinates of ``points`` points: (N, 2 * points)."""

    def __init__(self, channels: int = 3, points: int = 5, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(32 * width, 24), nn.ReLU(), nn.Linear(24, 2 * points))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Scales(nn.Module):
    """A map at each of three scales, as a detector gives them."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = nn.ModuleList(nn.Conv2d(3 if n == 0 else width, width, 3, 2, 1) for n in range(3))
        self.heads = nn.ModuleList(nn.Conv2d(width, 6, 1) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = []
        for body, head in zip(self.body, self.heads):
            x = F.relu(body(x))
            found.append(head(x))
        return tuple(found)


def made(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """With random weights, the same ones each time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = kind()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the mean over all that it sees
        with torch.no_grad():
            network.train()(torch.from_numpy(pictures(64)).permute(0, 3, 1, 2) / 255)
        return network.eval()


def pictures(images: int, side: int = 16, seed: int = 0) -> np.ndarray:
    """(N, side, side, 3) uint8: smooth blobs of colour, no two alike."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(images, 3, 4, 4, generator=generator)
    smooth = F.interpolate(rough, (side, side), mode="bicubic", align_corners=False).clamp(0, 1)
    return (255 * smooth).byte().permute(0, 2, 3, 1).numpy()


def exported(network: nn.Module, side: int = 16) -> io.BytesIO:
    """As a ``.pt2`` for any number of images."""
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    program = torch.export.export(network, (torch.zeros(2, 3, side, side),), dynamic_shapes=(batch,))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return file


def archive(**arrays: np.ndarray) -> io.BytesIO:
    """As a ``.npz``."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    return file


class Bell(nn.Sequential):
    """One logit: (N, 1)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 1)
        )
