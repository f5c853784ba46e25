"""What may stand in the store: the runs of a product, the values in their fields, and the events they report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pruning_core.runs.events import OWN, Event
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.codec import Codec
from pruning_core.storage.conform import conforms


@dataclass(frozen=True)
class Catalogue:
    """The machine knows no feature; whoever makes one hands this in. Nothing else can come out of stored text.

    ``runs``: spec classes. ``events``: beside those that every run may report. ``values``: dataclasses in their fields.
    """

    runs: tuple[type, ...]
    values: tuple[type, ...] = ()
    events: tuple[type, ...] = ()

    def spec(self, text: str) -> RunSpec:
        """Raises UnknownClass when the text was written by another version."""
        spec: RunSpec = self._specs.load(text)
        return spec

    def event(self, text: str) -> Event:
        """Raises UnknownClass for an event of another version."""
        event: Event = self._events.load(text)
        return event

    def checked_event(self, text: Any) -> Event:
        """The same of text that a stranger may have forged. Raises ValueError or TypeError when it is no event."""
        if not isinstance(text, str):
            raise TypeError("an event is stored as text")
        event = self.event(text)
        if not conforms(event, type(event)) or type(event) not in (*OWN, *self.events):
            raise ValueError(f"this is no {type(event).__name__}")
        return event

    @cached_property
    def _specs(self) -> Codec:
        return Codec((*self.runs, *self.values))

    @cached_property
    def _events(self) -> Codec:
        return Codec((*OWN, *self.events, *self.values))
