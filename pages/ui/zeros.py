"""Whether weights of the network on the desk were set to zero, which hardly happens by chance."""

from __future__ import annotations

from pages.ui import state
from pages.ui.desk import Desk
from pruning_core.sparsity.weights import Sparsity

SOME = 0.01  # of the weights are zero: more than chance leaves


def found(desk: Desk) -> Sparsity | None:
    """What is left; None where the network is dense. Raises UserError when it cannot be captured."""
    sparsity = Sparsity.of(state.loaded(desk.model).model, state.network(desk.model))
    return sparsity if sparsity.zeros >= SOME * sparsity.weights > 0 else None
