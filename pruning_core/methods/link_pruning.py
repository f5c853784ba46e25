"""Progressive link pruning: stages of the network one by one, then merged two by two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar

from pruning_core.criteria import Criterion, L1Norm
from pruning_core.knobs import Choice
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import ours
from pruning_core.methods.phases import Cut, Mend, Phase, Train, Widths
from pruning_core.methods.staged import staged
from pruning_core.methods.units import cuttable, uniform_counts
from pruning_core.taxonomy import Card, Data, Family


def stages(keys: Sequence[str], parts: int) -> list[tuple[str, ...]]:
    """``keys`` in at most so many consecutive parts, as equal as they can be; none is empty."""
    parts = min(parts, len(keys))
    edges = [len(keys) * part // parts for part in range(parts + 1)] if parts else []
    return [tuple(keys[start:end]) for start, end in pairwise(edges)]


@dataclass(frozen=True)
class LinkPruning(Method):
    r"""Cut the network stage by stage, train, merge neighbouring stages, and again, until it is one stage.

    $K \to K/2 \to \dots \to 2 \to 1$ stages of consecutive layers, one round each; each round removes the same share
    $r$ of what is left, so that $1 - (1 - r)^n$ is gone after $n$ of them. A stage is cut and mended before the next
    one is judged; at each merge all are trained together.

    This is a term without a paper: a survey names "progressive link pruning" and describes it in a few sentences, and
    no publication of that name was found. What is done here is our reading of those sentences; stages are taken in
    the order of the network, and none is known to be less sensitive than another.

    When it fails: nothing says that it is better than cutting everywhere in as many rounds; try both. Every round needs
    a training of its own.
    """

    card: ClassVar = Card(
        key="plp",
        name="Progressive link pruning (a term without a paper)",
        family=Family.SCHEDULE,
        data=Data.TRAINING,
        cost="scores and mending for every stage, one training for every round",
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "There is no paper to hold it against. Between two stages of a round nothing is trained: they are mended by "
        "least squares, and a training follows where stages merge."
    )
    in_paper: ClassVar = (*ours("parts", "epochs"),)

    criterion: Criterion = field(default_factory=L1Norm)
    parts: Annotated[int, Choice((1, 2, 4, 8), "Stages at first")] = 4

    def phases(self, goal: Goal) -> Iterator[Phase]:
        keys = [group.key for group in cuttable(goal.network)]
        rounds = self.parts.bit_length()
        for number in range(1, rounds + 1):
            counts = uniform_counts(goal.network, staged(goal, number / rounds))
            for place, stage in enumerate(stages(keys, self.parts >> (number - 1)), 1):
                named = f"round {number}, stage {place}"
                yield Cut(self.criterion, Widths({key: counts[key] for key in stage if key in counts}), name=named)
                yield Mend(name=f"{named}: mend")
            yield Train(1 / rounds, name=f"round {number}, all together")
