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


def from_ranges(text: str) -> tuple[int, ...]:
    """What :func:`as_ranges` wrote. Raises ValueError for other text."""
    found: list[int] = []
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)
