"""What a way to allocate is: channel counts that grow with one number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from pruning_core.allocation.pool import Counts, Pool
from pruning_core.knobs import Knobbed
from pruning_core.taxonomy import Card


@dataclass(frozen=True)
class Dial:
    """``at(strength)`` gives the counts wanted; each grows from none at ``low`` to all at ``high``."""

    low: float
    high: float
    at: Callable[[float], Counts]


@dataclass(frozen=True)
class Allocation(Knobbed, ABC):
    """Says how many channels each group loses; which ones, the scores say.

    A subclass is a frozen dataclass whose docstring says what it does and when it fails, and whose annotated fields are
    its knobs. ``strength`` names the field that says how much is removed; under a budget it is solved for instead.
    """

    card: ClassVar[Card]
    strength: ClassVar[str]

    @abstractmethod
    def dial(self, pool: Pool) -> Dial:
        """All that this allocation would do to ``pool``, before limits. Raises UserError when it does not fit."""
