"""The other view of a plan: the same network, same shapes, with the removed units silenced."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph.modules import named_tensors
from pruning_core.graph.network import Member, Network, Role
from pruning_core.graph.plan import Plan


def silenced_tensors(
    model: nn.Module, network: Network, plan: Plan, instead: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The parameters that change when the plan's units are silenced, with those changes made on copies.

    ``instead`` stand in place of the model's own tensors of these names, and are among those returned.

    A unit is silenced where it is read: the columns of every weight that sums over it become zero. A unit that is
    multiplied with another activation (attention widths) has no such weight and is silenced where it is made.
    Raises UserError when the plan does not fit the network.
    """
    network.validate(plan)
    tensors = named_tensors(model)
    check_fit(tensors, network)
    changed: dict[str, Tensor] = {name: tensor.detach().clone() for name, tensor in (instead or {}).items()}
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


def check_fit(tensors: Mapping[str, Tensor], network: Network) -> None:
    """Raises UserError when these are not the tensors of the network that was captured."""
    for (name, dim), units in network.layout.unit_of.items():
        if name not in tensors or tensors[name].dim() <= dim or tensors[name].shape[dim] != len(units):
            raise UserError(
                f"This is not the network that was captured: {name} is missing or has another size. "
                "Capture the network that you want to prune."
            )
