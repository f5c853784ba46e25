"""What a network with half-open gates costs: the closed form of its cost, through which gradients flow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from pruning_core.allocation.budget import UNITS, Budget
from pruning_core.errors import UserError
from pruning_core.graph import Network


class SoftCost:
    """MACs or parameters, by the gates of its groups; a gate counts as that much of a unit.

    What a layer reads and what it writes both count, because the closed form multiplies what remains on either side.
    With gates of 0 and 1 it is the cost of that plan. Raises UserError for a latency.
    """

    def __init__(self, network: Network, kind: str, device: torch.device | str) -> None:
        if kind == "latency":
            raise UserError(
                f"A method keeps to a budget in {UNITS['macs']} or {UNITS['parameters']}. Choose one of them."
            )
        sizes = network.layout.sizes
        self._sizes = {group.key: group.size for group in network.groups}
        if kind == "macs":
            terms, divisor = list(sizes.products), network.layout.batch
        else:
            terms, divisor = [each.term for each in sizes.tensors if each.trainable], 1
        owned = np.stack([_owned(network, number) for number in range(len(sizes.counts))])  # (counts, units)
        longest = max(len(term.counts) for term in terms)
        padded = [[*term.counts, *[len(sizes.counts)] * (longest - len(term.counts))] for term in terms]

        def on_device(values: object) -> Tensor:
            return torch.as_tensor(np.asarray(values, dtype=np.float64), device=device)

        self._owned, self._full = on_device(owned), on_device([count.full for count in sizes.counts])
        self._factors = on_device([term.factor / divisor for term in terms])
        self._counts = torch.as_tensor(np.asarray(padded, dtype=np.int64), device=device)  # (terms, longest)
        self.whole = float(network.cost().macs if kind == "macs" else network.cost().parameters)

    def __call__(self, gates: Mapping[str, Tensor]) -> Tensor:
        """A float64 scalar; groups without gates (C,) are open."""
        one = self._full.new_ones(1)
        parts = [gates[key].double() if key in gates else one.expand(size) for key, size in self._sizes.items()]
        left = torch.cat([self._full - self._owned @ (1 - torch.cat(parts)), one])  # (counts + 1,)
        return self._factors @ left[self._counts].prod(dim=1)

    def share(self, gates: Mapping[str, Tensor]) -> Tensor:
        """Of the whole network's cost."""
        return self(gates) / self.whole


def allowed(network: Network, budget: Budget) -> float:
    """The share of the whole network's cost that ``budget`` allows, at most 1."""
    cost = network.cost()
    whole = budget.counts(cost.macs, cost.parameters)
    return min(1.0, budget.limit(whole) / whole)


def _owned(network: Network, number: int) -> np.ndarray:
    """(units of all groups,): how many positions of a count each unit owns."""
    count = network.layout.sizes.counts[number]
    if count.units is not None:
        times = np.bincount(count.units[count.units >= 0], minlength=network.layout.units + 1)
        return np.concatenate([times[network.unit_ids[group.key]] for group in network.groups])
    each = dict(count.each)
    return np.concatenate([np.full(group.size, each.get(i, 0)) for i, group in enumerate(network.groups)])
