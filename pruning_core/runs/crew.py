"""Others who do pieces of a run: any executor, results as they come in, and again what a lost worker had begun.

A piece is a run itself, whose text says all that it needs. So it gives the same events wherever and however often it
is done, and a run that is made of pieces ends as if it had been done here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pruning_core import __version__
from pruning_core.errors import UserError
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Event
from pruning_core.runs.piece import Asked, Brought
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace

EVERY = 0.25  # seconds after which a waiting run says that it still waits, and can be cancelled
ATTEMPTS = 4  # at one piece, before it is taken for what ends the workers
CLUSTER = "cluster"  # the queue of runs that a crew does
NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")  # how a file of the store is named

T = TypeVar("T")
Task = Callable[..., Brought]  # of an Asked, and the bytes of files
Split = Callable[[Workspace, tuple[Event, ...], "Crew"], Iterator[Event]]  # as RunSpec.run, by a crew


@dataclass(frozen=True)
class Crew:
    """Workers, and how they are reached.

    ``open`` gives their executor, called again where that broke. ``task`` can be found by name where they are.
    ``split``: how a run is made of pieces; None for a run that stays where it is. ``size``: how many pieces they do at
    once, as far as known. ``near``: they see this machine's data directory; else files that a piece names are sent
    after it where a worker lacks them, as what ``share`` makes of the bytes: a cluster moves that to each worker once.
    ``lost``: errors that say nothing of the piece, only that its worker is gone.
    """

    open: Callable[[], Executor]
    task: Task
    catalogue: Catalogue
    split: Callable[[RunSpec], Split | None]
    size: Callable[[], int] = lambda: 2
    near: bool = True
    share: Callable[[bytes], Any] = lambda data: data
    lost: tuple[type[BaseException], ...] = ()


def queue_of(spec: RunSpec, crew: Crew | None) -> str:
    """Where a run waits: for the device that it names, or for the crew that does it."""
    return CLUSTER if crew is not None and crew.split(spec) is not None else spec.queue()


class Hands:
    """What one run has given to a crew. A context: what is not done when it ends is called off.

    Whatever may wait for a network happens in a thread of its own, so that the run hears of a cancel meanwhile.
    """

    def __init__(self, crew: Crew, workspace: Workspace) -> None:
        self._crew, self._workspace, self._over = crew, workspace, False
        self._executor: Executor | None = None
        self._waiting: dict[Future[Brought], RunSpec] = {}
        self._attempts: dict[RunSpec, int] = {}
        self._shared: dict[str, Any] = {}
        self._lost: tuple[type[BaseException], ...] = (BrokenExecutor, CancelledError, *crew.lost)

    def __enter__(self) -> Hands:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for future in list(self._waiting):
            future.cancel()
        self._waiting.clear()
        self._shared.clear()

    def reach(self) -> Generator[None, None, int]:
        """Meet the crew: None while it is not there, a few times a second; returns how many pieces it does at once."""

        def reached() -> int:
            self._executor = self._executor or self._crew.open()
            return max(1, self._crew.size())

        return (yield from _aside(reached))

    def give(self, piece: RunSpec) -> None:
        """Have it done. The same piece twice is done once."""
        if piece not in self._attempts:
            self._attempts[piece] = 0
            self._submit(piece)

    def results(self) -> Iterator[tuple[RunSpec, tuple[Event, ...]] | None]:
        """Pieces with their events, in the order in which they are done; None while nothing is, a few times a second.

        More may be given meanwhile. Ends when nothing is left to wait for. Raises UserError for what a worker says
        that a person should read, and for a piece whose worker was lost again and again.
        """
        for found in self.ended():
            if found is None:
                yield None
            elif isinstance(found[1], UserError):
                raise found[1]
            else:
                yield found[0], found[1]

    def ended(self) -> Iterator[tuple[RunSpec, tuple[Event, ...] | UserError] | None]:
        """As ``results``, with what ``results`` raises in the place of the piece's events."""
        while self._waiting:
            ready, _ = wait(self._waiting, EVERY, FIRST_COMPLETED)
            if not ready:
                yield None
            for future in ready:
                piece = self._waiting.pop(future)
                try:
                    brought = future.result()
                except self._lost as loss:
                    if problem := (yield from self._again(piece)):
                        problem.__cause__ = loss
                        yield piece, problem
                    continue
                if brought.lacking:
                    yield from _aside(partial(self._submit, piece, brought.lacking))
                else:
                    yield piece, UserError(brought.problem) if brought.problem else self._received(brought)

    def one(self, piece: RunSpec) -> Iterator[tuple[Event, ...] | None]:
        """Give ``piece`` and wait for it alone: None while it is not done, then its events."""
        self.give(piece)
        for found in self.results():
            yield found[1] if found else None

    def _submit(self, piece: RunSpec, lacking: tuple[str, ...] = ()) -> None:
        asked, sent = self._asked(piece), [self._file(name) for name in lacking]
        self._executor = self._executor or self._crew.open()
        try:
            future = self._executor.submit(self._crew.task, asked, *sent)
        except BrokenExecutor:
            self._executor = self._crew.open()
            future = self._executor.submit(self._crew.task, asked, *sent)
        self._waiting[future] = piece
        if self._over:  # in the meantime
            future.cancel()

    def _asked(self, piece: RunSpec) -> Asked:
        text, workspace = dump(piece), self._workspace
        if self._crew.near:
            return Asked(text, __version__, str(workspace.root))
        return Asked(
            text, __version__, files=tuple(n for n in dict.fromkeys(NAME.findall(text)) if workspace.artifacts.has(n))
        )

    def _file(self, name: str) -> Any:
        """What stands for the file of this name in a task."""
        if name not in self._shared:
            self._shared[name] = self._crew.share(self._workspace.artifacts.read(name))
        return self._shared[name]

    def _again(self, piece: RunSpec) -> Generator[None, None, UserError | None]:
        self._attempts[piece] += 1
        if self._attempts[piece] >= ATTEMPTS:
            return UserError(
                f"Workers ended {ATTEMPTS} times while they did the same part of this run. Look at their memory and "
                "their logs, then resume the run."
            )
        self._shared.clear()  # it may have lain with the worker that is gone
        yield from _aside(partial(self._submit, piece))
        return None

    def _received(self, brought: Brought) -> tuple[Event, ...]:
        for data in brought.files:
            self._workspace.artifacts.put(data)
        return tuple(self._crew.catalogue.event(text) for text in brought.events)


def _aside(call: Callable[[], T]) -> Generator[None, None, T]:
    """What ``call`` returns or raises; None a few times a second until it does."""
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, name="to a crew", daemon=True).start()
    while not wait((done,), EVERY).done:
        yield None
    return done.result()
