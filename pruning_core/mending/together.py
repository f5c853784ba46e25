"""Several runs of a network that stand still at the same places: every layer waits until all images have come to it.

So what a layer reads of all images is known before any of them goes on, and what lives in the meantime is what the
network itself still needs at that place. One run goes on at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from typing import Generic, TypeVar

from torch import Tensor

from pruning_core.errors import UserError

T = TypeVar("T")
Halt = Callable[[T], None]
MOST, FEWEST = 16, 16  # runs at a time, images of one


def batches(images: Tensor) -> list[slice]:
    """Which images run together."""
    size = max(FEWEST, -(-len(images) // MOST))
    return [slice(start, min(start + size, len(images))) for start in range(0, len(images), size)]


def together(run: Callable[[Tensor, Halt[T]], object], images: Sequence[Tensor]) -> Generator[list[T], None, None]:
    """``run(batch, halt)`` for each of ``images``, halting at every ``halt(what)``: yields what all halted with.

    The list is emptied when they go on. Close this generator when it is left early. Raises what a run raises, and
    UserError when they do not halt at the same places.
    """
    runs = [_Run(run, batch) for batch in images]
    try:
        while True:
            halted = [what for each in runs for what in each.to_next()]
            if not halted:
                return
            if len(halted) < len(runs):
                raise UserError("This network takes other ways for some images than for others: it cannot be mended.")
            yield halted
            halted.clear()
    finally:
        for each in runs:
            each.close()


class _Left(BaseException):
    """Raised where a run stands when nobody wants it to go on. Not an Exception: a network must not swallow it."""


class _Run(Generic[T]):
    def __init__(self, run: Callable[[Tensor, Halt[T]], object], batch: Tensor) -> None:
        self._run, self._batch = run, batch
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._halted: list[T] = []
        self._error: BaseException | None = None
        self._left = self._over = False
        self._thread = threading.Thread(target=self._work, name="mending", daemon=True)

    def to_next(self) -> list[T]:
        """What it halts with next; nothing when it has ended."""
        if self._over:
            return []
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._stands.acquire()
        if self._error is not None:
            raise self._error
        halted, self._halted = self._halted, []
        return halted

    def close(self) -> None:
        self._left = True
        if self._thread.ident is not None and not self._over:
            self._go.release()
            self._thread.join()

    def _work(self) -> None:
        try:
            self._run(self._batch, self._halt)
        except _Left:
            pass
        except BaseException as error:  # raised again where the runs are driven
            self._error = error
        finally:
            self._over = True
            self._stands.release()

    def _halt(self, what: T) -> None:
        self._halted.append(what)
        del what
        self._stands.release()
        self._go.acquire()
        if self._left:
            raise _Left
