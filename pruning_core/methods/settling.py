"""How gates come to their target while a network trains: step by step, then time to get used to it."""

from __future__ import annotations

SETTLED = 0.6  # share of the training after which the gates are as they stay


def settled(done: float) -> float:
    """From 0 to 1 while they come to their target, 1 afterwards."""
    return min(1.0, done / SETTLED)
