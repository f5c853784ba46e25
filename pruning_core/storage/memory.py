"""Memory: telling when it is exhausted, and how much is left before the system would end the process."""

from __future__ import annotations

import re
from pathlib import Path

from pruning_core.errors import UserError

# torch reports an exhausted memory as RuntimeError with one of these texts (CUDA, CPU, Windows, cuBLAS).
SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")

SHARE = 0.5  # of what is free that one thing may take


def out_of_memory(error: BaseException) -> bool:
    """True when ``error`` says that a device or the machine ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes that can still be taken: the machine's, or the container's where that is less; infinite when unknown."""
    left = float("inf")
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        if found:
            left = 1024.0 * int(found[1])
        limit = (cgroup / "memory.max").read_text().strip()
        if limit != "max":
            left = min(left, float(limit) - float((cgroup / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # not Linux, or not in a container of this kind
    return max(0.0, left)


def must_fit(needed: float, what: str, way_out: str, share: float = SHARE) -> None:
    """Refuse before ``needed`` bytes are taken: more than ``share`` of what is free would end the server, not a run.

    ``what`` begins the sentence ("1,000 images of 224 × 224 pixels"), ``way_out`` says what to do. Raises UserError.
    """
    if needed > share * free_memory():
        raise UserError(
            f"{what} would take {needed / 2**30:.1f} GiB, too much for what is free of the memory. {way_out}"
        )
