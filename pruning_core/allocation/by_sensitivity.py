"""Every layer may lose as much as costs the same accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from pruning_core.allocation.base import Allocation, Dial
from pruning_core.allocation.lowest import removed_count
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.errors import UserError
from pruning_core.knobs import Range, Toggle
from pruning_core.taxonomy import Card, Data, Family, Paper

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class BySensitivity(Allocation):
    r"""The same tolerated loss for every group decides its ratio.

    Every group is pruned up to the ratio at which, alone, it would lose that share of what is measured.

    ``table``: group key -> [(ratio, drop), …] as a sensitivity sweep measured them, drops in [-1, 1], as a mapping or
    as pairs; groups that were not measured keep all, and no group goes beyond its highest measured ratio. Between
    measured ratios the drop is taken as a straight line from (0, 0) on, or, without ``interpolate``, only measured
    ratios are used. Drops of single layers do not add up: pruned together, the network loses more than the tolerance.
    Raises UserError for a table without measurements or with a ratio outside [0, 1).

    $r_l = \max\{\, r : \Delta_l(r) \le \delta \,\}$

    When it fails: drops of single layers do not add up, and drops inside the noise order the layers by chance.
    """

    card: ClassVar = Card(
        key="alloc-sens",
        name="By sensitivity",
        family=Family.RATIOS,
        data=Data.LABELS,
        cost="a sensitivity sweep: groups × ratios evaluations",
        paper=Paper(
            "Pruning Filters for Efficient ConvNets", "Li, Kadav, Durdanovic, Samet, Graf", "ICLR", 2017, "1608.08710"
        ),
    )
    strength: ClassVar[str] = "tolerance"

    table: tuple[tuple[str, Curve], ...] = ()
    tolerance: Annotated[float, Range(0.0, 0.5, "Tolerated loss", 0.005)] = 0.01
    interpolate: Annotated[bool, Toggle("Interpolate between measured ratios")] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "table", checked_table(self.table))

    def dial(self, pool: Pool) -> Dial:
        """Raises UserError when nothing in the pool was measured."""
        curves = {key: curve for key, curve in self.table if key in pool.size and curve}
        if not curves:
            raise UserError("No layer that may be pruned was measured. Run a sensitivity sweep of this network first.")
        drops = [drop for curve in curves.values() for _, drop in curve]

        def at(tolerance: float) -> Counts:
            return {
                key: removed_count(tolerated(curve, tolerance, self.interpolate), pool.size[key])
                for key, curve in curves.items()
            }

        below = min(0.0, *drops) - 1e-6  # under every measured drop nothing is tolerated
        return Dial(below, max(0.0, *drops), at)


def checked_table(table: Mapping[str, Iterable[tuple[float, float]]] | Iterable[Any]) -> tuple[tuple[str, Curve], ...]:
    """A sensitivity table as it is kept, sorted. Raises UserError for a ratio outside [0, 1) or a drop that is none."""
    rows: Iterable[Any] = table.items() if isinstance(table, Mapping) else table
    clean = sorted((str(key), tuple(sorted((float(r), float(d)) for r, d in curve))) for key, curve in rows)
    for key, curve in clean:
        if any(not 0 <= ratio < 1 for ratio, _ in curve) or any(drop != drop for _, drop in curve):
            raise UserError(f"The sensitivity of {key} holds a ratio outside [0, 1) or a drop that is no number.")
    return tuple(clean)


def drop_at(curve: Curve, ratio: float) -> float:
    """The drop at ``ratio``, on straight lines from (0, 0) through what was measured; flat after the last point."""
    points = [(0.0, 0.0), *(point for point in curve if point[0] > 0)]
    for (before, low), (after, high) in pairwise(points):
        if ratio <= after:
            return low + (high - low) * (ratio - before) / (after - before)
    return points[-1][1]


def tolerated(curve: Curve, tolerance: float, interpolate: bool) -> float:
    """The largest ratio whose drop is at most ``tolerance``; 0 when there is none."""
    points = [(0.0, 0.0), *(point for point in curve if point[0] > 0)]
    (above, steep) = points[-1]
    if steep <= tolerance:
        return above
    for ratio, drop in reversed(points[:-1]):
        if drop <= tolerance:
            return ratio + (above - ratio) * (tolerance - drop) / (steep - drop) if interpolate else ratio
        above, steep = ratio, drop
    return 0.0
