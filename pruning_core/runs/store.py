"""Jobs, their events and their owners as rows. Knows SQL and nothing of threads."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from pruning_core.errors import UserError
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Event, Outdated
from pruning_core.runs.intent import Intent
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import JobView, State
from pruning_core.storage.artifacts import named_in
from pruning_core.storage.codec import dump
from pruning_core.storage.database import Database

# What changes in the life of a job.
CHANGING = ("device", "state", "error", "attempt", "server", "started", "finished", "seconds", "owner")
SPECS_READ = 4096  # of which the text is not read again
# The columns that are fields of a Job as they stand; ``spec`` is stored beside them as JSON.
COLUMNS = ("id", "key", "kind", "title", "created", *CHANGING)


@dataclass
class Job:
    """The mutable record behind a view. ``spec`` is None when it was written by a version that is gone.

    ``owner`` is who asked for it, and may stop it. ``intent`` is what is asked of it while it runs, ``overdue``
    whether it was told to stop for its time.
    """

    id: str
    key: str
    kind: str
    title: str
    spec: RunSpec | None
    device: str
    server: str
    state: State = State.QUEUED
    attempt: int = 1
    error: str | None = None
    created: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    seconds: float = 0.0
    events: list[Event] = field(default_factory=list)
    intent: Intent = Intent.GO_ON
    owner: str = ""
    overdue: bool = False

    @property
    def unasked(self) -> bool:
        """Nobody waits for it."""
        return self.spec is not None and self.spec.unasked

    @property
    def known_spec(self) -> RunSpec:
        """What it runs. Raises UserError when another version wrote it."""
        if self.spec is None:
            raise UserError("This run was made by another version of PruneScope. Start it again.")
        return self.spec

    def view(self, since: int = 0, position: int | None = None, count: int | None = None) -> JobView:
        """A snapshot with the events from ``since`` on; ``count`` when the events were not loaded."""
        running = self.state is State.RUNNING and self.started is not None
        elapsed = time.time() - self.started if running and self.started is not None else 0.0
        first = max(0, min(since, len(self.events)))
        return JobView(
            id=self.id,
            key=self.key,
            kind=self.kind,
            title=self.title,
            state=self.state,
            stopping=self.intent.stopping and self.state is State.RUNNING,
            position=position,
            attempt=self.attempt,
            events=tuple(self.events[first:]),
            first=first,
            count=len(self.events) if count is None else count,
            created=self.created,
            started=self.started,
            finished=self.finished,
            seconds=self.seconds + max(0.0, elapsed),
            device=self.device,
            error=self.error,
        )


class Store:
    """Rows of ``database``; specs and events are read as those of ``catalogue``."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._spec = lru_cache(SPECS_READ)(catalogue.spec)  # specs are frozen: one text, one object

    def insert(self, job: Job) -> None:
        if job.spec is None:
            raise ValueError("a new job has a spec")
        row = {name: getattr(job, name) for name in COLUMNS} | {"spec": dump(job.spec)}
        places = ", ".join(f":{name}" for name in row)
        with self._database.transaction() as connection:
            connection.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({places})", row)
            self._name(job.id, row["spec"])

    def save(self, job: Job) -> None:
        """Write what changes in the life of a job (not its events)."""
        row = {name: getattr(job, name) for name in ("id", *CHANGING)}
        places = ", ".join(f"{name} = :{name}" for name in CHANGING)
        self._database.connection.execute(f"UPDATE jobs SET {places} WHERE id = :id", row)

    def append(self, job_id: str, event: Event) -> None:
        """Add an event after those that are stored (which may be more than this version can read)."""
        body = dump(event)
        with self._database.transaction() as connection:  # no event without the files that it names
            connection.execute(
                "INSERT INTO events SELECT ?, COALESCE(MAX(n) + 1, 0), ? FROM events WHERE job_id = ?",
                (job_id, body, job_id),
            )
            self._name(job_id, body)

    def rewrite(self, job_id: str, events: Iterable[Event]) -> None:
        """Replace the events of a job."""
        rows = [(job_id, n, dump(event)) for n, event in enumerate(events)]
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM events WHERE job_id = ?", (job_id,))
            connection.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
            spec = connection.execute("SELECT spec FROM jobs WHERE id = ?", (job_id,)).fetchone()["spec"]
            connection.execute("DELETE FROM files WHERE job_id = ?", (job_id,))
            self._name(job_id, spec, *(body for _, _, body in rows))

    def load(self, job_id: str) -> Job | None:
        """The job with its events, or None when there is no such job."""
        job = self.head(job_id)
        if job is None:
            return None
        bodies = self._database.connection.execute("SELECT body FROM events WHERE job_id = ? ORDER BY n", (job_id,))
        for (body,) in bodies:
            try:
                job.events.append(self._catalogue.event(body))
            except (ValueError, TypeError):
                job.events.append(Outdated())
        return job

    def head(self, job_id: str) -> Job | None:
        """The job without its events."""
        row = self._database.connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return self._job(row) if row is not None else None

    def files(self, job_id: str) -> set[str]:
        """The names of stored files in what it runs and has told; some may be names of something else."""
        rows = self._database.connection.execute("SELECT digest FROM files WHERE job_id = ?", (job_id,))
        return {row["digest"] for row in rows}

    def maker(self, digest: str, owner: str) -> str | None:
        """The first finished job of the owner's that has told of this file and was not given it."""
        row = self._database.connection.execute(
            "SELECT jobs.id FROM files JOIN jobs ON jobs.id = files.job_id JOIN owners ON owners.job_id = jobs.id"
            " WHERE digest = ? AND owners.owner = ? AND state = ? AND instr(spec, digest) = 0 ORDER BY created LIMIT 1",
            (digest, owner, State.DONE),
        ).fetchone()
        return row["id"] if row else None

    def latest(self, key: str) -> str | None:
        """The newest job of this key."""
        row = self._database.connection.execute(
            "SELECT id FROM jobs WHERE key = ? ORDER BY created DESC LIMIT 1", (key,)
        ).fetchone()
        return row["id"] if row else None

    def needed(self, key: str) -> bool | None:
        """Whether a run of this key may still be taken up; None where there is none."""
        rows = self._database.connection.execute("SELECT state FROM jobs WHERE key = ?", (key,)).fetchall()
        return any(row["state"] != State.DONE for row in rows) if rows else None

    def unfinished(self) -> list[tuple[str, str]]:
        """(job id, server) of every job that is queued or running."""
        rows = self._database.connection.execute(
            "SELECT id, server FROM jobs WHERE state IN (?, ?)", (State.QUEUED, State.RUNNING)
        )
        return [(row["id"], row["server"]) for row in rows]

    def interrupt(self, job_id: str, server: str) -> bool:
        """Say that the job ended with ``server``; False where another server was first, or it goes on elsewhere."""
        changed = self._database.connection.execute(
            "UPDATE jobs SET state = ?, finished = ? WHERE id = ? AND server = ? AND state IN (?, ?)",
            (State.INTERRUPTED, time.time(), job_id, server, State.QUEUED, State.RUNNING),
        )
        return changed.rowcount == 1

    def listed(self, owner: str, kind: str | None = None, active: bool = False) -> list[tuple[Job, int]]:
        """The jobs of an owner, newest first, without their events but with how many there are.

        ``kind``: only those of one kind; ``active``: only those that wait or run.
        """
        rows = self._database.connection.execute(
            "SELECT jobs.*, (SELECT MAX(n) + 1 FROM events WHERE job_id = jobs.id) AS count"
            " FROM jobs JOIN owners ON owners.job_id = jobs.id"
            " WHERE owners.owner = :owner AND (:kind IS NULL OR kind = :kind) AND (NOT :active OR state IN (:q, :r))"
            " ORDER BY since DESC, created DESC",
            {"owner": owner, "kind": kind, "active": active, "q": State.QUEUED, "r": State.RUNNING},
        )
        return [(self._job(row), row["count"] or 0) for row in rows]

    def add_owner(self, job_id: str, owner: str) -> None:
        """Put the job at the top of the owner's list."""
        self._database.connection.execute(
            "INSERT OR REPLACE INTO owners VALUES (?, ?, ?)", (job_id, owner, time.time())
        )

    def remove_owner(self, job_id: str, owner: str) -> None:
        self._database.connection.execute("DELETE FROM owners WHERE job_id = ? AND owner = ?", (job_id, owner))

    def owners(self, job_id: str) -> set[str]:
        rows = self._database.connection.execute("SELECT owner FROM owners WHERE job_id = ?", (job_id,))
        return {row["owner"] for row in rows}

    def delete(self, job_id: str) -> None:
        """Remove the job, its events and owners; artifacts stay, since other jobs may name them (``files``)."""
        self._database.connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def _name(self, job_id: str, *texts: str) -> None:
        rows = [(job_id, digest) for digest in sorted(set().union(*map(named_in, texts)))]
        if rows:
            self._database.connection.executemany("INSERT OR IGNORE INTO files VALUES (?, ?)", rows)

    def _job(self, row: sqlite3.Row) -> Job:
        spec: RunSpec | None = None
        with contextlib.suppress(ValueError, TypeError):
            spec = self._spec(row["spec"])
        plain = {name: row[name] for name in COLUMNS} | {"state": State(row["state"])}
        return Job(**plain, spec=spec)
