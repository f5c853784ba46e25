"""What a process takes, read from /proc; 0 where it is gone."""

from __future__ import annotations

import os
from pathlib import Path

ENTRIES = 10_000  # files of a folder; more than that is too much, however small they are


def memory(pid: int) -> int:
    """Bytes of memory that no file stands behind, with those that it still shares with its parent."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (OSError, ValueError):
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def children() -> set[int]:
    """The processes whose parent this one is."""
    me = os.getpid()
    try:
        text = Path(f"/proc/self/task/{me}/children").read_text()
    except OSError:  # a kernel without that file
        return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _parent(entry) == me}
    return {int(pid) for pid in text.split()}


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def disk(folder: Path) -> float:
    """Bytes of the files in it; infinite where there are too many to count."""
    total, seen, folders = 0, 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if seen > ENTRIES:
                        return float("inf")
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
