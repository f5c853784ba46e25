"""What may stand in the store: the runs of a product, the values in their fields, and the events they report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pruning_core.runs.events import OWN, Event
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.codec import Codec


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

    @cached_property
    def _specs(self) -> Codec:
        return Codec((*self.runs, *self.values))

    @cached_property
    def _events(self) -> Codec:
        return Codec((*OWN, *self.events, *self.values))
