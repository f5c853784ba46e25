"""Factors on units, placed where a unit is read: gate 0 is the silenced network, gate 1 the network as it is.

One gate per unit of a group, however many layers make or read it, so that coupled layers open and close together. The
gates become tensors that stand for weights in a forward pass; gradients flow through them into gates and weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.graph.modules import named_tensors
from pruning_core.graph.removing.silence import silenced_members
from pruning_core.methods.units import cuttable


@dataclass(frozen=True, eq=False)
class Gates:
    """``sizes``: units by group key, in the order in which their gates are laid side by side, with a last one that is
    always open. ``places``: parameter, the tensor, a dimension, and the gate of every position along it.
    """

    sizes: Mapping[str, int]
    places: tuple[tuple[str, Tensor, int, Tensor], ...]

    @staticmethod
    def of(model: nn.Module, network: Network, keys: Iterable[str] | None = None) -> Gates:
        """For the groups ``keys`` (by default all that can be cut exactly), on the tensors of ``model`` itself."""
        wanted = None if keys is None else set(keys)
        groups = [group for group in cuttable(network) if wanted is None or group.key in wanted]
        sizes = {group.key: group.size for group in groups}
        tensors, found = named_tensors(model), dict[tuple[str, int], Tensor]()
        start, total = 0, sum(sizes.values())
        for group in groups:
            own = torch.arange(start, start + group.size)
            for member in silenced_members(network, group.key):
                at = (member.parameter, member.dim)
                where = found.setdefault(at, torch.full((tensors[member.parameter].shape[member.dim],), total))
                index = torch.as_tensor(member.index)
                where[index.reshape(-1)] = own.repeat_interleave(index.shape[1])
            start += group.size
        return Gates(
            sizes,
            tuple((name, tensors[name], dim, where.to(tensors[name].device)) for (name, dim), where in found.items()),
        )

    def joined(self, values: Mapping[str, Tensor]) -> Tensor:
        """(all units + 1,): the gates (C,) of every group side by side; groups without values are open."""
        like = next(iter(values.values()))
        parts = [values[key] if key in values else like.new_ones(size) for key, size in self.sizes.items()]
        return torch.cat([*parts, like.new_ones(1)])

    def split(self, joined: Tensor) -> dict[str, Tensor]:
        """The opposite of :meth:`joined`."""
        return dict(zip(self.sizes, joined.split([*self.sizes.values(), 1])))

    def exchanged(self, values: Mapping[str, Tensor], already: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Parameter name -> the tensor with these gates (C,) by group key; ``already`` are tensors exchanged before."""
        found = dict(already or {})
        if not values:
            return found
        factors = self.joined(values)
        for name, tensor, dim, where in self.places:
            value = found.get(name, tensor)
            shape = [-1 if each == dim else 1 for each in range(value.dim())]
            found[name] = value * factors[where].to(value.dtype).view(shape)
        return found


@torch.no_grad()
def opened(values: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """1 where a value is above ``threshold``, else 0; the largest of a group stays open, so that none is empty."""
    found = {}
    for key, own in values.items():
        gates = (own > threshold).to(own.dtype)
        found[key] = gates.scatter_(0, own.argmax(0, keepdim=True), 1)
    return found


def measuring() -> bool:
    """Whether a network is being measured, and no step made: exported programs do not tell by their mode."""
    return not torch.is_grad_enabled()
