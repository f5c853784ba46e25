"""The same ratio everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.allocation.base import Allocation, Family
from pruning_core.allocation.card import ratio_card
from pruning_core.allocation.lowest import removed_count
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.knobs import Range


@dataclass(frozen=True)
class Uniform(Allocation):
    """Every group loses the same share of its channels.

    The baseline of every comparison: it needs no measurement and cannot starve a layer. MACs fall about with the square
    of the share that is kept, because a channel is both written and read. It fails where layers differ: a sensitive
    layer loses as much as a redundant one.
    """

    card: ClassVar = ratio_card(
        key="alloc-uniform",
        name="Uniform",
        idea="The same ratio for every group.",
        formula=r"n_l = \lfloor r\,C_l \rfloor",
        cost="nothing beyond the scores",
        fails="Layers differ in how much they bear; the most sensitive one decides the accuracy.",
    )
    strength: ClassVar[str] = "ratio"

    ratio: Annotated[float, Range(0.0, 0.95, "Share of channels removed", 0.01)] = 0.5

    def family(self, pool: Pool) -> Family:
        def at(ratio: float) -> Counts:
            return {key: removed_count(ratio, size) for key, size in pool.size.items()}

        return Family(0.0, 1.0, at)
