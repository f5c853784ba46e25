"""Sorted positions as short text: 0-3,5,8-9."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def as_ranges(positions: Iterable[int]) -> str:
    """Ascending positions as comma-separated runs, both ends included."""
    at = np.asarray(list(positions), dtype=np.int64)
    if not len(at):
        return ""
    breaks = np.flatnonzero(np.diff(at) != 1)
    starts, ends = at[np.concatenate([[0], breaks + 1])], at[np.concatenate([breaks, [len(at) - 1]])]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts.tolist(), ends.tolist()))


def from_ranges(text: str, most: int = 1 << 20) -> list[int]:
    """The positions of :func:`as_ranges`. Raises ValueError for other text, and for more than ``most`` positions."""
    found: list[int] = []
    for run in text.split(",") if text else []:
        first, dash, last = run.partition("-")
        start, end = int(first), int(last if dash else first)
        if not 0 <= start <= end or len(found) + end - start >= most:
            raise ValueError("no ascending runs of positions")
        found.extend(range(start, end + 1))
    return found
