"""What a run is: a frozen description whose hash is its identity, and a generator of events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from pruning_core.runs.events import Event, Failed, Outdated
from pruning_core.storage.codec import digest
from pruning_core.storage.workspace import Workspace


@dataclass(frozen=True)
class RunSpec(ABC):
    """A subclass is a frozen dataclass of plain values and frozen dataclasses.

    ``kind`` names the sort of run; raise ``version`` when the same spec would now give another result, so that stored
    results of the old code are not taken for it. A run that is ``unasked`` is started by pages by themselves: it steps
    aside for whatever a person starts, and goes on afterwards; when it has failed, only a person starts it again.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    unasked: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """A short line for lists of runs."""
        return self.kind

    @property
    def key(self) -> str:
        """sha256 (hex) of the canonical JSON: the same work has the same key."""
        return digest({"kind": self.kind, "version": self.version, "spec": self})

    def queue(self) -> str:
        """The device whose queue this run waits in: "cpu", "cuda:0", …"""
        return "cpu"

    @abstractmethod
    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        """A generator of new events, several a second where the work allows.

        ``past`` holds what ``keep`` kept of an earlier attempt; those events are not repeated. The generator may be
        closed at any event, so whatever it holds is released in ``finally`` clauses. UserError carries a sentence for
        the page; every other exception is a bug.
        """

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """What of a stopped attempt still counts when the run is resumed; by default all but a failure."""
        return tuple(event for event in past if not isinstance(event, Failed | Outdated))

    def salvage(self, workspace: Workspace, past: tuple[Event, ...]) -> Iterable[Event]:
        """Last events of an attempt that was stopped (cancelled, failed, interrupted): what it can still hand over."""
        return ()
