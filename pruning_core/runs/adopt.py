"""Taking over what a dead server left: its unfinished jobs are interrupted, and can be resumed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from pruning_core.runs.elsewhere import Supervisor
from pruning_core.runs.events import Event
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.store import Job, Store
from pruning_core.storage.presence import is_alive
from pruning_core.storage.workspace import Workspace


def adopt(
    store: Store,
    workspace: Workspace,
    servers: Path,
    log: logging.Logger,
    outside: Callable[[RunSpec], Supervisor | None] = lambda spec: None,
    but: str = "",
) -> None:
    """Mark the unfinished jobs of dead servers; those of living ones are left alone. ``servers``: their lock files.

    ``outside``: what runs it, for runs that have a process of their own. ``but``: the server that asks.
    """
    unfinished = store.unfinished()
    dead = {server for server in {server for _, server in unfinished} - {but} if not is_alive(servers, server)}
    for job_id, server in unfinished:
        if server in dead and store.interrupt(job_id, server) and (job := store.load(job_id)) is not None:
            _salvage(job, store, workspace, log, outside)


def _salvage(
    job: Job,
    store: Store,
    workspace: Workspace,
    log: logging.Logger,
    outside: Callable[[RunSpec], Supervisor | None],
) -> None:
    if job.spec is None or not job.events:
        return

    def record(event: Event) -> bool:
        store.append(job.id, event)
        return True

    try:
        if supervisor := outside(job.spec):
            supervisor.salvage(job.spec, tuple(job.events), record, job.id[:8])
            return
        for event in job.spec.salvage(workspace, tuple(job.events)):
            record(event)
    except Exception as error:  # a broken leftover must not keep the server from starting
        log.error("run %s: nothing could be saved", job.id, exc_info=error)
