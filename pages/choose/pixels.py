"""Pixels as they are shown: enlarged without blur, masks over them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pages.ui.colours import COLOURS
from pruning_core.datasets.targets import NOBODY

SEEN = 0.5  # how much of an image shows through its mask


def overlaid(pixels: Tensor, mask: Tensor) -> Tensor:
    """uint8 (C, H, W) and class numbers (H, W) -> uint8 (3, H, W): the mask in colours over the image in grey."""
    table = torch.zeros(NOBODY + 1, 3)
    table[:NOBODY] = torch.tensor(COLOURS, dtype=torch.float32).repeat(32, 1)[:NOBODY]
    colours = table[mask.long()].permute(2, 0, 1)
    return (SEEN * pixels.float().mean(0) + (1 - SEEN) * colours).byte()


def enlarged(pixels: Tensor, side: int) -> np.ndarray:
    """(C, H, W) -> (H', W') or (H', W', 3), so large that pixels stay square: no blur."""
    picture = pixels.permute(1, 2, 0).numpy()
    scale = max(1, side // picture.shape[0])
    large = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    return large[:, :, 0] if large.shape[2] == 1 else large
