"""What a search walks in: the share that each group keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from pruning_core.allocation.base import Dial
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.lowest import removed_count
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.allocation.trial import Trial
from pruning_core.knobs import Knobbed
from pruning_core.taxonomy import Card


class Draw(NamedTuple):
    """A proposal: the share kept of each group. With ``fit`` they are scaled together to use up the budget."""

    shares: tuple[float, ...]
    fit: bool = True


@dataclass(frozen=True, eq=False)
class Space:
    """``least`` is the smallest share drawn; ``trials`` how many there will be; without budgets the cost is a goal.

    ``whole`` is the difference between two values of what is searched for that counts as one: of accuracies 1.
    """

    pool: Pool
    least: float
    trials: int
    budgets: tuple[Budget, ...] = ()
    whole: float = 1.0

    @property
    def budgeted(self) -> bool:
        return bool(self.budgets)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.pool.size)

    def counts(self, shares: Sequence[float]) -> Counts:
        """What the shares remove as they stand."""
        return self.pool.settled(self._removed(shares, 1.0))

    def dial(self, shares: Sequence[float]) -> Dial:
        """All shares divided by one strength: at ``low`` every group is whole, at ``high`` each keeps its least."""
        high = max(share * size for share, size in zip(shares, self.pool.size.values()))
        return Dial(min(shares), max(high, 1.0), lambda strength: self._removed(shares, strength))

    def _removed(self, shares: Sequence[float], strength: float) -> Counts:
        return {
            key: removed_count(1 - min(1.0, share / strength), size)
            for share, (key, size) in zip(shares, self.pool.size.items())
        }


Walk = Generator[Draw, Trial, None]


@dataclass(frozen=True)
class Explorer(Knobbed, ABC):
    """A way to search. A subclass is a frozen dataclass with knobs.

    ``pareto`` says whether it can also search without a budget, for accuracy and cost at once.
    """

    card: ClassVar[Card]
    pareto: ClassVar[bool] = False

    @abstractmethod
    def walk(self, space: Space, seed: int) -> Walk:
        """Yield a draw, be sent the trial it became, and so on. It depends on nothing but its arguments and the trials.

        The first draw keeps every group alike, so that a search never ends below the uniform allocation.
        """

    def foresees(self, number: int) -> bool:
        """Whether draw ``number`` is the same whatever the trial before it became."""
        return False

    def longest(self, space: Space) -> int:
        """How many trials it makes at most: a walk that never ends by itself makes as many as were asked for."""
        return space.trials
