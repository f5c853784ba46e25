"""Time against the number of channels: which widths to time, and which steps between them are more than noise.

Nothing is smoothed. Every width is timed in several copies, so that where a copy happens to lie in memory is noise
too, and a difference counts where it shows between all pairs of copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from pruning_core.measuring.medians import median_interval

Times = NDArray[np.float64]
MOST = 48  # widths of one layer
STEEP = 3.0  # times the even line: a step that is a cliff


@dataclass(frozen=True)
class Cliff:
    """From ``fewer`` channels to ``more``, the next timed width, a pass takes ``low_ms`` to ``high_ms`` longer.

    The interval holds with 95 % for all steps of a layer together. Below zero: fewer channels take longer.
    """

    fewer: int
    more: int
    low_ms: float
    high_ms: float


def widths(channels: int, most: int = MOST) -> tuple[int, ...]:
    """Numbers of channels to time, ascending: all of them where they are few, else evenly with both neighbours of each.

    Kernels work in blocks of 8, 16, 32 …, so what is timed is a multiple of the largest such block that fits, and one
    channel more and less than that.
    """
    if channels <= most:
        return tuple(range(1, channels + 1))
    block = next(size for size in (1 << power for power in range(3, 32)) if 3 * (channels // size) <= most)
    near = {width + by for width in range(block, channels + 1, block) for by in (-1, 0, 1)}
    return tuple(sorted(width for width in near | {1, channels} if 1 <= width <= channels))


def evenly(channels: int, count: int) -> tuple[int, ...]:
    """``count`` numbers of channels or fewer, ascending, the last one being all."""
    return tuple(sorted({max(1, round(channels * part / count)) for part in range(1, count + 1)}))


def difference(one: Sequence[Times], other: Sequence[Times], among: int = 1) -> tuple[float, float]:
    """Bounds of the median of ``other`` minus ``one`` in ms, paired round by round: one row (rounds,) for each copy.

    From order statistics, so nothing is assumed of how times spread; with 95 % for ``among`` such intervals together.
    The widest that any pair of copies gives.
    """
    bounds = [median_interval(b - a, 0.05 / among) for a, b in product(one, other)]
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def cliffs(times: Mapping[int, Sequence[Times]]) -> tuple[Cliff, ...]:
    """Steps between neighbouring widths that are no part of an even line, and no noise.

    ``times``: width -> one row (rounds,) of ms for each copy. A step counts where more channels take at least ``STEEP``
    times what they would on the straight line between the least and the most, or where fewer channels take longer.
    """
    known = sorted(times)
    if len(known) < 3:
        return ()
    medians = {width: float(np.median(np.concatenate(list(times[width])))) for width in known}
    slope = max(0.0, (medians[known[-1]] - medians[known[0]]) / (known[-1] - known[0]))
    found = []
    for fewer, more in pairwise(known):
        low, high = difference(times[fewer], times[more], len(known) - 1)
        if high < 0 or low > STEEP * slope * (more - fewer):
            found.append(Cliff(fewer, more, low, high))
    return tuple(found)
