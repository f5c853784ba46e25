"""The events that every run may report.

An event is any frozen dataclass of plain values. A feature's own live beside it and are listed in its catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
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
class Result:
    """Final figures that need no class of their own, as plain JSON values (sequences become tuples)."""

    payload: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "payload", _settled(self.payload))


@dataclass(frozen=True)
class Failed:
    """The run ended without a result; ``sentence`` says why and what to do."""

    sentence: str


def _settled(value: Any) -> Any:
    """A copy without shared mutable parts, equal to what comes back from the store."""
    if isinstance(value, Mapping):
        return {key: _settled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_settled(item) for item in value)
    return value


OWN: tuple[type, ...] = (Stage, Progress, Artifact, Result, Failed)
