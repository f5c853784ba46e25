"""Files that are being written: under a name of their own, held by a lock that ends with the process, however it ends.

So whoever cleans can tell a draft that somebody is writing from one that a killed process has left.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # not a POSIX system: only the age of a draft tells
    fcntl = None  # type: ignore[assignment]  # the module is typed as always there

PART = ".part-"  # how the names of drafts begin
YOUNG_S = 60.0  # between the making of a draft and its locking nobody may take it away
UNLOCKED_S = 24 * 3600.0  # where there are no locks: longer than anybody writes without a pause


@contextmanager
def draft(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """(open file, its path) of a new file in ``folder``, which is made; it goes unless it is ``settled``."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=PART)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # some network file systems have none
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def settled(file: BinaryIO, path: Path, target: Path) -> None:
    """Give a complete draft its place: flushed to the disk first, so that a power cut leaves the old file or this."""
    file.flush()
    os.fsync(file.fileno())
    file.close()  # some systems rename no open file
    os.replace(path, target)


def abandoned(path: Path) -> bool:
    """Whether nobody writes this draft any more."""
    with contextlib.suppress(OSError):
        age = time.time() - path.stat().st_mtime
        if age < YOUNG_S:
            return False
        if fcntl is None:
            return age > UNLOCKED_S
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False
