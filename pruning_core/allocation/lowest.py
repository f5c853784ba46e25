"""Which channels go once their number is known."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

ROUNDING = 1e-9  # 0.29 * 100 is 28.999… in binary; the person who asked for 29 % means 29


def removed_count(ratio: float, size: int) -> int:
    """How many of ``size`` channels a ratio in [0, 1) removes: floor(ratio * size), and at least one is kept."""
    return max(0, min(size - 1, math.floor(ratio * size + ROUNDING)))


def ascending(scores: Tensor) -> NDArray[np.int64]:
    """Channels (C,) from the least to the most important; ties go to the lower index, so that runs repeat."""
    return np.argsort(scores.detach().cpu().double().numpy(), kind="stable").astype(np.int64)


def lowest(scores: Tensor, count: int) -> tuple[int, ...]:
    """The ``count`` least important of (C,) channels in ascending order of their index.

    Raises ValueError when not at least one channel would be kept.
    """
    if not 0 <= count < len(scores):
        raise ValueError(f"{count} of {len(scores)} channels cannot be removed: at least one is kept")
    return tuple(sorted(ascending(scores)[:count].tolist()))
