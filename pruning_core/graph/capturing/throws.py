"""Where in a run somebody draws from Python's or NumPy's random numbers, which belong to the whole process."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from pruning_core.graph.undisturbed import dice


class Throws:
    """The numbers of the operators before which they moved on while the network's own code ran.

    What a network draws first it draws before the same operator in every run; what another thread draws falls before
    any. So only ``suspects`` count: those that the runs before have seen too, or all of them (None) in the first.
    """

    def __init__(self, suspects: Set[int] | None = None) -> None:
        self._suspects = suspects
        self.begin()

    def begin(self) -> None:
        """A run starts, with the network's own code."""
        self.seen = set[int]()
        self.leave()

    def leave(self) -> None:
        """The network's own code goes on."""
        self._left: tuple[Any, ...] = dice()

    def enter(self, number: int) -> None:
        """It has come to its operator of this ``number``."""
        if (self._suspects is None or number in self._suspects) and dice() != self._left:
            self.seen.add(number)
