"""What is asked of a running job, as one state with its transitions.

The worker looks at it at every event: once it has *noticed* that it should stop, it is leaving, and only what happens
after that can still be changed.
"""

from __future__ import annotations

from enum import Enum, auto


class Intent(Enum):
    """Of a job that runs; every other job is at ``GO_ON``."""

    GO_ON = auto()
    CANCEL = auto()  # somebody cancelled it, the worker does not know yet
    MAKE_ROOM = auto()  # a run that somebody waits for goes first; the worker does not know yet
    LEAVE = auto()  # the worker is leaving a cancelled job
    RETURN = auto()  # the worker is leaving, and the job is queued again when it has left

    def cancelled(self) -> Intent:
        return _CANCELLED.get(self, self)

    def resumed(self) -> Intent:
        return _RESUMED.get(self, self)

    def aside(self) -> Intent:
        return Intent.MAKE_ROOM if self is Intent.GO_ON else self

    def noticed(self) -> Intent:
        return _NOTICED.get(self, self)

    @property
    def stopping(self) -> bool:
        """Somebody asked for its end and has not taken that back."""
        return self in (Intent.CANCEL, Intent.LEAVE)


_CANCELLED = {Intent.GO_ON: Intent.CANCEL, Intent.MAKE_ROOM: Intent.CANCEL, Intent.RETURN: Intent.LEAVE}
_RESUMED = {Intent.CANCEL: Intent.GO_ON, Intent.LEAVE: Intent.RETURN}
_NOTICED = {Intent.CANCEL: Intent.LEAVE, Intent.MAKE_ROOM: Intent.RETURN}
