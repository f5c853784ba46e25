"""The interval of a median, from the order of the values alone: nothing is assumed of how they spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom


def median_interval(values: NDArray[np.float64], alpha: float = 0.05) -> tuple[float, float]:
    """From the k-th smallest to the k-th largest value (the sign test, turned round): it holds with 1 - ``alpha``."""
    ordered = np.sort(values)
    outside = int(binom.ppf(alpha / 2, len(values), 0.5))  # so many on either side may be left out
    if outside < 1:
        raise ValueError(f"{len(values)} rounds are too few for an interval")
    return float(ordered[outside - 1]), float(ordered[-outside])
