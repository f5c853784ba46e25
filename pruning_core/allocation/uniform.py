"""The same ratio everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pruning_core.allocation.base import Allocation, Dial
from pruning_core.allocation.lowest import removed_count
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.knobs import Range
from pruning_core.taxonomy import Card, Data, Family


@dataclass(frozen=True)
class Uniform(Allocation):
    r"""The same ratio for every group.

    Every group loses the same share of its channels.

    The baseline of every comparison: it needs no measurement and cannot starve a layer. MACs fall about with the square
    of the share that is kept, because a channel is both written and read. It fails where layers differ: a sensitive
    layer loses as much as a redundant one.

    $n_l = \lfloor r\,C_l \rfloor$

    When it fails: layers differ in how much they bear; the most sensitive one decides what is lost.
    """

    card: ClassVar = Card(
        key="alloc-uniform",
        name="Uniform",
        family=Family.RATIOS,
        data=Data.NONE,
        cost="nothing beyond the scores",
    )
    strength: ClassVar[str] = "ratio"

    ratio: Annotated[float, Range(0.0, 0.95, "Share of channels removed", 0.01)] = 0.5

    def dial(self, pool: Pool) -> Dial:
        def at(ratio: float) -> Counts:
            return {key: removed_count(ratio, size) for key, size in pool.size.items()}

        return Dial(0.0, 1.0, at)
