"""What a hook lets a person see while it trains: numbers over epochs, or how many values lie where. Without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BINS = 30


@dataclass(frozen=True)
class Watch:
    """A small plot that a hook's class declares: what ``key`` is, in words, and the unit of its axis."""

    key: str
    title: str
    unit: str


@dataclass(frozen=True)
class Watched:
    """What one watch saw at the end of an epoch.

    One number in ``values``; or the counts of a histogram with equal bins from ``low`` to ``high``.
    """

    key: str
    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None


def seen(key: str, tensor: Tensor) -> Watched:
    """A scalar as a number, anything else as a histogram of its values."""
    tensor = tensor.detach().float().cpu()
    if tensor.dim() == 0:
        return Watched(key, (float(tensor),))
    low, high = float(tensor.min()), float(tensor.max())
    if low == high:  # one bin around a single value
        low, high = low - 0.5, high + 0.5
    counts = tensor.flatten().histc(BINS, low, high)
    return Watched(key, tuple(counts.tolist()), low, high)
