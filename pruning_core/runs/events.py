"""The events that every run may report.

An event is any frozen dataclass of plain values. A feature's own live beside it and are listed in its catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol


class Event(Protocol):
    """Any dataclass instance."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """What is being done now, in a few words."""

    text: str


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` units; ``seconds_left`` is None while it is not known."""

    done: int
    total: int
    unit: str
    seconds_left: float | None = None


@dataclass(frozen=True)
class Artifact:
    """A file was stored: find it with ``workspace.artifacts.path(digest)``."""

    name: str
    digest: str
    media_type: str


@dataclass(frozen=True)
class Failed:
    """The run ended without a result; ``sentence`` says why and what to do."""

    sentence: str


@dataclass(frozen=True)
class Outdated:
    """Stands for an event that another version stored and this one cannot read, so that nobody takes it for nothing."""


OWN: tuple[type, ...] = (Stage, Progress, Artifact, Failed, Outdated)
