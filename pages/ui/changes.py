"""What is said of a difference between two values, on every page by one rule: inside the noise, or which way.

A difference whose 95 % interval holds zero cannot be told from none with these images: it has no colour and no
direction, however large its number is.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import Literal

from pages.ui import measured
from pages.ui.language import N_, _
from pages.ui.measured import Known
from pruning_core.measuring.intervals import unpaired_bounds
from pruning_core.measuring.measures import TOP1, Cell, Drop

INSIDE = N_("inside the noise")
Colour = Literal["normal", "inverse", "off"]


@dataclass(frozen=True)
class Change:
    """After minus before, by ``measure``, with its 95 % interval."""

    difference: float
    low: float
    high: float
    measure: str = TOP1

    @property
    def within_noise(self) -> bool:
        return self.low <= 0.0 <= self.high

    @property
    def delta(self) -> str:
        """On a card, below the number: short, because a card cuts what is long. Its caption says `noise`."""
        return measured.difference(self.measure, self.difference)

    @property
    def noise(self) -> str:
        """What stands beside a difference that cannot be told from none; else ""."""
        return f", {_(INSIDE)}" if self.within_noise else ""

    @property
    def colour(self) -> Colour:
        if self.within_noise:
            return "off"
        return "normal" if measured.measure(self.measure).rises else "inverse"

    @property
    def interval(self) -> str:
        return _("95 % interval {span}").format(span=self.span)

    @property
    def span(self) -> str:
        return measured.span(self.measure, self.low, self.high)

    @property
    def text(self) -> str:
        """In a cell of a table: the difference and its interval."""
        return f"{self.delta} ({self.span}){self.noise}"

    @property
    def verdict(self) -> str:
        """The end of a sentence."""
        return _("inside the noise of these images") if self.within_noise else _("outside the noise of these images")


def paired(drop: Drop) -> Change:
    """Of two networks on the same images."""
    return lost(drop.measure, drop.drop, drop.low, drop.high)


def of_cell(cell: Cell) -> Change:
    return lost(cell.measure, cell.drop, cell.drop_low, cell.drop_high)


def lost(measure: str, drop: float, low: float, high: float) -> Change:
    """What a network has lost by ``measure``.

    It is a fall of a value that rises when things get better, and a rise of the others.
    """
    if measured.measure(measure).rises:
        return Change(-drop, -high, -low, measure)
    return Change(drop, low, high, measure)


def unpaired(before: Known, after: Known) -> Change:
    """Where it is not known which images each of them gets right; wider than what a paired comparison gives."""
    difference = after.top1 - before.top1
    if measured.measure(after.measure).decides:
        low, high = unpaired_bounds(after.top1, (after.low, after.high), before.top1, (before.low, before.high))
    else:
        low = difference - hypot(after.top1 - after.low, before.high - before.top1)
        high = difference + hypot(after.high - after.top1, before.top1 - before.low)
    return Change(difference, low, high, after.measure)
