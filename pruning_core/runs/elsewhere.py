"""A run in a child: what the server does. Nothing that the child says is believed before it was looked at."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pruning_core.isolation.ended import End, How
from pruning_core.isolation.limits import Limits
from pruning_core.isolation.wire import Kind
from pruning_core.runs.attempt import NO_MEMORY, sentence
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.errand import BEGUN, EVENT, KEPT, OUTBOX, Errand
from pruning_core.runs.events import Event
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace

if TYPE_CHECKING:
    from pruning_core.isolation.child import Child
    from pruning_core.isolation.children import Children

TASK = "run"  # what the table of the fork server calls ``errand.running``
HOME = "children"  # folder of the data directory
ENDINGS = {State.DONE, State.CANCELLED, State.FAILED}


@dataclass(frozen=True)
class Elsewhere:
    """Where runs happen outside the server's process; ``limits`` of a run that does, None where it stays inside.

    ``provide``: has everything in the data directory that such a run cannot fetch for itself; calls its last argument
    many times a second. Raises UserError when something cannot be had.
    """

    children: Children
    limits: Callable[[RunSpec, Workspace], Limits | None]
    provide: Callable[[RunSpec, Workspace, Callable[[], None]], None] = lambda spec, workspace, look: None


@dataclass(frozen=True)
class Listener:
    """What the server does with what a run tells: see ``worker.Desk``."""

    begin: Callable[[tuple[Event, ...]], None]
    record: Callable[[Event], bool]
    stopping: Callable[[], bool]


@dataclass(frozen=True)
class Supervisor:
    """Runs ``spec`` in a child, with everything that this takes."""

    children: Children
    limits: Limits
    workspace: Workspace
    catalogue: Catalogue
    log: logging.Logger
    provide: Callable[[RunSpec, Workspace, Callable[[], None]], None] = lambda spec, workspace, look: None

    def run(
        self, spec: RunSpec, past: tuple[Event, ...], listener: Listener, reference: str
    ) -> tuple[State, str | None]:
        """As ``attempt``: DONE, CANCELLED or FAILED, the last with a sentence. Nothing is raised."""
        return self._guarded(spec, past, listener, reference, False)

    def salvage(self, spec: RunSpec, past: tuple[Event, ...], record: Callable[[Event], bool], reference: str) -> None:
        """The last events of a run that was stopped; what goes wrong stands in the log."""
        if type(spec).salvage is not RunSpec.salvage:
            listener = Listener(lambda kept: None, record, lambda: False)
            self._guarded(spec, past, listener, f"{reference} (salvage)", True)

    def _guarded(
        self, spec: RunSpec, past: tuple[Event, ...], listener: Listener, reference: str, salvaging: bool
    ) -> tuple[State, str | None]:
        def look() -> None:
            if listener.stopping():
                raise _Unwanted

        scratch = self.workspace.scratch(spec.key)
        given = Errand(dump(spec), tuple(map(dump, past)), str(self.workspace.root), reference, salvaging)
        try:
            self.provide(spec, self.workspace, look)
            with self.children.begin(TASK, dump(given), self.limits, self.workspace.root / HOME) as child:
                return _Attempt(self, child, listener).followed()
        except _Unwanted:
            return State.CANCELLED, None
        except BaseException as error:
            return State.FAILED, sentence(error, self.log, reference)
        finally:
            with suppress(OSError):
                scratch.rmdir()  # where nothing was kept


class _Unwanted(Exception):
    """It was cancelled before it began."""


class _Attempt:
    """The inside of one."""

    def __init__(self, supervisor: Supervisor, child: Child, listener: Listener) -> None:
        self._own, self._child, self._listener = supervisor, child, listener
        self._kept: list[Event] = []
        self._problem: BaseException | None = None  # ours, on the way; the child then ends in good order

    def followed(self) -> tuple[State, str | None]:
        for kind, value in self._child.messages(lambda: self._problem is not None or self._listener.stopping()):
            match kind:
                case Kind.LOG:
                    self._own.log.error("a child: %s", str(value))
                case Kind.EVENT if self._problem is None:
                    self._heard(value)
                case Kind.RESULT if self._problem is None:
                    return self._ended(value)
                case Kind.MEMORY if self._problem is None:
                    return State.FAILED, NO_MEMORY
                case Kind.BROKE if self._problem is None:
                    self._own.log.error("a child: %s", str(value))
                    return State.FAILED, "Something unexpected went wrong. The server's log file has the details."
        if self._problem is not None:
            raise self._problem
        return _of(self._child.end)

    def _heard(self, value: Any) -> None:
        try:
            what, text = value
            if what == BEGUN:
                self._listener.begin(tuple(self._kept))
                return
            event = self._own.catalogue.checked_event(text)
            if what == KEPT:
                self._kept.append(event)
            elif what == EVENT:
                self._own.workspace.artifacts.take_over(self._child.folder / OUTBOX)
                self._listener.record(event)
        except BaseException as problem:  # a full disk, or something that is no event
            self._problem = problem

    def _ended(self, value: Any) -> tuple[State, str | None]:
        with suppress(ValueError, TypeError):
            state, error = value
            if State(state) in ENDINGS and (error is None or isinstance(error, str)):
                return State(state), error
        return State.FAILED, "The process of this run answered with something that is no answer. Start it again."


def _of(end: End) -> tuple[State, str | None]:
    match end.how:
        case How.STOPPED:
            return State.CANCELLED, None
        case How.MEMORY:
            return State.FAILED, NO_MEMORY
    return State.FAILED, (
        f"The process of this run ended before its time: {end.reason}. The server goes on, and what was done is kept: "
        "resume the run, or choose other settings if it happens again."
    )
