"""The programs that are no method of their own: applying a plan, and cutting in steps."""

from __future__ import annotations

from collections.abc import Iterable

from pruning_core.allocation.pool import Counts
from pruning_core.criteria import Criterion
from pruning_core.graph import Plan
from pruning_core.methods.phases import Apply, Cut, Phase, Train, Widths


def applying(plan: Plan) -> tuple[Phase, ...]:
    """Remove exactly these units."""
    return (Apply(plan),)


def in_steps(course: Iterable[Counts], criterion: Criterion, name: str) -> tuple[Phase, ...]:
    """Cut to the widths after each step of ``course``, its start left out, and train after each cut."""
    widths = list(course)[1:]
    phases: list[Phase] = []
    for step, counts in enumerate(widths, 1):
        phases.append(Cut(criterion, Widths(counts), f"{name}, step {step}"))
        phases.append(Train(1 / len(widths), name=f"{name}, step {step} of {len(widths)}"))
    return tuple(phases)


def training_of(step: int) -> int:
    """The number of the phase that is the training of ``step`` (counting from 1); the phase before it is its cut."""
    return 2 * step - 1
