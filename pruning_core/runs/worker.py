"""The one background thread of a device: takes jobs in order and runs each on a clean slate."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from pruning_core.runs.attempt import attempt, sentence
from pruning_core.runs.crew import Crew, Split
from pruning_core.runs.elsewhere import Listener, Supervisor
from pruning_core.runs.events import Event
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.store import Job
from pruning_core.runs.view import State
from pruning_core.storage.workspace import Workspace


class Desk(Protocol):
    """Where a worker gets its jobs and hands in what it did."""

    def take(self, device: str) -> tuple[Job, RunSpec] | None:
        """Blocks until there is a job; None means that there will be none."""

    def begin(self, job: Job, kept: tuple[Event, ...]) -> None:
        """The attempt starts with these events of an earlier one."""

    def record(self, job: Job, event: Event) -> bool:
        """Store an event; False asks the run to stop."""

    def stopping(self, job: Job) -> bool:
        """Whether the run is to stop; asked by those that can do so between two events."""

    def finish(self, job: Job, state: State, error: str | None) -> None:
        """The attempt is over."""


class Worker(threading.Thread):
    """A daemon thread, so that a long step never holds up the end of the process."""

    def __init__(
        self,
        device: str,
        desk: Desk,
        workspace: Workspace,
        threads: int,
        log: logging.Logger,
        outside: Callable[[RunSpec], Supervisor | None] = lambda spec: None,
        crew: Crew | None = None,
    ) -> None:
        super().__init__(name=f"runs on {device}", daemon=True)
        self.device = device
        self._desk = desk
        self._workspace = workspace
        self._threads = threads
        self._log = log
        self._outside = outside
        self._crew = crew

    def run(self) -> None:
        while (taken := self._desk.take(self.device)) is not None:
            self._attempt(*taken)

    def _attempt(self, job: Job, spec: RunSpec) -> None:
        reference = f"{job.id[:8]}.{job.attempt}"
        spread = self._crew.split(spec) if self._crew else None
        supervisor = self._outside(spec) if spread is None else None
        if supervisor is not None:
            state, error = self._supervised(supervisor, job, spec, reference)
        else:
            state, error = self._inside(job, spec, reference, spread)
        self._desk.finish(job, state, error)

    def _supervised(self, supervisor: Supervisor, job: Job, spec: RunSpec, reference: str) -> tuple[State, str | None]:
        listener = Listener(
            lambda kept: self._desk.begin(job, kept),
            lambda event: self._desk.record(job, event),
            lambda: self._desk.stopping(job),
        )
        state, error = supervisor.run(spec, tuple(job.events), listener, reference)
        if state is not State.DONE:
            supervisor.salvage(spec, tuple(job.events), listener.record, reference)
        return state, error

    def _inside(self, job: Job, spec: RunSpec, reference: str, spread: Split | None) -> tuple[State, str | None]:
        def start() -> Iterator[Event]:
            self._reset()
            kept = spec.keep(self._workspace, tuple(job.events)) if job.events else ()
            self._desk.begin(job, kept)
            if spread is not None and self._crew is not None:
                return spread(self._workspace, kept, self._crew)
            return spec.run(self._workspace, kept)

        state, error = attempt(start, lambda event: self._desk.record(job, event), self._log, reference)
        if state is not State.DONE:
            try:
                for event in spec.salvage(self._workspace, tuple(job.events)):
                    self._desk.record(job, event)
            except Exception as problem:  # what cannot be saved must not hide why the run stopped
                sentence(problem, self._log, f"{reference} (salvage)")
        return state, error

    def _reset(self) -> None:
        """The torch state of this thread, whatever the last run left; memory it no longer needs goes back."""
        import torch  # here, because pages show stored jobs before torch is loaded

        torch.set_num_threads(self._threads)
        torch.set_grad_enabled(True)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def spare_threads() -> int:
    """One core less than the process may use, so that the page stays quick; at least one."""
    import os

    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1)
    return max(1, cores - 1)
