"""AutoCompress: annealed rates, ADMM towards them, and again with what is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from pruning_core.allocation.annealing import Annealing
from pruning_core.allocation.search import Search
from pruning_core.allocation.space import Space, Walk
from pruning_core.criteria import L1Norm
from pruning_core.graph import Plan
from pruning_core.knobs import Range
from pruning_core.methods.admm_filters import NearSparse
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper, ours
from pruning_core.methods.phases import Cut, FindWidths, Learnt, Phase, Train, Zeros
from pruning_core.methods.staged import staged
from pruning_core.taxonomy import Card, Data, Family, Published, Time


def ordered(kept: Sequence[float], weights: Sequence[int]) -> tuple[float, ...]:
    """The same shares, so that a group with more weights never keeps a larger one."""
    shares = sorted(kept, reverse=True)
    places = sorted(range(len(weights)), key=lambda group: (weights[group], group))
    return tuple(share for _, share in sorted(zip(places, shares)))


@dataclass(frozen=True)
class ExperiencedAnnealing(Annealing):
    """Annealing whose draws obey one rule of experience: a group with more weights never loses a smaller share."""

    def walk(self, space: Space, seed: int) -> Walk:
        network, sizes = space.pool.network, space.pool.size
        full = network.cost().parameters
        weights = [
            size * (full - network.cost(Plan({key: (0,)})).parameters) if size > 1 else 0 for key, size in sizes.items()
        ]
        inner = super().walk(space, seed)
        draw = next(inner)
        while True:
            draw = inner.send((yield draw._replace(shares=ordered(draw.shares, weights))))


@dataclass(frozen=True)
class NearFound(NearSparse):
    """Near the network without the filters that were found before."""

    def given(self, learnt: Mapping[str, Tensor]) -> NearSparse:
        counts = {key: int((values == 0).sum()) for key, values in learnt.items()}
        return NearSparse({key: count for key, count in counts.items() if count}, self.rho, self.growth)


@dataclass(frozen=True)
class AutoCompress(Method):
    r"""Anneal the rate of every layer, draw the weights to a network with so many empty filters by ADMM, cut; again.

    $1 - (1 - s)^{1/N}$ of what is left goes in each of $N$ rounds. A round looks for the rates of all layers by
    simulated annealing, on held-out images and without training; a layer with more weights never gets a lower rate.
    Then $\min \mathcal{L}(W) + \tfrac{\rho}{2}\sum_l \|W_l - Z_l + U_l\|_F^2$ empties as many filters of each layer,
    which need not be those that the search left out, and they are removed.

    When it fails: the search compares networks that were not trained, in few trials. ADMM must come near its empty
    filters before the cut, which takes many epochs or a large rho. It is static pruning, although a survey calls it
    dynamic: only the penalty is renewed.
    """

    card: ClassVar = Card(
        key="autocompress",
        name="AutoCompress",
        family=Family.SEARCH,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one evaluation per trial and a training with a penalty for every round, and one training after them",
        paper=Annealing.card.paper,
        published=(
            Published("not said", "not said", "120x fewer parameters, as accurate", "abstract of the paper", True),
        ),
        builds_on=("admm-filters",),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper prunes filters and columns together, in ADMM rounds of 30 times five epochs; here it is filters "
        "alone, every epoch is a round of ADMM, and a few candidates are tried per search. There is no purification "
        "step: where whole filters go, what read them goes too."
    )
    in_paper: ClassVar = (
        InPaper("rounds", "3 (NNI)", False),
        InPaper("trials", "16: from 100 down to 20 degrees by 0.9 (NNI)", False),
        InPaper("rho", "1e-4 (NNI)", False),
        InPaper("epochs", "150 per round: 30 of ADMM by 5 (NNI)", False),
        *ours("growth"),
    )

    rounds: Annotated[int, Range(1, 5, "Rounds", step=1)] = 2
    trials: Annotated[int, Range(1, 200, "Networks tried per round", step=1)] = 12
    rho: Annotated[float, Range(1e-5, 10.0, "Penalty rho", log=True)] = 1e-2
    growth: Annotated[float, Range(1.0, 10.0, "Growth of rho per epoch", step=0.1)] = 1.5

    def phases(self, goal: Goal) -> Iterator[Phase]:
        for number in range(1, self.rounds + 1):
            named = f", round {number}" if self.rounds > 1 else ""
            search = Search(ExperiencedAnnealing(), self.trials)
            yield FindWidths(L1Norm(), search, staged(goal, number / self.rounds), name=f"annealed rates{named}")
            hook = NearFound(rho=self.rho, growth=self.growth)
            yield Train(0.6 / self.rounds, (hook,), keep="last", name=f"near that network{named}")
            yield Cut(Learnt(), Zeros(), name=f"its empty filters{named}")
        yield Train(0.4, name="what is left")
