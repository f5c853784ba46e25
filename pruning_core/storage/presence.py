"""Which server processes are alive: a crashed one leaves unfinished jobs that nobody else may touch before."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not a POSIX system: every other server counts as gone
    fcntl = None  # type: ignore[assignment]  # the module is typed as always there


LOCKS = "servers"  # folder of the data directory


class Presence:
    """Holds a lock on a file of its own until it is closed or the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.id = uuid.uuid4().hex
        self._path = folder / f"{self.id}.lock"
        self._file: IO[bytes] = self._path.open("wb")
        if fcntl is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Say goodbye; safe to call twice."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def is_alive(folder: Path, server: str) -> bool:
    """True when the process that announced ``server`` still runs; a dead one's file is removed."""
    path = folder / f"{server}.lock"
    if fcntl is None:
        return False
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        path.unlink(missing_ok=True)
    return False


def sweep(folder: Path) -> None:
    """Remove the files of dead servers."""
    for path in folder.glob("*.lock"):
        is_alive(folder, path.stem)
