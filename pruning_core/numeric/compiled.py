"""Loops that run as machine code, compiled when first called."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_lock = threading.Lock()


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a self-contained function of arrays and numbers on its first call.

    The compiler is imported only then, because that takes longer than the rest of the core. The global interpreter
    lock is released while the function runs, so that threads can share the work; the compiler's own parallel loops
    are not used: one of their back ends aborts the process when two threads of a server meet in it. Machine code is
    kept beside the source, or in the user's cache; where neither can be written it is compiled anew in every process.
    """
    ready: list[Callable[P, R]] = []

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not ready:
            with _lock:
                if not ready:
                    ready.append(_compile(function))
        return ready[0](*args, **kwargs)

    return call


def _compile(function: Callable[P, R]) -> Callable[P, R]:
    import numba

    # no promise about infinities: sums may be reordered into vectors, but NaN and inf keep their meaning
    options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # no writable place for the cache
        return numba.njit(function, **options)
