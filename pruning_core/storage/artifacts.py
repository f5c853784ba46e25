"""Large results as files named by their content."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pruning_core.errors import UserError
from pruning_core.storage.draft import PART, draft, settled

CHUNK = 1 << 20  # bytes


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write ``path`` completely or not at all: a draft beside it, flushed to disk, then renamed."""
    with draft(path.parent) as (file, temporary):
        yield file
        settled(file, temporary, path)


@dataclass(frozen=True)
class Artifacts:
    """Files under ``folder``, each named by the sha256 (hex) of its bytes; written once, never changed.

    Whoever reads one gets what was stored or an error: every reading compares the bytes with the name.

    ``behind``: another such folder, where files are found as well and never written.
    """

    folder: Path
    behind: Path | None = None

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its digest; storing the same bytes twice keeps one file."""
        digest = hashlib.sha256(data).hexdigest()
        if not self._sound(digest):  # a damaged one is written anew
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
                raise _damaged(digest)
        return place

    def read(self, digest: str) -> bytes:
        """What was stored. Raises UserError as ``path`` does."""
        data = self._found(digest).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise _damaged(digest)
        return data

    def drop(self, digest: str) -> None:
        """Remove it from here, damaged or not; nothing where it is not here."""
        self._place(digest).unlink(missing_ok=True)

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


def _damaged(digest: str) -> UserError:
    return UserError(
        f"The stored file {digest[:12]}… is damaged: its bytes are not those that were stored, so nothing is measured "
        "with them. Upload it or compute it again, or have it restored from a backup."
    )


def _inside(folder: str | Path) -> list[os.DirEntry[str]]:
    """What lies in it; nothing when it is not there."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
