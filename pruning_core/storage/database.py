"""The embedded database: SQLite in WAL mode, so that pages read while a worker writes."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakSet

from pruning_core.errors import UserError
from pruning_core.storage.artifacts import named_in
from pruning_core.storage.trouble import DAMAGED, FOREIGN, sentence_of

OURS = 0x50525343  # "PRSC": says in the file whose database it is


def _name_files(connection: sqlite3.Connection) -> None:
    """Which stored files a run names, in its spec and its events; and what visitors have sent."""
    connection.execute(
        "CREATE TABLE files (job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, digest TEXT NOT NULL,"
        " PRIMARY KEY (job_id, digest)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX files_by_digest ON files (digest)")
    connection.execute(
        "CREATE TABLE uploads (owner TEXT NOT NULL, digest TEXT NOT NULL, name TEXT NOT NULL, since REAL NOT NULL,"
        " PRIMARY KEY (owner, digest)) WITHOUT ROWID"
    )
    texts = connection.execute("SELECT id, spec FROM jobs UNION ALL SELECT job_id, body FROM events")
    found = {(job_id, digest) for job_id, text in texts for digest in named_in(text)}
    connection.executemany("INSERT INTO files VALUES (?, ?)", sorted(found))


# One entry per schema version, applied in order; entries are never edited once released.
MIGRATIONS: tuple[str | Callable[[sqlite3.Connection], None], ...] = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL, spec TEXT NOT NULL,
        device TEXT NOT NULL, state TEXT NOT NULL, error TEXT, attempt INTEGER NOT NULL, server TEXT NOT NULL,
        created REAL NOT NULL, started REAL, finished REAL, seconds REAL NOT NULL
    );
    CREATE INDEX jobs_by_key ON jobs (key, created);
    CREATE TABLE events (
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, n INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (job_id, n)
    ) WITHOUT ROWID;
    CREATE TABLE owners (
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, owner TEXT NOT NULL, since REAL NOT NULL,
        PRIMARY KEY (owner, job_id)
    ) WITHOUT ROWID;
    CREATE INDEX owners_by_job ON owners (job_id);
    """,
    # Who asked for the run now; others on its list only wait for the same.
    "ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    _name_files,
)


class _Connection(sqlite3.Connection):
    """A connection that a WeakSet can hold: the plain class cannot be weakly referenced."""


class Database:
    """One SQLite file; every thread gets a connection of its own, closed when the thread ends.

    A file that is damaged, another program's or a newer version's is left as it is. Raises UserError for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._open: WeakSet[_Connection] = WeakSet()
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _look(path)
            self._migrate()
        except sqlite3.Error as error:
            self.close()
            if sentence := sentence_of(error):
                raise UserError(sentence) from error
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The calling thread's connection (autocommit; group statements with ``transaction``)."""
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False, factory=_Connection
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            # In WAL mode NORMAL survives a crash of the process; only a power cut can lose the last commits.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
            with self._lock:
                self._open.add(connection)
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All statements of the block or none of them."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connections of all threads; a later use opens a new one."""
        with self._lock:
            for connection in list(self._open):
                connection.close()
            self._open.clear()
        self._local = threading.local()

    def _migrate(self) -> None:
        with self.transaction() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute(f"PRAGMA application_id = {OURS}")
            for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
                if callable(step):
                    step(connection)
                for statement in step.split(";") if isinstance(step, str) else ():  # executescript would commit
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")


def _look(path: Path) -> None:
    """Before anything is written: whose file it is, and whether it is whole. Raises UserError or sqlite3.Error."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if owner not in (0, OURS) or (tables and not {"jobs", "events", "owners"} <= tables):
            raise UserError(FOREIGN)
        if version > len(MIGRATIONS):
            raise UserError(
                "The data directory was written by a newer version of PruneScope. "
                "Update this one, or set PRUNESCOPE_DATA to another directory."
            )
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise UserError(DAMAGED)
