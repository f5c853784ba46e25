"""The other view of a plan: the same network, same shapes, with the removed units silenced."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import named_tensors, renew
from pruning_core.graph.network import Member, Network, Role
from pruning_core.graph.plan import Plan


def silenced_tensors(model: nn.Module, network: Network, plan: Plan) -> dict[str, Tensor]:
    """The parameters that change when the plan's units are silenced, with those changes made on copies.

    A unit is silenced where it is read: the columns of every weight that sums over it become zero. A unit that is
    multiplied with another activation (attention widths) has no such weight and is silenced where it is made.
    Raises UserError when the plan does not fit the network.
    """
    network.validate(plan)
    tensors = named_tensors(model)
    _check_fit(tensors, network)
    changed: dict[str, Tensor] = {}
    for key, units in plan.items():
        for member in silenced_members(network, key):
            value = changed.get(member.parameter)
            if value is None:
                value = changed[member.parameter] = tensors[member.parameter].detach().clone()
            gone = torch.as_tensor(member.index[list(units)].reshape(-1), device=value.device)
            value.index_fill_(member.dim, gone, 0)
    return changed


def silenced_members(network: Network, key: str) -> list[Member]:
    """Where the units of a group are silenced."""
    at_source = bool(network.layout.silent_producers.intersection(network.unit_ids[key].tolist()))
    return [
        m
        for m in network.group(key).members
        if m.role is Role.CONSUMER or (at_source and not m.parameter.endswith("running_var"))
    ]


def _check_fit(tensors: dict[str, Tensor], network: Network) -> None:
    for (name, dim), units in network.layout.unit_of.items():
        if name not in tensors or tensors[name].dim() <= dim or tensors[name].shape[dim] != len(units):
            raise UserError(
                f"This is not the network that was captured: {name} is missing or has another size. "
                "Capture the network that you want to prune."
            )


def silence(model: nn.Module, network: Network, plan: Plan) -> nn.Module:
    """A copy of the model, of the same shapes, with the plan's units silenced; the caller's model is untouched."""
    tensors = named_tensors(model)
    exchanged: dict[int, Tensor] = {}
    for name, value in silenced_tensors(model, network, plan).items():
        old = tensors[name]
        exchanged[id(old)] = nn.Parameter(value, old.requires_grad) if isinstance(old, nn.Parameter) else value
    new = copied(model, exchanged)
    renew(new)  # what was computed from the tensors before
    return new
