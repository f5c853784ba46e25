"""The other view of a plan: the same network, same shapes, with the removed units silenced."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from pruning_core.graph.network import Network, Role
from pruning_core.graph.plan import Plan
from pruning_core.graph.record import named_tensors


def silenced_tensors(model: nn.Module, network: Network, plan: Plan) -> dict[str, Tensor]:
    """The parameters that change when the plan's units are silenced, with those changes made on copies.

    A unit is silenced where it is read: the columns of every weight that sums over it become zero. A unit that is
    multiplied with another activation (attention widths) has no such weight and is silenced where it is made.
    Raises UserError when the plan does not fit the network.
    """
    network.validate(plan)
    tensors = named_tensors(model)
    changed: dict[str, Tensor] = {}
    for key, units in plan.items():
        group = network.group(key)
        ids = network.unit_ids[key]
        at_source = bool(network.layout.silent_producers.intersection(ids.tolist()))
        for member in group.members:
            if member.role is Role.CONSUMER or (at_source and not member.parameter.endswith("running_var")):
                value = changed.get(member.parameter)
                if value is None:
                    value = changed[member.parameter] = tensors[member.parameter].detach().clone()
                gone = torch.as_tensor(member.index[list(units)].reshape(-1), device=value.device)
                value.index_fill_(member.dim, gone, 0)
    return changed


def silence(model: nn.Module, network: Network, plan: Plan) -> nn.Module:
    """A copy of the model, of the same shapes, with the plan's units silenced; the caller's model is untouched."""
    values = silenced_tensors(model, network, plan)
    clone = copy.deepcopy(model)
    with torch.no_grad():
        for name, tensor in named_tensors(clone).items():
            if name in values:
                tensor.copy_(values[name])
    return clone
