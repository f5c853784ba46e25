"""One value per process, whatever Streamlit's caches do.

A message that any browser may send empties those. What owns threads or a lock must not be made a second time by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Makes a value for each name when it is first asked for, in one thread, and keeps it until the process ends."""

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make, self._lock = make, threading.RLock()
        self._made: dict[str, T] = {}

    def __call__(self, name: str) -> T:
        """Raises whatever making it raises; the next call then tries again."""
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def made(self) -> tuple[T, ...]:
        """Those that somebody has asked for."""
        with self._lock:
            return tuple(self._made.values())

    def clear(self) -> None:
        """Forget them; for tests."""
        with self._lock:
            self._made.clear()
