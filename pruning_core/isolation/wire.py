"""What goes between a server and its children: lines of JSON, of which nothing is believed before it was looked at."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, NoReturn

LINE = 8 << 20  # bytes of one message; a plan for a hundred thousand channels has less than one million


class Kind(StrEnum):
    """What a child can say, and the last two are what a server can say to it."""

    EVENT = "event"  # something that happened on the way
    LOG = "log"  # a text that is not for the page
    RESULT = "result"  # what came of it; nothing follows
    REFUSED = "refused"  # a UserError's sentence; nothing follows
    MEMORY = "memory"  # the memory was not enough, and Python noticed; nothing follows
    BROKE = "broke"  # another error, with its traceback; nothing follows
    ASK = "ask"
    STOP = "stop"


LAST = frozenset({Kind.RESULT, Kind.REFUSED, Kind.MEMORY, Kind.BROKE})


class Garbled(ValueError):
    """The other side said something that is no message."""


Message = tuple[Kind, Any]


def packed(kind: Kind, value: Any) -> bytes:
    """One line. Raises ValueError or TypeError for what JSON cannot hold."""
    line = json.dumps([kind, value], separators=(",", ":"), allow_nan=False).encode() + b"\n"
    if len(line) > LINE:
        raise ValueError(f"a message has at most {LINE} bytes, not {len(line)}")
    return line


class Lines:
    """Bytes in, messages out."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> list[Message]:
        """The messages that are complete with ``data``. Raises Garbled."""
        *lines, self._rest = (self._rest + data).split(b"\n") if b"\n" in data else ([self._rest + data])
        if len(self._rest) > LINE or any(len(line) > LINE for line in lines):
            raise Garbled("a message without an end")
        return [_message(line) for line in lines]


def _message(line: bytes) -> Message:
    try:
        kind, value = json.loads(line, parse_constant=_no_number)
        return Kind(kind), value
    except (ValueError, TypeError, RecursionError) as error:  # also bytes that are no text, and numbers of any length
        raise Garbled("no message") from error


def _no_number(text: str) -> NoReturn:
    raise Garbled(f"{text} is no JSON")
