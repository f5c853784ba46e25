"""What a page sees of a job: an immutable snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pruning_core.runs.events import Event

E = TypeVar("E")


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def active(self) -> bool:
        """True while events may still come."""
        return self in (State.QUEUED, State.RUNNING)


class Cancel(StrEnum):
    """The answer to a cancel, as a sentence for the page."""

    STOPPING = "The run stops at its next step; what is done is kept."
    REMOVED = "The run was still waiting and has left the queue."
    ALREADY = "The run had been cancelled before."
    OVER = "The run had already ended."
    SHARED = "Somebody else started this run and waits for it, so it goes on; it has left your list."
    NOT_YOURS = "The run belongs to another visitor, who alone can stop it."
    ELSEWHERE = "The run belongs to another server process on the same data; cancel it there."


@dataclass(frozen=True)
class JobView:
    """One job at one moment.

    ``events`` are those from number ``first`` on, ``count`` is how many there are in all: ask for ``since=count`` next
    time. A resumed job may keep fewer events than it showed before; then ``attempt`` has grown, and the reader starts
    again from 0. ``position`` is 1 for the next in the queue, None when the job does not wait. ``stopping`` says that a
    cancel was asked for. Times are seconds since 1970; ``seconds`` is the time spent running, all attempts together.
    """

    id: str
    key: str
    kind: str
    title: str
    state: State
    stopping: bool
    position: int | None
    attempt: int
    events: tuple[Event, ...]
    first: int
    count: int
    created: float
    started: float | None
    finished: float | None
    seconds: float
    device: str
    error: str | None

    @property
    def active(self) -> bool:
        return self.state.active

    def all(self, kind: type[E]) -> tuple[E, ...]:
        """The events of one class, oldest first (of those in this snapshot)."""
        return tuple(event for event in self.events if isinstance(event, kind))

    def last(self, kind: type[E]) -> E | None:
        """The newest event of one class (of those in this snapshot)."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)
