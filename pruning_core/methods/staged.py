"""Budgets on the way to a goal, for methods that cut more than once."""

from __future__ import annotations

from dataclasses import replace

from pruning_core.allocation.budget import Budget
from pruning_core.methods.base import Goal


def staged(goal: Goal, part: float) -> Budget:
    """What may be left after ``part`` (in (0, 1]) of the way: every equal part removes the same share of the rest.

    1 is the goal itself. Raises UserError for a latency, which a method cannot keep to while it trains.
    """
    cost = goal.network.cost()
    full = goal.budget.counts(cost.macs, cost.parameters)
    share = min(1.0, goal.budget.limit(full) / full)
    return goal.budget if part == 1 else replace(goal.budget, fraction=share**part, amount=None)
