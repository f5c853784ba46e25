"""What the disk or the database says when it is not to blame on this program, as a sentence for a person."""

from __future__ import annotations

import errno
import re
import sqlite3
from pathlib import Path

from pruning_core.storage.place import default_root

FULL = (
    "The disk of the data directory is full. Nothing that was stored before is lost. Free some space, then do this "
    "again; a run that stopped can be resumed."
)
READ_ONLY = (
    "The data directory cannot be written any more. Give the user that runs this server the right to write there, or "
    "set PRUNESCOPE_DATA to another directory."
)
DAMAGED = (
    "The database in the data directory is damaged, so nothing is read from it and nothing was changed. Put "
    "prunescope.sqlite back from a backup, or move it (with the files -wal and -shm beside it) elsewhere to begin with "
    "an empty list of runs; uploads and results stay where they are."
)
FOREIGN = (
    "The file prunescope.sqlite in the data directory belongs to another program, so it was left as it is. Set "
    "PRUNESCOPE_DATA to another directory."
)
BUSY = "Another program has held the database for half a minute. Try again; if it stays so, close that program."
BROKEN = "The disk of the data directory could not be read or written. Whoever runs this server should look at it."

NO_ROOM = re.compile(r"os error (28|122)\b|no space left|disk quota|disk is full", re.IGNORECASE)


def sentence_of(error: BaseException) -> str:
    """The sentence; "" when the error is about something else, and a bug."""
    if isinstance(error, sqlite3.Error):
        return _of_database(error)
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return FULL
        if error.errno in (errno.EACCES, errno.EPERM):
            return READ_ONLY if _is_ours(error.filename) else ""
        return {errno.EROFS: READ_ONLY, errno.EIO: BROKEN}.get(error.errno, "")
    # Libraries in other languages hand on the system's number only in their text.
    return FULL if type(error).__name__ == "SafetensorError" and NO_ROOM.search(str(error)) else ""


def _is_ours(name: object) -> bool:
    """Whether the system has spoken of something in the data directory."""
    return isinstance(name, str | Path) and Path(name).is_relative_to(default_root().resolve())


def _of_database(error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return FULL
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return READ_ONLY
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DAMAGED
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return BUSY
        case sqlite3.SQLITE_IOERR:
            return BROKEN
    return ""
