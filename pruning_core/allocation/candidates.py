"""Candidates from a sensitivity table, ranked before any of them is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from pruning_core.allocation.base import Dial
from pruning_core.allocation.budget import Budget, keeping, limits_of
from pruning_core.allocation.by_sensitivity import Curve, checked_table, drop_at, tolerated
from pruning_core.allocation.lowest import removed_count
from pruning_core.allocation.pool import Counts
from pruning_core.allocation.space import Draw, Explorer, Space, Walk
from pruning_core.errors import UserError
from pruning_core.knobs import Range
from pruning_core.taxonomy import Card, Data, Family

DRAWS = 128  # ways to share the tolerance out; each costs a few dozen closed-form costs
SPREAD = 0.8  # standard deviation of the logarithm of a group's share of the tolerance
HALF = Budget("macs", fraction=0.5)  # what candidates are made for where every budget is an amount of time


@dataclass(frozen=True)
class Candidates(Explorer):
    r"""Plans that a stored sensitivity sweep thinks best; they are then really measured.

    Many plans are computed from the stored drops of single groups, and those with the smallest sum of drops are tried.

    Nothing is measured to make them: every plan gives each group a tolerance of its own, drawn around the same one for
    all, and keeps to the budgets in closed form. The first trial cuts every group alike, the next are the candidates in
    their order. ``table`` as for ``BySensitivity``. Where every budget is a latency, candidates are made for the same
    share of the MACs (half, where the latency is given in milliseconds) and then fitted by timing.
    Raises UserError for a table without measurements, and for budgets that the measured ratios do not reach.

    $\min_{r} \sum_l \Delta_l(r_l) \quad \text{within the budgets}$

    When it fails: drops of single layers do not add up, so the order of the candidates is a guess; that is why they
    are measured.
    """

    card: ClassVar = Card(
        key="candidates",
        name="Candidates by sensitivity",
        family=Family.SEARCH,
        data=Data.LABELS,
        cost="a stored sweep, then one evaluation per trial",
    )

    table: tuple[tuple[str, Curve], ...] = ()
    candidates: Annotated[int, Range(1, 50, "Candidates that are measured")] = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "table", checked_table(self.table))

    def foresees(self, number: int) -> bool:
        return True

    def longest(self, space: Space) -> int:
        return min(space.trials, 1 + self.candidates)

    def walk(self, space: Space, seed: int) -> Walk:
        yield Draw((1.0,) * len(space.keys))
        timed = any(each.timed for each in space.budgets)
        for counts in self.ranked(space, seed):
            yield Draw(tuple(1 - counts.get(key, 0) / space.pool.size[key] for key in space.keys), fit=timed)

    def ranked(self, space: Space, seed: int) -> tuple[Counts, ...]:
        """The candidates, the smallest sum of drops first; without measuring."""
        pool = space.pool
        curves = {key: curve for key, curve in self.table if key in pool.size and curve}
        if not curves:
            raise UserError("No layer that may be pruned was measured. Run a sensitivity sweep of this network first.")
        drawn = np.random.default_rng(seed)
        found: dict[tuple[tuple[str, int], ...], float] = {}
        for number in range(DRAWS):
            weights = np.exp(SPREAD * drawn.standard_normal(len(curves))) if number else np.ones(len(curves))
            dial = _dial(curves, dict(zip(curves, weights.tolist())), pool.size)
            counts, _ = keeping(dial, pool, limits_of(dial, pool, self._counted(space)))
            found.setdefault(
                tuple(counts.items()), sum(drop_at(curves[k], n / pool.size[k]) for k, n in counts.items())
            )
        best = sorted(found, key=lambda each: found[each])  # stable: of equals the one drawn first
        return tuple(dict(each) for each in best[: self.candidates])

    @staticmethod
    def _counted(space: Space) -> tuple[Budget, ...]:
        counted = tuple(each for each in space.budgets if not each.timed)
        shares = [each.fraction for each in space.budgets if each.fraction is not None]
        return counted or (Budget("macs", fraction=min(shares)) if shares else HALF,)


def _dial(curves: Mapping[str, Curve], weight: Mapping[str, float], size: Mapping[str, int]) -> Dial:
    """As ``BySensitivity`` has it, with tolerances in these proportions."""
    drops = [drop / weight[key] for key, curve in curves.items() for _, drop in curve]

    def at(tolerance: float) -> Counts:
        return {
            key: removed_count(tolerated(curve, tolerance * weight[key], True), size[key])
            for key, curve in curves.items()
        }

    return Dial(min(0.0, *drops) - 1e-6, max(0.0, *drops) + 1e-12, at)
