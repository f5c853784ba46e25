"""Taking over what a dead server left: its unfinished jobs are interrupted, and can be resumed."""

from __future__ import annotations

import logging
from pathlib import Path

from pruning_core.runs.store import Job, Store
from pruning_core.runs.view import State
from pruning_core.storage.presence import is_alive
from pruning_core.storage.workspace import Workspace


def adopt(store: Store, workspace: Workspace, servers: Path, log: logging.Logger) -> None:
    """Mark the unfinished jobs of dead servers; those of living ones are left alone. ``servers``: their lock files."""
    unfinished = store.unfinished()
    dead = {server for server in {server for _, server in unfinished} if not is_alive(servers, server)}
    for job_id, server in unfinished:
        job = store.load(job_id) if server in dead else None
        if job is not None:
            job.state = State.INTERRUPTED
            store.save(job)
            _salvage(job, store, workspace, log)


def _salvage(job: Job, store: Store, workspace: Workspace, log: logging.Logger) -> None:
    if job.spec is None or not job.events:
        return
    try:
        for event in job.spec.salvage(workspace, tuple(job.events)):
            store.append(job.id, event)
    except Exception as error:  # a broken leftover must not keep the server from starting
        log.error("run %s: nothing could be saved", job.id, exc_info=error)
