"""Long work in the background: one queue and one thread per device, everything stored as it happens."""

from __future__ import annotations

import atexit
import contextlib
import sqlite3
import threading
import time
import uuid
import weakref
from dataclasses import replace

from pruning_core.errors import UserError
from pruning_core.runs.adopt import adopt
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.crew import Crew, queue_of
from pruning_core.runs.elsewhere import Elsewhere, Supervisor
from pruning_core.runs.events import Event, Failed
from pruning_core.runs.intent import Intent
from pruning_core.runs.line import Line
from pruning_core.runs.log import open_log
from pruning_core.runs.recent import Recent
from pruning_core.runs.rules import Rules
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.store import Job, Store
from pruning_core.runs.upkeep import Upkeep
from pruning_core.runs.view import Cancel, JobView, State
from pruning_core.runs.worker import Worker, spare_threads
from pruning_core.storage.garbage import DELETED_S
from pruning_core.storage.ledger import Ledger
from pruning_core.storage.presence import LOCKS, Presence
from pruning_core.storage.workspace import Workspace


class Jobs:
    """The jobs of one workspace; make one per server process and share it.

    ``catalogue`` names what may be stored (the product's: ``studies.specs.PRODUCT``). ``threads`` is how many torch
    threads a worker uses (default: one core less than there are). ``elsewhere``: which runs get a process of their own;
    without it all happen in this one. ``crew``: who does the runs that can be split, in a queue of their own.
    ``rules``: how much may be asked of it.
    All methods may be called from any thread; all but ``wait`` and ``close`` return at once.
    """

    def __init__(
        self,
        workspace: Workspace,
        catalogue: Catalogue,
        threads: int | None = None,
        elsewhere: Elsewhere | None = None,
        rules: Rules | None = None,
        crew: Crew | None = None,
    ) -> None:
        self.workspace, self.rules, self._crew = workspace, rules or Rules(), crew
        self._catalogue, self._elsewhere = catalogue, elsewhere
        self._store, self.ledger = Store(workspace.database, catalogue), Ledger(workspace)
        self._threads = threads or spare_threads()
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._recent = Recent(self._store)
        self._lines: dict[str, Line] = {}
        self._workers: dict[str, Worker] = {}
        self._closing = False
        self._log = open_log(workspace.log_path)
        self._presence = Presence(workspace.root / LOCKS)
        self._adopt()
        self._upkeep = Upkeep(
            self._adopt, lambda: self.ledger.clean(self._store.needed, self.rules.unused_s), self._log
        )
        self._upkeep.start()
        atexit.register(_close_at_exit, weakref.ref(self))  # daemon threads may not run on into a dying interpreter

    # -- what pages call ---------------------------------------------------------------------------------------------

    def submit(self, spec: RunSpec, owner: str, fresh: bool = False) -> str:
        """Queue ``spec`` for ``owner`` and return the id of its job.

        The same spec is the same job: a waiting, running or finished one is shared, a stopped one is resumed. What
        nobody asked for and what has failed stays as it is until somebody asks (``resume``): a page submits such a run
        whenever it is drawn, and is drawn again when the run fails. ``fresh`` computes anew what has ended. Raises
        UserError while the server shuts down, and where ``rules`` allow no more.
        """
        with self._lock:
            known = self._store.latest(spec.key)
            job = self._recent.find(known) if known else None
            if job is not None and (job.state.active or not fresh):
                self._store.add_owner(job.id, owner)
                if job.state is not State.FAILED or not job.unasked:
                    self._again(job, owner)
                return job.id
            self._admit(spec, owner)
            queue = queue_of(spec, self._crew)
            job = Job(uuid.uuid4().hex, spec.key, spec.kind, spec.title, spec, queue, self._presence.id)
            job.owner = owner
            self.workspace.drop_scratch(spec.key)  # a new job begins at nothing, whatever an older one left
            self._store.insert(job)
            self._store.add_owner(job.id, owner)
            self._recent.keep(job)
            self._enqueue(job)
            return job.id

    def snapshot(self, job_id: str, since: int = 0) -> JobView:
        """The job now, with its events from number ``since`` on. Raises UserError for an unknown job."""
        with self._lock:
            return self._view(self._get(job_id), since)

    def find(self, spec: RunSpec) -> JobView | None:
        """The newest job of this spec, without submitting it."""
        with self._lock:
            known = self._store.latest(spec.key)
            job = self._recent.find(known) if known else None
            return self._view(job) if job else None

    def spec(self, job_id: str) -> RunSpec:
        """What the job runs. Raises UserError when another version wrote it."""
        with self._lock:
            return (self._recent.held(job_id) or self._store.head(job_id) or self._get(job_id)).known_spec

    def of(self, owner: str, kind: str | None = None, active: bool = False) -> tuple[JobView, ...]:
        """The owner's jobs, newest first, without their events (``count`` says how many there are).

        ``kind``: only those of one kind; ``active``: only those that wait or run.
        """
        return tuple(view for view, _ in self.listed(owner, kind, active))

    def listed(
        self, owner: str, kind: str | None = None, active: bool = False
    ) -> tuple[tuple[JobView, RunSpec | None], ...]:
        """As ``of``, with what each runs; None for what another version wrote."""
        with self._lock:
            found = []
            for row, count in self._store.listed(owner, kind, active):
                live = self._recent.held(row.id)
                view = self._view(live, len(live.events)) if live else row.view(0, None, count)
                found.append((view, row.spec))
            return tuple(found)

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Block until the job is over or ``timeout`` seconds have passed; for notebooks and scripts."""
        with self._wake:
            self._wake.wait_for(lambda: not self._get(job_id).state.active, timeout)
            return self.snapshot(job_id)

    def cancel(self, job_id: str, owner: str | None = None) -> Cancel:
        """Ask the job to stop; safe to repeat. The answer is a sentence.

        With ``owner``, only who asked for the run stops it: for others that wait for the same it leaves their list.
        """
        with self._lock:
            job = self._get(job_id)
            if not job.state.active:
                return Cancel.ALREADY if job.state is State.CANCELLED else Cancel.OVER
            others = self._store.owners(job_id)
            if owner is not None and owner not in others:
                return Cancel.NOT_YOURS
            if owner is not None and owner != job.owner and others - {owner}:
                self._store.remove_owner(job_id, owner)
                return Cancel.SHARED
            if self._recent.held(job_id) is None:
                return Cancel.ELSEWHERE
            if job.state is State.QUEUED:
                self._lines[job.device].remove(job_id)
                self._end(job, State.CANCELLED)
                return Cancel.REMOVED
            answer = Cancel.ALREADY if job.intent.stopping else Cancel.STOPPING
            job.intent = job.intent.cancelled()
            return answer

    def resume(self, job_id: str, owner: str | None = None) -> JobView:
        """Continue a stopped job with the events it has; a finished or active one is left as it is.

        With ``owner`` it is theirs from then on. Raises UserError where it is not on their list, and as ``submit``.
        """
        with self._lock:
            job = self._get(job_id)
            if owner is not None and owner not in self._store.owners(job_id):
                raise UserError("This run belongs to another visitor. The same settings started by you give the same.")
            self._again(job, owner)
            return self._view(job, len(job.events))

    def forget(self, job_id: str, owner: str) -> None:
        """Take the job off the owner's list; when nobody else has it and it has ended, it is deleted."""
        with self._lock:
            job = self._get(job_id)
            self._store.remove_owner(job_id, owner)
            named = self._store.files(job_id)
            if not job.state.active and not self._store.owners(job_id):
                self._store.delete(job_id)
                self._recent.drop(job_id)
                if self._store.latest(job.key) is None:
                    self.workspace.drop_scratch(job.key)
        self.ledger.collect(DELETED_S, named)

    def maker(self, digest: str, owner: str) -> JobView | None:
        """The owner's finished run that a stored file came from: submitted anew, it makes the file again."""
        with self._lock:
            found = self._store.maker(digest, owner)
            return self.find(self.spec(found)) if found else None

    def close(self, timeout: float = 5.0) -> None:
        """Stop all work within ``timeout`` seconds; unfinished jobs can be resumed by the next server."""
        with self._lock:
            self._closing = True
            self._upkeep.stop()
            for line in self._lines.values():
                while line:
                    self._end(self._get(line.take()), State.INTERRUPTED)
            self._wake.notify_all()
        deadline = time.monotonic() + timeout
        for worker in self._workers.values():
            if worker is not threading.current_thread():
                worker.join(max(0.0, deadline - time.monotonic()))
        # A worker that is still in a long step keeps the lock file: its job dies with the process and not before.
        if not any(worker.is_alive() for worker in self._workers.values()):
            self._presence.close()

    # -- what workers call -------------------------------------------------------------------------------------------

    def take(self, device: str) -> tuple[Job, RunSpec] | None:
        with self._wake:
            line = self._lines[device]
            self._wake.wait_for(lambda: bool(line) or self._closing)
            if self._closing:
                return None
            job = self._get(line.take())
            job.state, job.started = State.RUNNING, time.time()
            self._save(job)
            return job, job.known_spec

    def begin(self, job: Job, kept: tuple[Event, ...]) -> None:
        if kept != tuple(job.events):
            self._store.rewrite(job.id, kept)
        with self._lock:
            job.events = list(kept)

    def record(self, job: Job, event: Event) -> bool:
        self._store.append(job.id, event)  # before it is shown: what was seen is never lost
        with self._lock:
            job.events.append(event)
        return not self.stopping(job)

    def stopping(self, job: Job) -> bool:
        with self._lock:
            job.intent = job.intent.noticed()
            job.overdue = job.overdue or (job.started or 0.0) + self.rules.longest_s < time.time()
            return job.intent is not Intent.GO_ON or self._closing or job.overdue

    def finish(self, job: Job, state: State, error: str | None) -> None:
        with self._lock:
            if state is State.CANCELLED and job.overdue and not job.intent.stopping:
                state, error = State.FAILED, self.rules.too_long
            if state is State.CANCELLED and not job.intent.stopping:
                state = State.INTERRUPTED  # the server closes, or the job makes room; nobody cancelled
            if error is not None:
                with contextlib.suppress(sqlite3.Error):  # the disk may be full; memory still knows
                    self._store.append(job.id, Failed(error))
                job.events.append(Failed(error))
            if state is State.DONE:
                self.workspace.drop_scratch(job.key)
            comes_back = job.intent is Intent.RETURN and state is not State.DONE and not self._closing
            self._end(job, state, error)
            if comes_back:
                self._again(job, None)

    # -- the inside: always under the lock ---------------------------------------------------------------------------

    def _again(self, job: Job, owner: str | None) -> None:
        """Make sure that a job that has not finished goes on; where it had stopped, for ``owner``."""
        if job.state is State.RUNNING:
            if job.intent.stopping and owner is not None:
                job.owner = owner  # who wants it, when another has asked for its end
            job.intent = job.intent.resumed()
        elif job.state not in (State.DONE, State.QUEUED):
            if owner is not None:
                self._admit(job.known_spec, owner)
                job.owner = owner
            job.device = queue_of(job.known_spec, self._crew)  # the machine may have changed since
            self._recent.keep(job)
            job.state, job.error, job.finished, job.started = State.QUEUED, None, None, None
            job.attempt += 1
            job.server = self._presence.id
            self._enqueue(job)

    def _enqueue(self, job: Job) -> None:
        job.intent, job.overdue = Intent.GO_ON, False
        self._save(job)
        self._lines.setdefault(job.device, Line()).add(job.id, job.owner, job.unasked)
        if not job.unasked:
            self._make_room(job.device)
        if job.device not in self._workers:
            worker = Worker(job.device, self, self.workspace, self._threads, self._log, self._outside, self._crew)
            self._workers[job.device] = worker
            worker.start()
        self._wake.notify_all()

    def _make_room(self, device: str) -> None:
        """What nobody asked for stops at its next event and waits its turn."""
        for job in self._recent.all():
            if job.device == device and job.state is State.RUNNING and job.unasked:
                job.intent = job.intent.aside()

    def _end(self, job: Job, state: State, error: str | None = None) -> None:
        now = time.time()
        if job.state is State.RUNNING and job.started is not None:
            job.seconds += max(0.0, now - job.started)
        job.state, job.error, job.finished, job.intent = state, error, now, Intent.GO_ON
        self._save(job)
        self._wake.notify_all()

    def _adopt(self) -> None:
        servers = self.workspace.root / LOCKS
        adopt(self._store, self.workspace, servers, self._log, self._outside, self._presence.id)

    def _outside(self, spec: RunSpec) -> Supervisor | None:
        """What runs it in a process of its own; None where it stays in this one."""
        limits = self._elsewhere.limits(spec, self.workspace) if self._elsewhere else None
        if self._elsewhere is None or limits is None:
            return None
        limits = replace(limits, threads=self._threads, memory=self.rules.memory_of(limits.memory))
        where = self._elsewhere
        return Supervisor(where.children, limits, self.workspace, self._catalogue, self._log, where.provide)

    def _save(self, job: Job) -> None:
        try:
            self._store.save(job)
        except sqlite3.Error as error:  # a full disk must not stop the thread; the next start sees "interrupted"
            self._log.error("the state of run %s was not stored", job.id, exc_info=error)

    def _view(self, job: Job, since: int = 0) -> JobView:
        order = self._lines[job.device].order() if job.state is State.QUEUED and job.device in self._lines else []
        return job.view(since, order.index(job.id) + 1 if job.id in order else None)

    def _get(self, job_id: str) -> Job:
        job = self._recent.find(job_id)
        if job is None:
            raise UserError("This run is no longer stored. Start it again.")
        return job

    def _admit(self, spec: RunSpec, owner: str) -> None:
        if self._closing:
            raise UserError("The server is shutting down. Start the run again when it is back.")
        if not spec.unasked:
            self.rules.admit(owner, self._lines.values(), lambda: self.ledger.used(owner))


def _close_at_exit(jobs: weakref.ref[Jobs]) -> None:
    alive = jobs()
    if alive is not None:
        alive.close()
