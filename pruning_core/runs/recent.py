"""Jobs in memory: those at work, and those that ended lately, with their events."""

from __future__ import annotations

from collections.abc import Iterable

from pruning_core.runs.store import Job, Store

REMEMBERED = 200  # finished jobs whose events stay in memory


class Recent:
    """What was asked for longest ago is forgotten first; the store still has it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: dict[str, Job] = {}

    def held(self, job_id: str) -> Job | None:
        """Where it is in memory."""
        return self._jobs.get(job_id)

    def find(self, job_id: str) -> Job | None:
        """From memory or the store; None where neither has it."""
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._jobs[job_id] = job  # the last to be forgotten
            return job
        job = self._store.load(job_id)
        if job is not None and not job.state.active:  # an active one belongs to another server: read it each time
            self.keep(job)
        return job

    def keep(self, job: Job) -> None:
        self._jobs[job.id] = job
        ended = [known.id for known in self._jobs.values() if not known.state.active and known is not job]
        for job_id in ended[: max(0, len(ended) - REMEMBERED)]:
            del self._jobs[job_id]

    def drop(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)

    def all(self) -> Iterable[Job]:
        return self._jobs.values()
