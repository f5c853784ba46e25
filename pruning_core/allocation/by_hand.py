"""A ratio for each group, chosen by a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.allocation.base import Allocation, Dial
from pruning_core.allocation.lowest import removed_count
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.errors import UserError
from pruning_core.knobs import Range
from pruning_core.taxonomy import Card, Data, Family


@dataclass(frozen=True)
class ByHand(Allocation):
    r"""One ratio per group, chosen by a person.

    Every group loses the share that was chosen for it; groups that are not named keep all.

    ``ratios``: group key -> ratio in [0, 1), as a mapping or as pairs. Under a budget all ratios are multiplied by one
    factor, so that their proportions stay. It is as good as the eye of whoever chose: look at the sensitivity first.
    Raises UserError for a ratio outside [0, 1).

    $n_l = \lfloor \lambda\,r_l\,C_l \rfloor$

    When it fails: the proportions are a guess unless the sensitivity was measured.
    """

    card: ClassVar = Card(
        key="alloc-by-hand",
        name="By hand",
        family=Family.RATIOS,
        data=Data.NONE,
        cost="nothing beyond the scores",
    )
    strength: ClassVar[str] = "factor"

    ratios: tuple[tuple[str, float], ...] = ()
    factor: Annotated[float, Range(0.0, 4.0, "Multiply all ratios by", 0.05)] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs = self.ratios.items() if isinstance(self.ratios, Mapping) else self.ratios
        object.__setattr__(self, "ratios", tuple(sorted((str(key), float(ratio)) for key, ratio in pairs)))
        for key, ratio in self.ratios:
            if not 0 <= ratio < 1:
                raise UserError(f"The ratio of {key} must lie in [0, 1), not {ratio:g}: every layer keeps a channel.")

    def dial(self, pool: Pool) -> Dial:
        """Raises UserError when a ratio names no group of the network."""
        for key, _ in self.ratios:
            pool.network.group(key)
        chosen = {key: ratio for key, ratio in self.ratios if key in pool.size and ratio > 0}

        def at(factor: float) -> Counts:
            return {key: removed_count(factor * ratio, pool.size[key]) for key, ratio in chosen.items()}

        return Dial(0.0, 1 / min(chosen.values(), default=1.0), at)
