"""Random channel pruning: many random widths within the budget, the best of them trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pruning_core.allocation.sampled import RandomWidths
from pruning_core.allocation.search import Search
from pruning_core.criteria import Criterion, L1Norm
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.phases import Cut, FindWidths, Learnt, Phase, Recover, Train, Zeros
from pruning_core.methods.staged import staged
from pruning_core.taxonomy import Card, Data, Family, Published


@dataclass(frozen=True)
class RandomChannelPruning(Method):
    r"""Draw many random widths that use up the budget, measure each on held-out images, train the best.

    $u_l \sim \mathcal{U}(u_{\min}, 1)$ is the share that layer $l$ keeps, all of them scaled together until the network
    fits the budget. Each candidate takes over the weights that one fixed criterion likes, gets batch-norm statistics of
    its own, and is measured; no weight changes. A strong baseline: the paper finds no criterion that clearly wins
    against it.

    When it fails: accuracy before training is a weak hint of accuracy after it, and with few held-out images the best
    of many is partly luck. With many layers the draws crowd around the same average network.
    """

    card: ClassVar = Card(
        key="random-widths",
        name="Random channel pruning",
        family=Family.SEARCH,
        data=Data.TRAINING,
        cost="one evaluation per network tried, then one training",
        paper=RandomWidths.card.paper,
        published=(
            Published("several", "ImageNet", "no criterion clearly wins over it", "abstract of the paper", True),
        ),
        builds_on=("scratch-b",),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "Fewer networks are tried, on fewer held-out images, and the best is trained for a few epochs. Draws outside "
        "the budget are scaled into it where the paper draws again."
    )
    in_paper: ClassVar = (
        InPaper("trials", UNREAD),
        InPaper("least", UNREAD),
        InPaper("epochs", UNREAD),
    )

    criterion: Criterion = field(default_factory=L1Norm)
    trials: Annotated[int, Range(1, 200, "Networks tried", step=1)] = 20
    least: Annotated[float, Range(0.02, 1.0, "Smallest share drawn", step=0.02)] = 0.1

    def phases(self, goal: Goal) -> Iterator[Phase]:
        search = Search(RandomWidths(), self.trials, self.least)
        yield FindWidths(self.criterion, search, staged(goal, 1), name="random widths")
        yield Cut(Learnt(), Zeros(), name="the best of them")
        yield Recover(name="statistics")
        yield Train(1.0, name="what is left")
