"""A budget in milliseconds: every candidate is built and timed.

A measured median is not exact: repeated, it wanders by some per cent, more on a busy machine, and it does not always
fall when channels go (kernels like certain widths). So the fit ends after a few halvings, at the resolution that the
noise allows, and it promises that the plan it returns *was measured* within the budget, not that it will be again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pruning_core.allocation.base import Allocation, Dial
from pruning_core.allocation.budget import Allocated, Budget, Reach
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
    """Times each distinct plan once."""

    pool: Pool
    measure: Measure
    times: dict[Plan, float] = field(default_factory=dict)

    def time(self, counts: Counts) -> Running[float]:
        plan = self.pool.plan(counts)
        if plan not in self.times:
            self.times[plan] = yield from settle(self.measure(plan))
        return self.times[plan]

    def reach(self, dial: Dial) -> Running[Reach]:
        """The measured range from the most removal to none."""
        high = yield from self.time({})
        low = yield from self.time(self.pool.settled(dial.at(dial.high)))
        return Reach("latency", min(low, high), high)

    def fit(self, dial: Dial, limit: float, steps: int) -> Running[tuple[Counts, float]]:
        """The smallest strength found whose plan was measured within ``limit``; the strongest one must be."""
        low, high = dial.low, dial.high
        counts = self.pool.settled(dial.at(high))
        fewer = self.pool.settled(dial.at(low))
        if (yield from self.time(fewer)) <= limit:
            return fewer, low
        for _ in range(steps):
            middle = (low + high) / 2
            tried = self.pool.settled(dial.at(middle))
            ms = yield from self.time(tried)
            yield LatencyStep(middle, sum(tried.values()), self.pool.cost(tried).macs, ms, ms <= limit)
            if ms <= limit:
                high, counts = middle, tried
            else:
                low = middle
        return counts, high


def fitting_latency(
    allocation: Allocation, pool: Pool, budget: Budget, measure: Measure, *, steps: int = STEPS
) -> Running[Allocated]:
    """Yield a LatencyStep for every plan that was timed; return the least removal found within ``budget``.

    The unpruned network and the most removal are timed first. Raises UserError when even that is too slow, ValueError
    for a budget of another kind.
    """
    if budget.kind != "latency":
        raise ValueError(f"a budget of {budget.kind} has a closed form: use allocate")
    dial, watch = allocation.dial(pool), Stopwatch(pool, measure)
    reach = yield from watch.reach(dial)
    limit = reach.check(budget)
    counts, strength = yield from watch.fit(dial, limit, steps)
    plan = pool.plan(counts)
    ms = yield from watch.time(counts)
    note = f"Measured {ms:.2f} ms of the {limit:.2f} ms allowed; a repeated measurement differs by its noise."
    return Allocated(plan, pool.network.cost(plan), strength, (*pool.notes, note))
