"""Large results as files named by their content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pruning_core.errors import UserError
from pruning_core.storage.draft import PART, draft, settled

CHUNK = 1 << 20  # bytes
DAY_S = 24 * 3600.0
NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class DamagedError(UserError):
    """The stored file ``digest`` holds other bytes than were stored."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            f"The stored file {digest[:12]}… is damaged: its bytes are not those that were stored, so nothing is "
            "measured with them. Upload it or compute it again, or have it restored from a backup."
        )
        self.digest = digest


def named_in(text: str) -> set[str]:
    """Whatever in a text could be the name of a stored file: a run, an event, a desk."""
    return set(NAME.findall(text))


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write ``path`` completely or not at all: a draft beside it, flushed to disk, then renamed."""
    with draft(path.parent) as (file, temporary):
        yield file
        settled(file, temporary, path)


@dataclass(frozen=True)
class Artifacts:
    """Files under ``folder``, each named by the sha256 (hex) of its bytes; written once, never changed.

    Whoever reads one gets what was stored or an error: every reading compares the bytes with the name. The time of a
    file says when it was stored or read last, to a day.

    ``behind``: another such folder, where files are found as well and never written.
    """

    folder: Path
    behind: Path | None = None

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its digest; storing the same bytes twice keeps one file."""
        digest = hashlib.sha256(data).hexdigest()
        if not (self._sound(digest) and self.touch(digest)):  # a damaged one is written anew
            with replacing(self._place(digest)) as file:
                file.write(data)
        return digest

    def put_file(self, source: Path | BinaryIO) -> str:
        """Store a file in chunks, never whole in memory, and return its digest."""
        if isinstance(source, Path):
            with source.open("rb") as opened:
                return self.put_file(opened)
        hasher = hashlib.sha256()
        with draft(self.folder) as (file, temporary):
            while chunk := source.read(CHUNK):
                hasher.update(chunk)
                file.write(chunk)
            target = self._place(hasher.hexdigest())
            target.parent.mkdir(parents=True, exist_ok=True)
            settled(file, temporary, target)
        return hasher.hexdigest()

    def take_over(self, outbox: Path) -> None:
        """Move everything in from another such folder, which somebody else may still be writing to.

        Nothing there is believed: a name says what the bytes must be. Raises ValueError where they are others,
        OSError for what is no file.
        """
        for folder in _inside(outbox):
            for entry in _inside(folder.path) if folder.is_dir(follow_symlinks=False) else ():
                if entry.name.startswith(PART):
                    continue
                with os.fdopen(os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                    if self.put_file(file) != entry.name:
                        raise ValueError("a stored file is not what its name says")
                os.unlink(entry.path)

    def has(self, digest: str) -> bool:
        found = self._place(digest).is_file()
        return found or (self.behind is not None and Artifacts(self.behind).has(digest))

    def path(self, digest: str) -> Path:
        """The file of ``digest``; its bytes were compared with it. Raises UserError when it is not here or damaged."""
        place = self._found(digest)
        with place.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise DamagedError(digest)
        self._read_now(place)
        return place

    def read(self, digest: str) -> bytes:
        """What was stored. Raises UserError as ``path`` does."""
        place = self._found(digest)
        data = place.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedError(digest)
        self._read_now(place)
        return data

    def all(self) -> Iterator[str]:
        """The names of everything here."""
        for folder in _inside(self.folder):
            for entry in _inside(folder.path) if folder.is_dir(follow_symlinks=False) else ():
                if NAME.fullmatch(entry.name):
                    yield entry.name

    def size_bytes(self, digest: str) -> int:
        """0 where it is not here."""
        with contextlib.suppress(OSError):
            return self._place(digest).stat().st_size
        return 0

    def idle_s(self, digest: str) -> float:
        """Seconds since it was stored or read, to a day; 0 where it is not here."""
        with contextlib.suppress(OSError):
            return time.time() - self._place(digest).stat().st_mtime
        return 0.0

    def touch(self, digest: str) -> bool:
        """Say that it is used now; False where that cannot be written down."""
        with contextlib.suppress(OSError):
            os.utime(self._place(digest))
            return True
        return False

    def discard(self, digest: str, idle_s: float) -> bool:
        """Remove it unless it was used in the last ``idle_s`` seconds, be it while this decides."""
        place = self._place(digest)
        aside = place.with_name(f"{PART}{digest}")
        with contextlib.suppress(OSError):
            os.replace(place, aside)  # whoever stores the same bytes now finds nothing, and writes them
            if time.time() - aside.stat().st_mtime > idle_s:
                aside.unlink()
                return True
            os.replace(aside, place)
        return False

    def drop(self, digest: str) -> None:
        """Remove it from here, damaged or not; nothing where it is not here."""
        self._place(digest).unlink(missing_ok=True)

    def _read_now(self, place: Path) -> None:
        with contextlib.suppress(OSError):  # a reader that may not write
            if time.time() - place.stat().st_mtime > DAY_S:
                os.utime(place)

    def _sound(self, digest: str) -> bool:
        try:
            self.path(digest)
        except UserError:
            return False
        return True

    def _found(self, digest: str) -> Path:
        place = self._place(digest)
        if not place.is_file() and self.behind is not None:
            return Artifacts(self.behind)._found(digest)
        if not place.is_file():
            raise UserError(
                f"The stored file {digest[:12]}… is no longer in the data directory. Upload it or compute it again."
            )
        return place

    def _place(self, digest: str) -> Path:
        # A digest may come from a link or a stored row: nothing but 64 hex digits may become a path.
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise UserError("This is not the name of a stored file: a name has 64 hexadecimal digits.")
        return self.folder / digest[:2] / digest


def _inside(folder: str | Path) -> list[os.DirEntry[str]]:
    """What lies in it; nothing when it is not there."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
