"""One task in a process of its own, as the server sees it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pruning_core.errors import UserError
from pruning_core.isolation.ended import GONE, NONSENSE, STOPPED, End, How, end_of
from pruning_core.isolation.limits import DEATHS, Death, Limits
from pruning_core.isolation.wire import LAST, Garbled, Kind, Lines, Message, packed

LOOK = 0.05  # seconds between two looks at whether somebody wants an end
GRACE = 10.0  # seconds for an orderly end
TOTAL = 1 << 30  # bytes that one child may say


class Died(Exception):
    """The child ended without a last word. ``end`` says how."""

    def __init__(self, end: End) -> None:
        super().__init__(end.reason)
        self.end = end


class Broke(Exception):
    """The task raised something that nobody meant for a person; ``trace`` is its traceback, as text."""

    def __init__(self, trace: str) -> None:
        super().__init__(trace.strip().rpartition("\n")[2])
        self.trace = trace


class Child:
    """Leave it with ``with``: then the process is ended, whatever it was doing, and its folder removed.

    ``folder`` is where it leaves files. Used by one thread at a time.
    """

    def __init__(self, folder: Path, held: int, limits: Limits, channel: socket.socket, told: socket.socket) -> None:
        self.folder, self.limits, self._held = folder, limits, held
        self._channel, self._told = channel, told
        told.settimeout(GRACE)  # a child that closes its side is as good as dead
        self._lines, self._waiting, self._bytes = Lines(), list[Message](), 0
        self._stop_by: float | None = None
        self._end: End | None = None

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def result(self, event: Callable[[Any], None] = lambda value: None) -> Any:
        """Wait for what came of the task, telling ``event`` what happens on the way.

        Raises UserError as the task did, Broke when it raised another error, Died when it ended otherwise, and
        MemoryError. Values are JSON that a stranger may have forged: look at them before they are used.
        """
        for kind, value in self.messages():
            match kind:
                case Kind.EVENT:
                    event(value)
                case Kind.RESULT:
                    return value
                case Kind.REFUSED:
                    raise UserError(_text(value))
                case Kind.MEMORY:
                    raise MemoryError
                case Kind.BROKE:
                    raise Broke(_text(value))
        raise Died(self.end)

    def messages(self, stopping: Callable[[], bool] = lambda: False) -> Iterator[Message]:
        """What the child says, until its last word or its end (``end``).

        ``stopping`` is asked many times a second; once it says True, the task is asked to end, what it still says is
        heard, and after a grace it is ended.
        """
        while self._end is None:
            for message in self._hear(stopping):
                yield message
                if message[0] in LAST:
                    self._end = End(How.ITSELF)
                    return

    def ask(self, value: Any) -> None:
        """Something for a task that listens. Raises Died when it no longer does."""
        try:
            self._channel.sendall(packed(Kind.ASK, value))
        except OSError as error:
            raise Died(self.end) from error

    @property
    def end(self) -> End:
        """How it ended; waits until it has."""
        if self._end is None:
            self._end = self._told_end()
        return self._end

    def close(self) -> None:
        """End it now; safe to call twice."""
        self._told.close()  # the fork server ends it, and what it may have started
        self._channel.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def _hear(self, stopping: Callable[[], bool]) -> list[Message]:
        """The next messages, [] when there are none yet; sets ``_end`` when there will be none."""
        if self._stop_by is None and stopping():
            self._stop_by = time.monotonic() + GRACE
            with contextlib.suppress(OSError):
                self._channel.sendall(packed(Kind.STOP, None))
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self._end = STOPPED
            return []
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._told, select.POLLIN)
        ready = {number for number, _ in poll.poll(1000 * LOOK)}
        if self._channel.fileno() in ready and (data := self._received()):
            return self._understood(data)
        if ready:  # its side is closed, or its end was told
            while data := self._received():
                if found := self._understood(data):
                    return found
            self._end = self._end or self._told_end()
        return []

    def _received(self) -> bytes:
        try:
            return self._channel.recv(1 << 18, socket.MSG_DONTWAIT)
        except OSError:  # nothing there, or nobody
            return b""

    def _understood(self, data: bytes) -> list[Message]:
        self._bytes += len(data)
        try:
            if self._bytes > TOTAL:
                raise Garbled("more than anybody would say")
            return self._lines.add(data)
        except Garbled:
            self._end = NONSENSE
            return []

    def _told_end(self) -> End:
        with contextlib.suppress(OSError, ValueError, TypeError):
            if data := self._told.recv(1 << 12):
                death: Death = DEATHS.load(data.decode())
                return STOPPED if self._stop_by is not None and death.status == 0 else end_of(death, self.limits)
        return GONE


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "It said no more."
