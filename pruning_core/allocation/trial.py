"""What a search and a latency fit report while they run, and which trials are worth keeping. Without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LatencyStep:
    """One plan that was built and timed: the median of its passes, and whether it keeps to the budget of ``kind``."""

    strength: float
    removed: int
    macs: int
    latency_ms: float
    within: bool
    kind: str = "latency"


@dataclass(frozen=True)
class Trial:
    """One plan that a search tried.

    ``draw`` is what the explorer proposed: the share kept of each group, before it was fitted to the budget. ``ratios``
    is what was really removed and ``plan`` which units (Plan(trial.plan) makes a plan of it). ``accuracy`` is the
    objective's, more is better; ``latency_ms`` and ``compiled_ms`` are None unless a budget is one of them. ``within``
    says whether all budgets are kept, ``front`` whether no earlier trial was both cheaper and better. ``seconds`` is
    what the trial took.
    """

    number: int
    draw: tuple[float, ...]
    ratios: Mapping[str, float]
    plan: Mapping[str, tuple[int, ...]]
    macs: int
    parameters: int
    latency_ms: float | None
    accuracy: float
    within: bool
    front: bool
    seconds: float
    compiled_ms: float | None = None

    @property
    def timed_ms(self) -> float | None:
        """The latency that was measured; as PyTorch runs it where both were."""
        return self.compiled_ms if self.latency_ms is None else self.latency_ms

    @property
    def cost(self) -> float:
        """What the Pareto front is drawn over: the latency where it was measured, else MACs."""
        return self.macs if self.timed_ms is None else self.timed_ms


def on_front(trials: Sequence[Trial]) -> tuple[bool, ...]:
    """For each trial, whether no other is at least as cheap and as accurate, and better in one of them."""
    flags = [False] * len(trials)
    best = -math.inf
    order = sorted(range(len(trials)), key=lambda i: (trials[i].cost, -trials[i].accuracy))
    position = 0
    while position < len(order):
        cost = trials[order[position]].cost
        level = trials[order[position]].accuracy  # the best at this cost
        while position < len(order) and trials[order[position]].cost == cost:
            flags[order[position]] = trials[order[position]].accuracy == level > best
            position += 1
        best = max(best, level)
    return tuple(flags)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The most accurate trial within the budget; of equally accurate ones the cheapest, then the first."""
    inside = [trial for trial in trials if trial.within]
    return max(inside, key=lambda t: (t.accuracy, -t.cost, -t.number), default=None)
