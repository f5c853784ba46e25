"""A run in a child: what the child does. Events go out as the store would keep them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruning_core.isolation.talk import Talk, Task
from pruning_core.runs.attempt import attempt, sentence
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Event
from pruning_core.runs.view import State
from pruning_core.storage.codec import Codec, dump
from pruning_core.storage.workspace import Borrowed

OUTBOX = "artifacts"  # in the child's folder
KEPT, BEGUN, EVENT = "kept", "begun", "event"


@dataclass(frozen=True)
class Errand:
    """``spec`` and ``past`` as the store keeps them. ``salvaging``: the run is over, and hands over what it can."""

    spec: str
    past: tuple[str, ...]
    root: str
    reference: str
    salvaging: bool = False


ERRANDS = Codec((Errand,))


def running(catalogue: Catalogue) -> Task:
    """The task of a child that runs what ``catalogue`` knows; its result is (state, sentence or None)."""

    def task(talk: Talk, given: str, folder: Path) -> Any:
        errand: Errand = ERRANDS.load(given)
        spec = catalogue.spec(errand.spec)
        past = tuple(catalogue.event(text) for text in errand.past)
        workspace, log = Borrowed(Path(errand.root), folder / OUTBOX), _told(talk)

        def start() -> Iterator[Event]:
            if errand.salvaging:
                return iter(spec.salvage(workspace, past))
            kept = spec.keep(workspace, past) if past else ()
            for event in kept:
                talk.say([KEPT, dump(event)])
            talk.say([BEGUN, ""])
            return spec.run(workspace, kept)

        def record(event: Event) -> bool:
            going_on = talk.say([EVENT, dump(event)])
            return going_on or errand.salvaging

        if errand.salvaging:
            try:
                for event in start():
                    record(event)
            except Exception as problem:  # what cannot be saved must not hide why the run stopped
                sentence(problem, log, f"{errand.reference} (salvage)")
            return [State.DONE, None]
        return attempt(start, record, log, errand.reference)

    return task


def _told(talk: Talk) -> logging.Logger:
    """A log whose lines go to the server's."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            talk.log(self.format(record))

    log = logging.Logger("a child's")
    log.addHandler(Handler())
    return log
