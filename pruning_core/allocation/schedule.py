"""How much is removed after each step when pruning and training take turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.knobs import Choice, Knobbed, Range
from pruning_core.taxonomy import Card, Data, Family, Paper


@dataclass(frozen=True)
class Schedule(Knobbed, ABC):
    """A subclass is a frozen dataclass with knobs that says which ratio is reached when."""

    card: ClassVar[Card]

    def ratio(self, step: int, steps: int, target: float, depth: float = 0.5) -> float:
        """Share of the *original* channels removed after ``step`` of ``steps``; step 0 is before the first removal.

        ``target`` in [0, 1) is the share after the last step; ``depth`` in [0, 1] is where the group lies (0 = first).
        Raises ValueError for a step or target out of range.
        """
        if steps < 1 or not 0 <= step <= steps:
            raise ValueError(f"step {step} does not lie in 0 to {steps}")
        if not 0 <= target < 1:
            raise ValueError(f"the target must lie in [0, 1), not {target}")
        return self._ratio(step, steps, target, depth)

    @abstractmethod
    def _ratio(self, step: int, steps: int, target: float, depth: float) -> float: ...

    def steps(self, target: float) -> int | None:
        """How many steps this schedule takes to ``target``; None when it takes any number."""
        return None


@dataclass(frozen=True)
class OneShot(Schedule):
    """Cut once to the target, then fine-tune.

    Everything at the first step, then training alone: the default when there is little time.

    $s_t = s_f$

    When it fails: at high ratios the network falls too far to recover.
    """

    card: ClassVar = Card(
        key="sched-oneshot",
        name="One shot",
        family=Family.SCHEDULE,
        data=Data.TRAINING,
        cost="one removal",
    )

    def _ratio(self, step: int, steps: int, target: float, depth: float) -> float:
        return target if step else 0.0


@dataclass(frozen=True)
class Linear(Schedule):
    r"""Equal steps of the original size.

    The same share of the original channels at every step; the last steps remove a growing share of what is left.

    $s_t = s_f\,t/n$

    When it fails: the last steps are the hardest: they take the largest share of what remains.
    """

    card: ClassVar = Card(
        key="sched-iter",
        name="Linear",
        family=Family.SCHEDULE,
        data=Data.TRAINING,
        cost="a fine-tune per step",
    )

    def _ratio(self, step: int, steps: int, target: float, depth: float) -> float:
        return target * step / steps


@dataclass(frozen=True)
class Geometric(Schedule):
    """Equal shares of what remains.

    The same share of what remains at every step, as in lottery-ticket pruning.

    $s_t = 1-(1-s_f)^{t/n}$

    When it fails: the first steps remove the most, before anything was learnt about the network.
    """

    card: ClassVar = Card(
        key="sched-geo",
        name="Geometric",
        family=Family.SCHEDULE,
        data=Data.TRAINING,
        cost="a fine-tune per step",
        paper=Paper(
            "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks",
            "Frankle, Carbin",
            "ICLR",
            2019,
            "1803.03635",
        ),
    )

    def _ratio(self, step: int, steps: int, target: float, depth: float) -> float:
        return float(1 - (1 - target) ** (step / steps))


@dataclass(frozen=True)
class Cubic(Schedule):
    r"""Small steps first, growing later.

    Slow first, fast at the end: small steps while it is not yet known what the network bears.

    $s_t = s_f\,(t/n)^3$

    When it fails: most of the removal falls in the last step, with no training left to recover.
    """

    card: ClassVar = Card(
        key="sched-cubic",
        name="Cubic",
        family=Family.SCHEDULE,
        data=Data.TRAINING,
        cost="a fine-tune per step",
    )

    def _ratio(self, step: int, steps: int, target: float, depth: float) -> float:
        return float(target * (step / steps) ** 3)


@dataclass(frozen=True)
class Agp(Schedule):
    r"""Fast first, then ever smaller steps.

    Automated gradual pruning: fast while there is redundancy, slower as it runs out.

    ``start`` is the share removed before the first step and ``begin`` the fraction of the steps that pass before the
    first removal.

    $s_t = s_f + (s_i - s_f)\left(1 - \tfrac{t-t_0}{n-t_0}\right)^3$

    When it fails: the fast start needs a network that still has its full learning rate.
    """

    card: ClassVar = Card(
        key="sched-agp",
        name="Gradual (AGP)",
        family=Family.SCHEDULE,
        data=Data.TRAINING,
        cost="a fine-tune per step",
        paper=Paper(
            "To prune, or not to prune: exploring the efficacy of pruning for model compression",
            "Zhu, Gupta",
            "ICLR workshop",
            2018,
            "1710.01878",
        ),
        builds_on=("mag",),
    )

    start: Annotated[float, Range(0.0, 0.9, "Share removed at the start", 0.05)] = 0.0
    begin: Annotated[float, Range(0.0, 0.9, "Wait this share of the steps", 0.05)] = 0.0

    def _ratio(self, step: int, steps: int, target: float, depth: float) -> float:
        first = min(self.start, target)
        passed = max(0.0, (step / steps - self.begin) / (1 - self.begin))
        return float(target + (first - target) * (1 - passed) ** 3)


@dataclass(frozen=True)
class LittleByLittle(Schedule):
    r"""Five to ten per cent a step, more in deeper layers, training in between.

    Prune a little, fine-tune a little: a small share per step, more in deeper layers, until the target is reached.

    ``shallow`` and ``deep`` are the shares that the first and the last layer lose per step. Ten per cent of what
    *remains* leaves 0.9^5 = 59 % after five steps, ten per cent of the *original* leaves half: ``of`` says which. A
    heuristic from practice, without a paper.

    $s_{t,l} = \min\bigl(s_f,\ 1-(1-p_l)^t\bigr)$

    When it fails: many short fine-tunes cost more than one long one, and equal training is easily forgotten in the
    comparison.
    """

    card: ClassVar = Card(
        key="sched-inc",
        name="Little by little",
        family=Family.SCHEDULE,
        data=Data.TRAINING,
        cost="many fine-tunes: one per step",
    )

    shallow: Annotated[float, Range(0.01, 0.3, "Share per step in the first layer", 0.01)] = 0.05
    deep: Annotated[float, Range(0.01, 0.3, "Share per step in the last layer", 0.01)] = 0.10
    of: Annotated[str, Choice(("remaining", "original"), "Share of the channels")] = "remaining"

    def _ratio(self, step: int, steps: int, target: float, depth: float) -> float:
        share = self.shallow + (self.deep - self.shallow) * depth
        gone = 1 - (1 - share) ** step if self.of == "remaining" else share * step
        return target if step == steps else min(target, gone)

    def steps(self, target: float) -> int:
        """Steps until the slowest layer is at ``target``."""
        count = 0
        while min(self._ratio(count, count + 1, target, depth) for depth in (0.0, 1.0)) < target:
            count += 1
        return max(1, count)


SCHEDULES: tuple[type[Schedule], ...] = (OneShot, Linear, Geometric, Cubic, Agp, LittleByLittle)
