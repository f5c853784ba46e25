"""The data directory: database, artifacts, scratch files and the log, outside the repository."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pruning_core.errors import UserError
from pruning_core.storage.artifacts import Artifacts
from pruning_core.storage.database import Database
from pruning_core.storage.place import default_root


class Workspace:
    """One data directory.

    root/prunescope.sqlite   runs, events, owners
    root/artifacts/ab/ab…    large results, named by sha256
    root/scratch/<key>/      what an unfinished run keeps for its resumption; gone when it is done
    root/downloads/          data sets and weights fetched from elsewhere
    root/prunescope.log      tracebacks, never shown on a page

    Raises UserError when the directory cannot be written.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root).expanduser().resolve() if root is not None else default_root().resolve()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            writable = os.access(self.root, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            raise UserError(
                "The data directory cannot be written. Set PRUNESCOPE_DATA to a directory that this user may write."
            )
        self.artifacts = Artifacts(self.root / "artifacts")
        self.database = Database(self.root / "prunescope.sqlite")

    @property
    def log_path(self) -> Path:
        return self.root / "prunescope.log"

    def scratch(self, key: str) -> Path:
        """The folder of the unfinished run ``key``; made on first use."""
        folder = self.root / "scratch" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop_scratch(self, key: str) -> None:
        shutil.rmtree(self.root / "scratch" / key, ignore_errors=True)


class Borrowed(Workspace):
    """A data directory as a child of its server sees it: nothing of it changes, except the scratch files of a run.

    Artifacts are found where they are and left in ``outbox``, from where the server takes them over once it has looked
    at them. It has no database.
    """

    def __init__(self, root: Path, outbox: Path) -> None:
        self.root = root
        self.artifacts = Artifacts(outbox, behind=root / "artifacts")
