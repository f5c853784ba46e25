"""Uploads in the data directory, named by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from pruning_core.errors import UserError
from pruning_core.storage.artifacts import CHUNK, Artifacts


class Rooted(Protocol):
    """Whatever keeps its files under one directory, such as a Workspace."""

    @property
    def root(self) -> Path: ...

    @property
    def artifacts(self) -> Artifacts: ...


Root = Path | Rooted
"""The data directory, or something that has one."""


def artifacts(root: Root | None) -> Artifacts:
    """The content-addressed files under ``root``. Raises UserError when no data directory was given."""
    return Artifacts(directory(root) / "artifacts") if root is None or isinstance(root, Path) else root.artifacts


def directory(root: Root | None) -> Path:
    """The folder of ``root``. Raises UserError when there is none."""
    if root is None:
        raise UserError("This needs a data directory, and none was given. Pass the folder where PruneScope keeps data.")
    return root if isinstance(root, Path) else root.root


@contextmanager
def keeping(root: Root, *files: Path | BinaryIO) -> Iterator[tuple[str, ...]]:
    """Store ``files`` and give their digests; those that were not there before go again if the body raises."""
    store = artifacts(root)
    digests, fresh = [], []
    try:
        for file in files:
            known = store.has(_digest(file))
            digests.append(store.put_file(file))
            if not known:
                fresh.append(digests[-1])
        yield tuple(digests)
    except BaseException:
        for digest in fresh:
            store.drop(digest)
        raise


def _digest(file: Path | BinaryIO) -> str:
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return _digest(opened)
    hasher = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        hasher.update(chunk)
    file.seek(0)
    return hasher.hexdigest()
