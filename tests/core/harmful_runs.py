"""Runs that do harm, or are hard to stop; each in a child. ``given`` is a folder that the test looks into."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pruning_core.isolation.talk import Talk
from pruning_core.runs.errand import EVENT, OUTBOX
from pruning_core.runs.events import Artifact, Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace


@dataclass(frozen=True)
class Harm(RunSpec):
    """Two events and an artifact, then what ``how`` says; what ends in good order writes down that it did."""

    kind: ClassVar[str] = "harm"
    how: str
    given: str = ""

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        yield Progress(os.getpid(), 0, "the child's number")
        digest = workspace.artifacts.put(b"of value")
        (workspace.scratch(self.key) / "best").write_bytes(b"best so far")
        yield Artifact("early", digest, "text/plain")
        match self.how:
            case "segfault":
                ctypes.string_at(0)
            case "memory":
                held = []
                while True:
                    held.append(bytearray(1 << 20))
            case "full":
                raise MemoryError
            case "exit":
                os._exit(0)
            case "forks":
                while True:
                    os.fork()
            case "network":
                socket.create_connection(("127.0.0.1", int(self.given)), timeout=2).close()
            case "writes":
                Path(self.given, "harm").write_text("harm")
            case "spins":
                while True:
                    pass
            case "bug":
                raise ValueError("secret detail")
            case "deaf":  # a long step of native code
                time.sleep(600)
            case "steps":
                try:
                    while True:
                        time.sleep(0.01)
                        yield Stage("on")
                finally:
                    Path(self.given, "closed").touch()
        yield Stage("the end")

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return tuple(event for event in past if isinstance(event, Artifact))

    def salvage(self, workspace: Workspace, past: tuple[Event, ...]) -> Iterable[Event]:
        digest = workspace.artifacts.put((workspace.scratch(self.key) / "best").read_bytes())
        yield Artifact("best", digest, "text/plain")


def harmful_import(talk: Talk, given: dict[str, Any], folder: Path) -> Any:
    """A reader that does what the file says; beside the file where it writes."""
    path = Path(given["path"])
    match path.read_text():
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(0)
        case "memory":
            return [bytearray(1 << 20) for _ in range(1 << 20)]
        case "spin":
            while True:
                pass
        case "bug":
            raise ValueError("secret detail")
        case "network":
            socket.create_connection(("127.0.0.1", 9), timeout=2)
        case "writes":
            path.with_name("harm").write_text("harm")
    return ["a sentence", 7]


def forges(talk: Talk, given: str, folder: Path) -> Any:
    """What a child says whose code is a stranger's; the errand's ``how`` chooses."""
    how = json.loads(json.loads(given)["spec"])["how"]
    say = {
        "class": '{"$":"Popen","args":"true"}',
        "type": '{"$":"Progress","done":"many","total":[],"unit":"x","seconds_left":null}',
        "none": "[1,2]",
        "value": '{"$":"ModelRef","source":"demo","name":"x"}',
    }
    if how in say:
        talk.say([EVENT, say[how]])
    if how == "shape":
        talk.say({"what": 1})
    if how == "artifact":
        place = folder / OUTBOX / "ab" / ("ab" * 32)
        place.parent.mkdir(parents=True)
        place.write_text("other bytes than its name says")
        talk.say([EVENT, f'{{"$":"Artifact","name":"x","digest":"{"ab" * 32}","media_type":"x"}}'])
    if how == "link":
        place = folder / OUTBOX / "ab" / ("ab" * 32)
        place.parent.mkdir(parents=True)
        place.symlink_to("/etc/passwd")
        talk.say([EVENT, f'{{"$":"Artifact","name":"x","digest":"{"ab" * 32}","media_type":"x"}}'])
    return ["queued", {"no": "state"}] if how == "state" else ["done", None]
