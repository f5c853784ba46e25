"""The largest share of the weights that keeps to a budget."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pruning_core.allocation.budget import UNITS, Budget
from pruning_core.errors import UserError
from pruning_core.sparsity.weights import Bill

HALVINGS = 48


def kept(levels: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weight name -> True where the weight stays, when ``share`` in [0, 1] may be left."""
    return {name: level <= share for name, level in levels.items()}


def check_reach(least: float, budget: Budget, limit: float) -> None:
    """Raises UserError where the ``least`` that can be left costs more than ``limit`` (in the units of ``budget``)."""
    if least > limit:
        unit = UNITS[budget.kind]
        raise UserError(
            f"{limit:,.0f} {unit} cannot be reached: what no zero can save (norms, biases, layers that the pattern "
            f"leaves alone) takes {least:,.0f} {unit}. Choose a larger budget or a finer pattern."
        )


def share_within(levels: Mapping[str, Tensor], bill: Bill, budget: Budget, limit: float) -> float:
    """The largest share in [0, 1] that costs at most ``limit`` (in the units of ``budget``).

    MACs count products whose weight is not zero. Raises UserError where even nothing costs more.
    """

    def cost(share: float) -> float:
        macs, parameters = bill.left({name: int((level <= share).sum()) for name, level in levels.items()})
        return budget.counts(macs, parameters)

    if cost(1.0) <= limit:
        return 1.0
    low, high = 0.0, 1.0
    check_reach(cost(low), budget, limit)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= limit else (low, middle)
    return low
