"""What stored numbers mean as brightness: which is black, which is white."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pruning_core.datasets.findings import Finding, pixels
from pruning_core.errors import UserError

DEPTHS = (10, 12, 14, 16)  # bits of cameras and scanners, beyond the 8 of a byte
SLACK = 1 / 255  # how far resampled floats may lie outside their range
DARKEST_WHITE = 32  # floats whose largest is below this are no bytes: they could be anything
LEAST_BLACK = -0.5  # floats meant as [-1, 1] come at least this near to -1


@dataclass(frozen=True)
class Levels:
    """``black`` becomes 0 and ``white`` 255; ``finding`` says so where it is no matter of course."""

    black: float
    white: float
    finding: Finding | None = None

    def bytes(self, values: np.ndarray) -> np.ndarray:
        """``values`` (any shape) rounded to uint8; what lies outside is clipped."""
        if (self.black, self.white) == (0, 255) and values.dtype == np.uint8:
            return values
        scaled: NDArray[np.floating] = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
        scaled -= self.black
        scaled *= 255 / (self.white - self.black)
        np.rint(scaled, out=scaled)
        return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


BYTES = Levels(0, 255)


def of_integers(low: int, high: int, bits: int, counts: tuple[int, int], name: str) -> Levels:
    """Of whole numbers from ``low`` to ``high`` over the whole set, stored with ``bits`` bits each.

    counts: (how many images are stored so, how many there are). Raises UserError when they can be no brightness.
    """
    if low < 0 or high > 65535:
        raise UserError(
            f"The images of {name!r} are whole numbers from {low:,} to {high:,}. Store bytes (0 to 255) or floats in "
            "[0, 1]."
        )
    if high == 1:
        return Levels(0, 1, pixels.ZeroOne())
    if high <= 255:
        deep = pixels.BitDepth(*counts, bits, 8, high) if bits > 8 and high > 0 else None
        return Levels(0, 255, deep)
    used = next(depth for depth in DEPTHS if high < 2**depth)
    return Levels(0, 2**used - 1, pixels.BitDepth(*counts, bits, used, high))


def of_floats(low: float, high: float, counts: tuple[int, int], name: str) -> Levels:
    """Of floats from ``low`` to ``high`` over the whole set; ``counts`` as above.

    Raises UserError when they are not finite or their meaning is not one of the three usual ones.
    """
    if not math.isfinite(low) or not math.isfinite(high):
        raise UserError(f"The images of {name!r} hold values that are not finite. Clean them first.")
    black, white = _ends(low, high)
    if white <= black:
        raise UserError(
            f"The images of {name!r} are floats from {low:g} to {high:g}. Floats must lie in [0, 1], [-1, 1] or "
            "[0, 255]: store pixels before normalisation, or as bytes."
        )
    return Levels(black, white, pixels.Floats(*counts, low, high, black, white))


def _ends(low: float, high: float) -> tuple[float, float]:
    """(black, white); equal when nothing fits."""
    if low >= -SLACK and high <= 1 + SLACK:
        return 0.0, 1.0
    if -1 - SLACK <= low <= LEAST_BLACK and high <= 1 + SLACK:
        return -1.0, 1.0
    if low >= -0.5 and DARKEST_WHITE <= high <= 255.5:
        return 0.0, 255.0
    return 0.0, 0.0
