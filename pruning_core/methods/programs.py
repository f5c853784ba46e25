"""The programs that are no method of their own: applying a plan, and cutting in steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pruning_core.allocation.pool import Counts
from pruning_core.criteria import Criterion
from pruning_core.graph import Plan
from pruning_core.methods.phases import Apply, Cut, Phase, Train, Widths
from pruning_core.methods.recoveries import Recovery


def applying(plan: Plan) -> tuple[Phase, ...]:
    """Remove exactly these units."""
    return (Apply(plan),)


def in_steps(course: Iterable[Counts], criterion: Criterion, name: str, recovery: Recovery) -> tuple[Phase, ...]:
    """Cut to the widths after each step of ``course``, its start left out; then ``recovery``, then train."""
    widths = list(course)[1:]
    phases: list[Phase] = []
    for step, counts in enumerate(widths, 1):
        phases.append(Cut(criterion, Widths(counts), f"{name}, step {step}"))
        phases += [replace(each, name=f"{name}, step {step}") for each in recovery.phases()]
        phases.append(Train(1 / len(widths), name=f"{name}, step {step} of {len(widths)}"))
    return tuple(phases)


@dataclass(frozen=True)
class Numbers:
    """The numbers of the phases of such a program; steps are counted from 1."""

    recovery: Recovery

    @property
    def of_a_step(self) -> int:
        return 2 + len(self.recovery.phases())

    def cut(self, step: int) -> int:
        return self.of_a_step * (step - 1)

    def training(self, step: int) -> int:
        return self.of_a_step * step - 1

    def step(self, number: int) -> int:
        """The step that phase ``number`` belongs to."""
        return 1 + number // self.of_a_step
