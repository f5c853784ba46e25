"""Taking away what nobody needs any more from the data directory; never what a living process uses."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pruning_core.storage.artifacts import DAY_S
from pruning_core.storage.draft import PART, abandoned
from pruning_core.storage.presence import LOCKS, sweep

UNUSED_S = 30 * DAY_S  # after that a decoded copy goes: it can be decoded again
UNKNOWN_S = 7 * DAY_S  # scratch files of something that is no stored run: a notebook may be at work
DRAFTS = ("artifacts", "cache", "downloads", "scratch", "desks")  # folders in which files are written


@dataclass(frozen=True)
class Cleaned:
    """``files`` that went, and their ``size_bytes``."""

    files: int = 0
    size_bytes: int = 0


def clean(root: Path, needed: Callable[[str], bool | None]) -> Cleaned:
    """Take away drafts that nobody writes, scratch files, old decoded copies and locks of dead servers.

    ``needed``: whether the run with this key may still be taken up; None where no such run is stored.
    """
    sweep(root / LOCKS)
    gone = [size for size, each in [(_size(each), each) for each in _stale(root, needed)] if _remove(each)]
    return Cleaned(len(gone), sum(gone))


def _stale(root: Path, needed: Callable[[str], bool | None]) -> Iterator[Path]:
    now = time.time()
    for name in DRAFTS:
        for path in _found(root / name, f"{PART}*", "*.tmp"):
            if abandoned(path):
                yield path
    for folder in _found(root / "scratch", "*", deep=False):
        wanted = needed(folder.name)
        if wanted is False or (wanted is None and now - _newest(folder) > UNKNOWN_S):
            yield folder
    for path in _found(root / "cache" / "images", "*.safetensors"):
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > UNUSED_S:
                yield path


def _found(folder: Path, *patterns: str, deep: bool = True) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        with contextlib.suppress(OSError):  # somebody else cleans as well
            found += (folder.rglob if deep else folder.glob)(pattern)
    return found


def _newest(folder: Path) -> float:
    """When something in it was changed last; now, when nobody can say."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return time.time()


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())
    return 0


def _remove(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        return True
    return False
