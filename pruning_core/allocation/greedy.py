"""Search by the least harmful next step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.allocation.space import Draw, Explorer, Space, Walk
from pruning_core.allocation.trial import Trial
from pruning_core.knobs import Range
from pruning_core.taxonomy import Card, Data, Family, Paper


@dataclass(frozen=True)
class Greedy(Explorer):
    r"""Try each group, commit the step that loses the least accuracy.

    From the whole network, again and again shrink the one group that hurts least, until the budget is kept.

    AutoSlim's second stage. Its slimmable training is left out: the trained network with its channels in the order of a
    criterion stands in for it, so the numbers are not the paper's. It makes as many trials as it takes to get there,
    whatever was asked for; those before the last round exceed the budget.

    $l^* = \arg\max_l \text{acc}(w_1,\dots,w_l-\Delta_l,\dots)$

    When it fails: it never takes a step back, and single steps inside the noise are taken by chance.
    """

    card: ClassVar = Card(
        key="autoslim",
        name="Greedy (AutoSlim)",
        family=Family.SEARCH,
        data=Data.LABELS,
        cost="groups × steps evaluations",
        paper=Paper(
            "AutoSlim: Towards One-Shot Architecture Search for Channel Numbers",
            "Yu, Huang",
            "NeurIPS workshop",
            2019,
            "1903.11728",
        ),
    )

    step: Annotated[float, Range(0.05, 0.5, "Share of a group per step", 0.05)] = 0.2

    def longest(self, space: Space) -> int:
        steps = {key: math.ceil(most / self._channels(space.pool.size[key])) for key, most in space.pool.most.items()}
        return 1 + len(steps) * sum(steps.values())

    def _channels(self, size: int) -> int:
        return math.ceil(self.step * size)

    def walk(self, space: Space, seed: int) -> Walk:
        """Ends at the budget, or when nothing is left to remove."""
        sizes = list(space.pool.size.values())
        shares = [1.0] * len(sizes)
        at = yield Draw(tuple(shares), fit=False)
        while not at.within:
            best: tuple[Trial, list[float]] | None = None
            for number, size in enumerate(sizes):
                smaller = list(shares)
                smaller[number] = max(1, round(shares[number] * size) - self._channels(size)) / size
                if space.counts(smaller) == space.counts(shares):
                    continue  # its limit is reached
                trial = yield Draw(tuple(smaller), fit=False)
                if best is None or (trial.accuracy, -trial.cost) > (best[0].accuracy, -best[0].cost):
                    best = (trial, smaller)
            if best is None:
                return
            at, shares = best
