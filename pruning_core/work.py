"""Long work as a generator: it yields what it has to say and returns its result. Whoever drives one does it here.

Knows nothing of runs and of torch, so that every floor may use it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")  # what the work yields
E = TypeVar("E")  # what is told of it
R = TypeVar("R")  # what it returns


def told(work: Generator[T, Any, R], say: Callable[[T], Iterable[E]]) -> Generator[E, None, R]:
    """Use with ``yield from``: yields ``say(...)`` of everything that ``work`` yields, and returns what it returns.

    However this one ends, closed or by an error of ``say``, ``work`` is closed with it: its ``finally`` clauses run at
    once and not when the garbage collector comes by.
    """
    try:
        while True:
            try:
                item = next(work)
            except StopIteration as end:
                result: R = end.value
                return result
            yield from say(item)
    finally:
        work.close()


def finished(work: Generator[Any, Any, R]) -> R:
    """What ``work`` returns once it has come to its end; nobody hears what it says on the way."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: R = end.value
            return result
