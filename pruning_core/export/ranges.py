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
