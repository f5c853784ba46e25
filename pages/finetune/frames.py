"""From the events of a fine-tuning to curves and to what it brought. No streamlit here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from pages.ui.changes import Change, unpaired
from pages.ui.language import N_, _
from pruning_core.measuring.measures import TOP1
from pruning_core.runs.events import Artifact, Event
from pruning_core.studies.fine_tune import CONTROL, PRUNED
from pruning_core.training.events import Epoch, Step

TAGS = (PRUNED, CONTROL)
NAMES = {PRUNED: N_("pruned"), CONTROL: N_("control, not pruned")}
POINTS = 300  # of one loss curve; a screen shows no more


@dataclass(frozen=True)
class Measured:
    """A value on the test images with its 95 % interval."""

    top1: float
    low: float
    high: float
    measure: str


@dataclass(frozen=True)
class Brought:
    """What training did to one network: before, and with the weights that were kept."""

    tag: str
    before: Measured
    after: Measured
    epoch: int
    images: int

    @property
    def change(self) -> Change:
        return unpaired(self.before, self.after)

    @property
    def gain(self) -> float:
        return self.after.top1 - self.before.top1


def losses(events: Iterable[Event]) -> pd.DataFrame:
    """Columns `epoch` (with its fraction), `run`, `loss` (nats, moving average over the training images)."""
    steps = [event for event in events if isinstance(event, Step)]
    rows: list[tuple[float, str, float]] = []
    for tag in TAGS:
        rows += [(step.position, _(NAMES[tag]), step.loss) for step in _thinned([s for s in steps if s.tag == tag])]
    return pd.DataFrame(rows, columns=["epoch", "run", "loss"])


def accuracies(events: Iterable[Event]) -> pd.DataFrame:
    """Columns `epoch`, `run`, `top1`, `low`, `high`; epoch 0 is before training."""
    epochs = [event for event in events if isinstance(event, Epoch)]
    rows = [
        (each.epoch, _(NAMES[tag]), each.top1, each.low, each.high)
        for tag in TAGS
        for each in epochs
        if each.tag == tag
    ]
    return pd.DataFrame(rows, columns=["epoch", "run", "top1", "low", "high"])


def brought(events: Iterable[Event]) -> tuple[Brought, ...]:
    """One entry for each network that was measured before training and after at least one epoch."""
    epochs = [event for event in events if isinstance(event, Epoch)]
    found = []
    for tag in TAGS:
        of_tag = [each for each in epochs if each.tag == tag]
        start = next((each for each in of_tag if each.epoch == 0), None)
        best = next((each for each in reversed(of_tag) if each.improved), None)
        if start is not None and best is not None and len(of_tag) > 1:
            found.append(Brought(tag, _measured(start), _measured(best), best.epoch, best.images))
    return tuple(found)


def judged_by(events: Iterable[Event]) -> str:
    """The key of the measure, as far as it is known."""
    return next((each.measure for each in events if isinstance(each, Epoch)), TOP1)


def compared(results: Sequence[Brought]) -> Change | None:
    """Pruned minus control, both trained alike; None where only one of the two was trained."""
    by_tag = {each.tag: each.after for each in results}
    return unpaired(by_tag[CONTROL], by_tag[PRUNED]) if len(by_tag) == len(TAGS) else None


def weights(events: Sequence[Event], tag: str) -> str | None:
    """The digest of the best weights of one network, once they are stored."""
    found = (event for event in reversed(events) if isinstance(event, Artifact) and event.name == f"{tag} weights")
    return next((event.digest for event in found), None)


def _measured(epoch: Epoch) -> Measured:
    return Measured(epoch.top1, epoch.low, epoch.high, epoch.measure)


def _thinned(steps: list[Step]) -> list[Step]:
    """At most `POINTS` of them, evenly, always with the newest."""
    stride = -(-len(steps) // POINTS) or 1
    return steps[::-stride][::-1] if steps else []
