"""Large results as files named by their content."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pruning_core.errors import UserError

CHUNK = 1 << 20  # bytes


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write ``path`` completely or not at all: a temporary file beside it, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Artifacts:
    """Files under ``folder``, each named by the sha256 (hex) of its bytes; written once, never changed."""

    folder: Path

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its digest; storing the same bytes twice keeps one file."""
        digest = hashlib.sha256(data).hexdigest()
        target = self._place(digest)
        if not target.exists():
            with replacing(target) as file:
                file.write(data)
        return digest

    def put_file(self, source: Path | BinaryIO) -> str:
        """Store a file in chunks, never whole in memory, and return its digest."""
        if isinstance(source, Path):
            with source.open("rb") as opened:
                return self.put_file(opened)
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".part-")
        hasher = hashlib.sha256()
        try:
            with os.fdopen(handle, "wb") as file:
                while chunk := source.read(CHUNK):
                    hasher.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            target = self._place(hasher.hexdigest())
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return hasher.hexdigest()

    def has(self, digest: str) -> bool:
        return self._place(digest).is_file()

    def path(self, digest: str) -> Path:
        """The file of ``digest``. Raises UserError when it is not here."""
        place = self._place(digest)
        if not place.is_file():
            raise UserError(
                f"The stored file {digest[:12]}… is no longer in the data directory. Upload it or compute it again."
            )
        return place

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def _place(self, digest: str) -> Path:
        # A digest may come from a link or a stored row: nothing but 64 hex digits may become a path.
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise UserError("This is not the name of a stored file: a name has 64 hexadecimal digits.")
        return self.folder / digest[:2] / digest
