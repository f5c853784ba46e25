"""Who has sent what, what a visitor's files take, and which stored files anything still refers to."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pruning_core.storage.artifacts import named_in
from pruning_core.storage.cleaning import clean
from pruning_core.storage.garbage import DELETED_S, collect
from pruning_core.storage.workspace import Workspace

DESKS = "desks"  # folder of the data directory


@dataclass(frozen=True)
class Upload:
    """A file that a visitor has sent, as they called it. ``since``: seconds since 1970."""

    digest: str
    name: str
    since: float
    size_bytes: int


class Ledger:
    """Of one data directory. Any thread may ask."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def sent(self, owner: str, digest: str, name: str) -> None:
        """Write down that ``owner`` has sent a file; nothing where nothing of that name is stored."""
        if self._workspace.artifacts.has(digest):
            self._execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", owner, digest, name, time.time())

    def uploads(self, owner: str) -> tuple[Upload, ...]:
        """What the visitor has sent and not deleted, newest first."""
        rows = self._execute("SELECT digest, name, since FROM uploads WHERE owner = ? ORDER BY since DESC", owner)
        sizes = map(self._workspace.artifacts.size_bytes, [row["digest"] for row in rows])
        return tuple(Upload(row["digest"], row["name"], row["since"], size) for row, size in zip(rows, sizes))

    def forget(self, owner: str, digest: str) -> None:
        """It is theirs no longer; the file goes where nothing else needs it."""
        self._execute("DELETE FROM uploads WHERE owner = ? AND digest = ?", owner, digest)
        self.collect(DELETED_S, (digest,))

    def clean(self, needed: Callable[[str], bool | None], unused_s: float) -> None:
        """Take away what nobody needs: as ``cleaning.clean``, and stored files that nothing refers to."""
        clean(self._workspace.root, needed)
        self.collect(unused_s)

    def collect(self, unused_s: float, among: Iterable[str] | None = None) -> None:
        """As ``garbage.collect``, of this directory."""
        collect(self._workspace.artifacts, self.referred, unused_s, among)

    def used(self, owner: str) -> int:
        """Bytes of all files that the visitor's uploads and runs name, each counted once."""
        rows = self._execute(
            "SELECT digest FROM uploads WHERE owner = ?1 UNION"
            " SELECT digest FROM files JOIN owners ON owners.job_id = files.job_id WHERE owners.owner = ?1",
            owner,
        )
        return sum(self._workspace.artifacts.size_bytes(row["digest"]) for row in rows)

    def of_runs(self, owner: str) -> dict[str, int]:
        """Bytes of the stored files that each of the visitor's runs names; several may name the same."""
        rows = self._execute(
            "SELECT files.job_id, digest FROM files JOIN owners ON owners.job_id = files.job_id WHERE owner = ?", owner
        )
        found: dict[str, int] = {}
        for row in rows:
            found[row["job_id"]] = found.get(row["job_id"], 0) + self._workspace.artifacts.size_bytes(row["digest"])
        return found

    def referred(self) -> set[str]:
        """Every file that a stored run, an upload or somebody's desk names."""
        found = {row["digest"] for row in self._execute("SELECT digest FROM uploads UNION SELECT digest FROM files")}
        for path in (self._workspace.root / DESKS).glob("*.json"):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found |= named_in(path.read_text(encoding="utf-8"))
        return found

    def _execute(self, statement: str, *values: object) -> list[sqlite3.Row]:
        return self._workspace.database.connection.execute(statement, values).fetchall()
