"""Turning work that reports through a callback, or too often, into a generator of a few events a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from pruning_core.runs.events import Event, Progress, Stage

T = TypeVar("T")
Report = Callable[[str, int, int], None]
EVERY = 0.25  # seconds between events, and at most this long until a cancel is noticed
PATIENCE = 10.0  # seconds that a closed generator waits for the work to notice


class _Stopped(BaseException):
    """Raised inside the work when nobody waits for it any more. Not an Exception: the work must not swallow it."""


def narrated(work: Callable[[Report], T], unit: str) -> Generator[Event, None, T]:
    """Run ``work(report)`` in a thread of its own and yield what it reports; ``yield from`` gives its result.

    ``report(what, done, total)`` becomes a Stage for a new ``what`` and a Progress several times a second. When the
    generator is closed, the next report raises inside the work. Errors of the work are raised here.
    """
    over, stop = threading.Event(), threading.Event()
    latest: list[tuple[str, int, int]] = []
    results: list[T] = []
    errors: list[BaseException] = []

    def report(what: str, done: int, total: int) -> None:
        if stop.is_set():
            raise _Stopped
        latest[:] = [(what, done, total)]

    def run() -> None:
        try:
            results.append(work(report))
        except BaseException as error:  # raised again in the thread that waits
            errors.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=run, name="narrated", daemon=True)
    thread.start()
    try:
        stage = ""
        while not over.wait(EVERY):
            for what, done, total in tuple(latest):
                if what != stage:
                    stage = what
                    yield Stage(what)
                yield Progress(done, total, unit)
        if errors:
            raise errors[0]
        return results[0]
    finally:
        stop.set()
        thread.join(PATIENCE)


def throttled(events: Iterable[T]) -> Iterator[T]:
    """The first and the last of ``events`` and those in between that are ``EVERY`` seconds apart."""
    shown, waiting = float("-inf"), None
    for event in events:
        waiting = event
        if time.perf_counter() - shown >= EVERY:
            shown, waiting = time.perf_counter(), None
            yield event
    if waiting is not None:
        yield waiting
