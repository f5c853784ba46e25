"""One threshold for the scores of the whole network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from pruning_core.allocation.base import Allocation, Dial
from pruning_core.allocation.isomorphic import classes
from pruning_core.allocation.lowest import ROUNDING, removed_count
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.knobs import Choice, Range, Toggle
from pruning_core.taxonomy import Card, Data, Family

Scores = NDArray[np.float64]


def _ranks(s: Scores) -> Scores:
    ranks = np.empty(len(s))
    ranks[np.argsort(s, kind="stable")] = np.arange(len(s))
    return (ranks + 0.5) / len(s)


def _divided(by: Callable[[Scores], float]) -> Callable[[Scores], Scores]:
    def divide(s: Scores) -> Scores:
        scale = by(s)
        return s / scale if scale > 0 else s

    return divide


NORMALISE: dict[str, Callable[[Scores], Scores]] = {
    "none": lambda s: s,
    "mean": _divided(lambda s: float(np.abs(s).mean())),
    "L2": _divided(lambda s: float(np.linalg.norm(s))),
    "max": _divided(lambda s: float(np.abs(s).max())),
    "rank": _ranks,
}
"""How the scores (C,) of one group are made comparable with those of others; all keep the order within the group."""
OWN = "the criterion's own"


@dataclass(frozen=True)
class GlobalThreshold(Allocation):
    r"""Rank the channels of all groups together and cut the lowest.

    The lowest scores of the whole network go, wherever they are.

    Layers with many unimportant channels lose more. Scores must be comparable between layers, which each criterion says
    for itself (``criteria.Fairness``): Taylor scores and batch-norm scales are so as they stand, norms are divided by
    their layer's mean. ``penalty`` subtracts from each score the MACs that the channel costs, in units of the average
    channel, so that costly layers lose more. ``floor`` keeps a share of every layer, because a threshold alone may
    empty one. With ``isomorphic`` only layers of the same kind are ranked together, each class losing the same share.

    $\{(l,c) : \hat s_{l,c} - \eta\,\tfrac{m_l}{\bar m} \le \tau\}$

    When it fails: scores that are not comparable between layers (raw L1 norms) empty the layers with small weights.
    """

    card: ClassVar = Card(
        key="alloc-global",
        name="Global threshold",
        family=Family.RATIOS,
        data=Data.NONE,
        cost="sorting all scores once",
    )
    strength: ClassVar[str] = "ratio"

    ratio: Annotated[float, Range(0.0, 0.95, "Share of all channels removed", 0.01)] = 0.5
    normalise: Annotated[
        str,
        Choice(
            (OWN, *NORMALISE),
            "Divide each layer's scores by",
            help="Makes the scores of different layers comparable. Each criterion says what its paper does.",
        ),
    ] = OWN
    penalty: Annotated[float, Range(0.0, 1.0, "Cost penalty", 0.01, help="Weight of its MACs against a score")] = 0.0
    floor: Annotated[float, Range(0.0, 0.5, "Keep at least this share of every layer", 0.05)] = 0.1
    isomorphic: Annotated[
        bool,
        Toggle(
            "Rank only layers of the same kind together",
            help="Layers are of one kind when a channel of them owns the same kinds of weights in layers of the same "
            "type: the inner convolutions of all residual blocks, say, apart from the residual stream itself. Their "
            "scores mean the same, so they share a ranking, and every kind loses the same share of its channels.",
        ),
    ] = False

    def dial(self, pool: Pool) -> Dial:
        parts = classes(pool.network, pool.size) if self.isomorphic else [tuple(pool.size)]
        queues = [self._queue(pool, keys) for keys in parts]
        totals = [sum(pool.size[key] for key in keys) for keys in parts]

        def at(ratio: float) -> Counts:
            counts: Counts = {}
            for keys, queue, total in zip(parts, queues, totals):
                taken = queue[: int(ratio * total + ROUNDING)]
                counts |= dict(zip(keys, np.bincount(taken, minlength=len(keys)).tolist()))
            return counts

        return Dial(0.0, 1.0, at)

    def _queue(self, pool: Pool, keys: Sequence[str]) -> NDArray[np.int64]:
        """Positions in ``keys`` of the channels that may go, the least important first; ties to the earlier layer."""
        costs = pool.macs_per_channel if self.penalty else dict.fromkeys(keys, 0.0)
        average = float(np.mean([costs[key] for key in pool.size])) if self.penalty else 1.0
        by = pool.fair if self.normalise == OWN else self.normalise
        values, owners = [], []
        for number, key in enumerate(keys):
            most = min(pool.most[key], removed_count(1 - self.floor, pool.size[key]))
            fair = NORMALISE[by](pool.values[key]) - self.penalty * costs[key] / (average or 1.0)
            values.append(fair[pool.order[key][:most]])
            owners.append(np.full(most, number, dtype=np.int64))
        return np.concatenate(owners)[np.argsort(np.concatenate(values), kind="stable")]
