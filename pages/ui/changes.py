"""What is said of a difference between two accuracies, on every page by one rule: inside the noise, or which way.

A difference whose 95 % interval holds zero cannot be told from none with these images: it has no colour and no
direction, however large its number is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from pages.ui import numbers
from pruning_core.measuring.intervals import unpaired_bounds
from pruning_core.measuring.measures import Cell, Drop

INSIDE = "inside the noise"
Colour = Literal["normal", "inverse", "off"]


class Known(Protocol):
    """An accuracy in [0, 1] with its 95 % interval."""

    @property
    def top1(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Change:
    """After minus before, in [-1, 1], with its 95 % interval."""

    difference: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        return self.low <= 0.0 <= self.high

    @property
    def delta(self) -> str:
        """On a card, below the number: short, because a card cuts what is long. Its caption says `noise`."""
        return numbers.points(self.difference)

    @property
    def noise(self) -> str:
        """What stands beside a difference that cannot be told from none; else ""."""
        return f", {INSIDE}" if self.within_noise else ""

    @property
    def colour(self) -> Colour:
        return "off" if self.within_noise else "normal"

    @property
    def interval(self) -> str:
        return f"95 % interval {numbers.span(self.low, self.high)}"

    @property
    def text(self) -> str:
        """In a cell of a table: the difference and its interval."""
        return f"{self.delta} ({numbers.span(self.low, self.high)}){self.noise}"

    @property
    def verdict(self) -> str:
        """The end of a sentence."""
        return f"{INSIDE if self.within_noise else 'outside the noise'} of these images"


def paired(drop: Drop) -> Change:
    """Of two networks on the same images."""
    return Change(-drop.drop, -drop.high, -drop.low)


def of_cell(cell: Cell) -> Change:
    return Change(-cell.drop, -cell.drop_high, -cell.drop_low)


def unpaired(before: Known, after: Known) -> Change:
    """Where it is not known which images each of them gets right; wider than what a paired comparison gives."""
    low, high = unpaired_bounds(after.top1, (after.low, after.high), before.top1, (before.low, before.high))
    return Change(after.top1 - before.top1, low, high)
