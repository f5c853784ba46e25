"""A child's side of the conversation."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pruning_core.isolation.limits import TEXT
from pruning_core.isolation.wire import Kind, Lines, packed


class Stopped(BaseException):
    """Nobody waits for the child any more. Not an Exception: the work must not swallow it."""


class Talk:
    """What a task says and hears; values are plain JSON."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel, self._lines = channel, Lines()
        self._heard: list[Any] = []
        self._stopping = False

    def say(self, value: Any) -> bool:
        """Tell of something on the way; False asks the task to stop soon."""
        self.send(Kind.EVENT, value)
        return not self.stopping()

    def log(self, text: str) -> None:
        """A text for the server's log."""
        self.send(Kind.LOG, text[-TEXT:])

    def hear(self) -> Any:
        """Wait for what the server asks next. Raises Stopped when nothing more will come."""
        while not self._heard and not self._stopping:
            self._read()
        if self._stopping:
            raise Stopped
        return self._heard.pop(0)

    def stopping(self) -> bool:
        """Whether the server has asked for an end; does not wait."""
        while not self._stopping and select.select([self._channel], [], [], 0)[0]:
            self._read()
        return self._stopping

    def interrupted(self) -> bool:
        """Whether the server has asked for something else, or for an end; does not wait."""
        return self.stopping() or bool(self._heard)

    def send(self, kind: Kind, value: Any) -> None:
        """Raises Stopped when the server is gone."""
        try:
            self._channel.sendall(packed(kind, value))
        except OSError as error:
            raise Stopped from error

    def _read(self) -> None:
        try:
            data = self._channel.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._stopping = True
            return
        for kind, value in self._lines.add(data):
            if kind is Kind.STOP:
                self._stopping = True
            else:
                self._heard.append(value)


Task = Callable[[Talk, Any, Path], Any]
"""What a child runs: with whom it talks, what it is given (plain JSON) and its own folder; its result is plain JSON."""
