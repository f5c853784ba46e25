"""A piece of a run where it is done, on this machine or another: text and files go in, text and files come out."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pruning_core import __version__
from pruning_core.errors import UserError
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Event, Progress
from pruning_core.storage.artifacts import Artifacts
from pruning_core.storage.codec import dump
from pruning_core.storage.place import default_root
from pruning_core.storage.workspace import Borrowed
from pruning_core.work import told

ONE = threading.RLock()  # a worker of several threads does one piece at a time: torch has one generator for all
T = TypeVar("T")
ALIVE = Progress(0, 1, "pieces")  # what a piece says in between, where it can be called off
_kept: dict[str, Any] = {}


@dataclass(frozen=True)
class Brought:
    """What a worker sends back: events as the store keeps them and files that are new.

    Or why there are none: ``lacking`` files that it must be sent, or a ``problem`` for a person to read.
    """

    events: tuple[str, ...] = ()
    files: tuple[bytes, ...] = ()
    lacking: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Asked:
    """What a worker is given: a spec as the store keeps it, and by which ``version``.

    ``root``: the data directory of whoever asks, where the worker sees it; else "", and the ``files`` that the spec
    needs, by their names, are kept in the worker's own.
    """

    spec: str
    version: str
    root: str = ""
    files: tuple[str, ...] = ()


def do(
    catalogue: Catalogue, asked: Asked, sent: tuple[bytes, ...], unwanted: Callable[[], bool] = lambda: False
) -> Brought:
    """Run a spec to its end and send back its events, but for how far it had come; ``sent``: files lacked here.

    ``unwanted``: whether nobody waits for it any more; asked at every event, and then it ends there.
    """
    version = asked.version
    if version != __version__:
        return Brought(
            problem=f"The workers run PruneScope {__version__} and the server {version}. Start the workers anew with "
            "the server's version."
        )
    home = Path(asked.root) if asked.root else default_root()
    with ONE, tempfile.TemporaryDirectory() as outbox:
        own = Artifacts(home / "artifacts")
        for data in sent:
            own.put(data)
        if lacking := tuple(name for name in asked.files if not own.has(name)):
            return Brought(lacking=lacking)
        workspace = _Passing(home, Path(outbox) / "artifacts")
        events = []
        try:
            with closing(_running(catalogue, asked, workspace)) as work:
                for event in work:
                    if unwanted():
                        return Brought(problem="Nobody waits for this any more.")
                    if not isinstance(event, Progress):
                        events.append(dump(event))
        except UserError as error:
            return Brought(problem=str(error))
        made = sorted(path for path in workspace.artifacts.folder.rglob("*") if path.is_file())
        return Brought(tuple(events), tuple(path.read_bytes() for path in made))


def _running(catalogue: Catalogue, asked: Asked, workspace: Borrowed) -> Generator[Event, None, None]:
    yield from catalogue.spec(asked.spec).run(workspace)


class _Passing(Borrowed):
    """Where nothing is resumed: what a run keeps for that goes with it, and disturbs nobody at work on the same."""

    def scratch(self, key: str) -> Path:
        folder = self.artifacts.folder.parent / "scratch" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def quietly(work: Generator[Any, Any, T]) -> Generator[Event, None, T]:
    """What ``work`` returns. Of what it says nothing is told but that it goes on, so that it can be called off."""
    return told(work, lambda _: (ALIVE,))


def kept(key: str, make: Callable[[], Generator[Any, Any, T]]) -> Generator[Event, None, T]:
    """What ``make()`` returns, or has for this ``key``: of the last one only, since a worker's pieces come in rows."""
    if key not in _kept:
        _kept.clear()
        made = yield from quietly(make())
        _kept[key] = made
    found: T = _kept[key]
    return found
