"""What is being opened now, noted on disk: should it end the server, the next one knows what not to open by itself."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: nobody can tell who died, so nothing is held against a file
    fcntl = None  # type: ignore[assignment]  # the module is typed as always there

FOLDER = "opening"  # of the data directory
MOST = 1 << 12  # bytes of a note


@contextmanager
def noted(root: Path, key: str, name: str) -> Iterator[None]:
    """While the body runs, ``key`` is noted as being opened, and ``name`` as what a person calls it.

    An orderly end of the body, an error too, takes the note away, and older ones about the same thing.
    """
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.json"
    with path.open("w", encoding="utf-8") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)  # lasts as long as this process, however that ends
        json.dump({"key": key, "name": name[: MOST // 4]}, file)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    for left, _ in _left(root, key):
        left.unlink(missing_ok=True)


def ended_the_server(root: Path, key: str) -> str:
    """The name of what was being opened under ``key`` when a server ended; "" when none did."""
    return next((name for _, name in _left(root, key)), "")


def _left(root: Path, key: str) -> Iterator[tuple[Path, str]]:
    """(note, name) of what nobody opens any more and nobody finished."""
    if fcntl is None:
        return
    for path in (root / FOLDER).glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError), path.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # else somebody is opening it now
            told = json.loads(file.read(MOST))
            if told["key"] == key:
                yield path, str(told["name"]) or "a network"
