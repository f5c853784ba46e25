"""A budget in milliseconds: every candidate is built and timed.

A measured median is not exact: repeated, it wanders by some per cent, more on a busy machine, and it does not always
fall when channels go (kernels like certain widths). So the fit ends after a few halvings, at the resolution that the
noise allows, and it promises that the plan it returns *was measured* within the budget, not that it will be again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pruning_core.allocation.base import Allocation, Dial
from pruning_core.allocation.budget import UNITS, Allocated, Budget, Kept, Kind, Reach, keeping, limits_of
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.allocation.trial import LatencyStep
from pruning_core.graph import Plan

T = TypeVar("T")
Running = Generator[Any, None, T]
"""A generator of events that ends with a result."""
Measure = Callable[[Plan], float | Running[float]]
"""Plan -> ms; a generator may yield events of its own before it returns."""
STEPS = 7  # halvings of the strength: below 1 % of it


def settle(value: T | Running[T]) -> Running[T]:
    """The value, or what a generator returns once its events were passed on."""
    if isinstance(value, Generator):
        value = yield from value
    return value


@dataclass
class Stopwatch:
    """Times each distinct plan once by each of ``measures``, which tell milliseconds by the kind of the budget."""

    pool: Pool
    measures: Mapping[Kind, Measure]
    times: dict[tuple[Kind, Plan], float] = field(default_factory=dict)

    def time(self, kind: Kind, counts: Counts) -> Running[float]:
        place = (kind, self.pool.plan(counts))
        if place not in self.times:
            self.times[place] = yield from settle(self.measures[kind](place[1]))
        return self.times[place]

    def reach(self, kind: Kind, dial: Dial) -> Running[Reach]:
        """The measured range from the most removal to none."""
        high = yield from self.time(kind, {})
        low = yield from self.time(kind, self.pool.settled(dial.at(dial.high)))
        return Reach(kind, min(low, high), high)

    def limits(self, dial: Dial, budgets: Sequence[Budget]) -> Running[dict[Kind, float]]:
        """The tightest milliseconds per kind. Raises UserError when even the most removal is too slow."""
        limits: dict[Kind, float] = {}
        for each in budgets:
            reach = yield from self.reach(each.kind, dial)
            limit = reach.check(each)
            limits[each.kind] = min(limit, limits.get(each.kind, limit))
        return limits

    def fit(
        self, dial: Dial, limits: Mapping[Kind, float], steps: int, least: tuple[Counts, float]
    ) -> Running[tuple[Counts, float]]:
        """The smallest strength found, from that of ``least`` on, whose plan was measured within all ``limits``.

        The strongest one must be. ``least`` is what other budgets ask for: counts and their strength.
        """
        counts, low = least
        if (yield from self._within(counts, limits)):
            return counts, low
        high = dial.high
        counts = self.pool.settled(dial.at(high))
        for _ in range(steps):
            middle = (low + high) / 2
            tried = self.pool.settled(dial.at(middle))
            if (yield from self._within(tried, limits, middle)):
                high, counts = middle, tried
            else:
                low = middle
        return counts, high

    def _within(self, counts: Counts, limits: Mapping[Kind, float], strength: float | None = None) -> Running[bool]:
        """Yields a LatencyStep per measurement where a strength is told; ends at the first that is too slow."""
        for kind, limit in limits.items():
            ms = yield from self.time(kind, counts)
            if strength is not None:
                yield LatencyStep(strength, sum(counts.values()), self.pool.cost(counts).macs, ms, ms <= limit, kind)
            if ms > limit:
                return False
        return True


def fitting(
    allocation: Allocation,
    pool: Pool,
    budgets: Sequence[Budget],
    measures: Mapping[Kind, Measure],
    *,
    steps: int = STEPS,
) -> Running[Allocated]:
    """Yield a LatencyStep for every plan that was timed; return the least removal found within all ``budgets``.

    Those with a closed form come first; of the others the unpruned network and the most removal are timed before
    anything else. Raises UserError when a budget is out of reach, ValueError when none of them is timed.
    """
    timed = [each for each in budgets if each.timed]
    if not timed:
        raise ValueError("these budgets have closed forms: use allocate")
    dial, watch = allocation.dial(pool), Stopwatch(pool, measures)
    counted = limits_of(dial, pool, [each for each in budgets if not each.timed])
    limits = yield from watch.limits(dial, timed)
    counts, strength = yield from watch.fit(dial, limits, steps, keeping(dial, pool, counted))
    plan = pool.plan(counts)
    notes, kept = [], []
    for kind, limit in limits.items():
        ms = yield from watch.time(kind, counts)
        kept.append(Kept(Budget(kind, amount=limit), limit, ms))
        notes.append(f"Measured {ms:.2f} {UNITS[kind]} of the {limit:.2f} allowed; a repeated measurement differs.")
    return Allocated(plan, pool.network.cost(plan), strength, (*pool.notes, *notes), tuple(kept))
