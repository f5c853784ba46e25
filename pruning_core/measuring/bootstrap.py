"""95 % intervals of any measure: from samples of the same images, drawn again and again.

Each image is counted a Poisson(1) number of times, which stands for drawing as many images with replacement (Hanley and
MacGibbon, Comput. Methods Programs Biomed. 83, 2006; Chamandy et al., Google Technical Report, 2012). The counts of an
image do not depend on how many others there are, so that one table serves every number of images, and an interval does
not jump when a batch is added. Differences are taken within the same sample: both networks saw the same images.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

DRAWS = 400
PART = 0.025  # left out on each side
STEP = 1024  # images by which the table grows

Value = Callable[[Tensor, Tensor], Tensor]
_table = torch.empty(DRAWS, 0, dtype=torch.float64)
_growing = threading.Lock()


def counts(images: int) -> Tensor:
    """(DRAWS, images) float64: how often each draw counts each image; the same ones at every call."""
    global _table
    with _growing:
        while (have := _table.shape[1]) < images:
            drawn = np.random.RandomState(have // STEP).poisson(1.0, (DRAWS, STEP))
            _table = torch.cat([_table, torch.from_numpy(drawn).double()], dim=1)
    found = _table[:, :images]
    empty = found.sum(1) == 0  # of very few images a draw may count none
    return torch.where(empty[:, None], torch.ones_like(found), found) if bool(empty.any()) else found


def bounds(value: Value, rows: Tensor) -> tuple[float, float, float]:
    """(value, low, high) of ``value(rows (N, k), weights (B, N))``; the interval holds the value."""
    found = float(value(rows, _once(rows)))
    low, high = _middle(value(rows, counts(len(rows))))
    return found, min(found, low), max(found, high)


def paired(value: Value, base: Tensor, new: Tensor) -> tuple[float, float, float]:
    """(difference, low, high) of base - new, both (N, k) rows of the same images in the same order."""
    if base.shape != new.shape:
        raise ValueError("a paired difference needs the same images on both sides")
    weights = counts(len(base))
    found = float(value(base, _once(base)) - value(new, _once(new)))
    low, high = _middle(value(base, weights) - value(new, weights))
    return found, min(found, low), max(found, high)


def _once(rows: Tensor) -> Tensor:
    return torch.ones(1, len(rows), dtype=torch.float64)


def _middle(values: Tensor) -> tuple[float, float]:
    low, high = np.nanquantile(values.numpy(), (PART, 1 - PART))
    return float(low), float(high)
