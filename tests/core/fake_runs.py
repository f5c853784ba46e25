"""Small runs that tests hold at a named point, so that nothing waits for a clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pruning_core.errors import UserError
from pruning_core.runs.events import Artifact, Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace

PATIENCE = 20.0  # seconds until a test gives up


class Gate:
    """A run that passes here says so, then waits until it may go on."""

    def __init__(self) -> None:
        self.reached, self.open, self.closed = threading.Event(), threading.Event(), threading.Event()

    def passing(self) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE)


GATES: dict[str, Gate] = {}
STARTED: list[str] = []  # names of runs in the order they started


@dataclass(frozen=True)
class Count(RunSpec):
    """Counts from what the past has to ``to``; waits at ``gate`` before number ``hold``."""

    kind: ClassVar[str] = "count"
    to: int
    gate: str = ""
    hold: int = 1
    place: str = "cpu"

    def queue(self) -> str:
        return self.place

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        STARTED.append(self.gate)
        try:
            for number in range(len(past), self.to):
                if self.gate and number == self.hold:
                    GATES[self.gate].passing()
                yield Progress(number + 1, self.to, "steps")
        finally:
            if self.gate:
                GATES[self.gate].closed.set()


@dataclass(frozen=True)
class Unasked(Count):
    """The same, when nobody waits for it."""

    kind: ClassVar[str] = "unasked"
    unasked: ClassVar[bool] = True


@dataclass(frozen=True)
class Breaks(RunSpec):
    """Yields one event, then raises."""

    kind: ClassVar[str] = "breaks"
    how: str

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        yield Stage("about to break")
        match self.how:
            case "user":
                raise UserError("The data set is empty. Choose another.")
            case "memory":
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
            case "exit":
                raise SystemExit(3)
            case "event":
                yield Stage(object())  # type: ignore[arg-type]  # not storable, on purpose
            case _:
                raise ValueError("secret detail")


@dataclass(frozen=True)
class BreaksUnasked(Breaks):
    """The same, when nobody waits for it."""

    kind: ClassVar[str] = "breaks unasked"
    unasked: ClassVar[bool] = True


@dataclass(frozen=True)
class Saves(RunSpec):
    """Holds back its artifact until it ends; hands it over when stopped."""

    kind: ClassVar[str] = "saves"
    gate: str

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        (workspace.scratch(self.key) / "best").write_bytes(b"best so far")
        yield Stage("working")
        GATES[self.gate].passing()
        yield Stage("still working")

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()

    def salvage(self, workspace: Workspace, past: tuple[Event, ...]) -> Iterator[Event]:
        digest = workspace.artifacts.put((workspace.scratch(self.key) / "best").read_bytes())
        yield Artifact("best", digest, "application/octet-stream")


@dataclass(frozen=True)
class Threads(RunSpec):
    """Reports the torch state it finds, and leaves a mess."""

    kind: ClassVar[str] = "threads"
    number: int

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        import torch

        yield Progress(torch.get_num_threads(), int(torch.is_grad_enabled()), threading.current_thread().name)
        torch.set_grad_enabled(False)
        torch.set_num_threads(2)


@dataclass(frozen=True)
class LeavesSlowly(RunSpec):
    """Two steps; its finally clause waits at ``gate``. Attempts after the first do not wait."""

    kind: ClassVar[str] = "leaves slowly"
    gate: str

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        try:
            for number in range(len(past), 2):
                GATES["step"].passing()
                yield Progress(number + 1, 2, "steps")
        finally:
            GATES[self.gate].passing()


FAKES = (Count, Unasked, Breaks, BreaksUnasked, Saves, Threads, LeavesSlowly)
