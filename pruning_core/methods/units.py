"""The channels of a group as rows of numbers: what makes them, and the scales of the norms behind them.

A layer's channels may be made by several weights (layers that are added up, gates of a recurrent layer): a unit is then
all its slices side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.graph import Group, Network
from pruning_core.graph.modules import named_tensors
from pruning_core.graph.network import Member, Role

NO_SCALES = (
    "This method reads the scales of batch norms, and no batch norm of this network belongs to channels that can be "
    "removed. Soft filter pruning and ADMM need none."
)

NO_MODULES = (
    "The convolutions of this network are operators of a recorded program and no modules, so none can be exchanged or "
    "taken out. Choose a method that removes channels or sets weights to zero."
)

NO_CHANNELS = (
    "No channels of this network can be removed exactly, so there is nothing for this method to decide. The Model page "
    "says which operators are in the way."
)


@dataclass(frozen=True, eq=False)
class Slices:
    """Row c of ``index`` (C, k) holds the positions along ``dim`` of ``tensor`` that unit c owns."""

    tensor: Tensor
    dim: int
    index: Tensor

    @cached_property
    def _in_order(self) -> bool:
        """Whether the units own all positions, one after the other: then there is nothing to gather."""
        places = torch.arange(self.tensor.shape[self.dim], device=self.index.device)
        return torch.equal(self.index.reshape(-1), places)

    def rows(self, of: Tensor | None = None) -> Tensor:
        """(C, everything that a unit owns), a copy; of another tensor of the same shape where one is given."""
        tensor = self.tensor if of is None else of
        picked = tensor.clone() if self._in_order else tensor.index_select(self.dim, self.index.reshape(-1))
        return picked.movedim(self.dim, 0).reshape(len(self.index), -1)

    def replaced(self, rows: Tensor, of: Tensor | None = None) -> Tensor:
        """``tensor`` (or ``of``) with ``rows`` (C, everything) in place of its own; gradients flow into both."""
        tensor = self.tensor if of is None else of
        moved = tensor.movedim(self.dim, 0)
        new = rows.reshape(-1, *moved.shape[1:]).to(moved.dtype)
        return moved.index_copy(0, self.index.reshape(-1), new).movedim(0, self.dim)

    @torch.no_grad()
    def zero(self, units: Iterable[int]) -> None:
        """In place."""
        gone = self.index[list(units)].reshape(-1)
        if len(gone):
            self.tensor.index_fill_(self.dim, gone, 0)

    @torch.no_grad()
    def write(self, rows: Tensor) -> None:
        """In place: the inverse of :meth:`rows`."""
        moved = self.tensor.movedim(self.dim, 0)
        moved[self.index.reshape(-1)] = rows.reshape(-1, *moved.shape[1:]).to(moved.dtype)


def producers(model: nn.Module, network: Network) -> dict[str, list[Slices]]:
    """Group key -> the weights that make its units, those of ``model`` itself. Exact groups that have one only."""
    return _slices(model, network, lambda member, tensor: member.role is Role.PRODUCER and tensor.dim() > 1)


def scales(model: nn.Module, network: Network) -> dict[str, list[Slices]]:
    """Group key -> the scales of batch norms that carry its units. Norms that cannot be cut have none here."""
    return _slices(model, network, lambda member, _: _is_scale(member, network))


def without_scales(network: Network) -> str:
    """The obstacle of methods that live on batch-norm scales; "" where the network has some that can be cut."""
    found = any(_is_scale(member, network) for group in cuttable(network) for member in group.members)
    return "" if found else NO_SCALES


def without_channels(network: Network) -> str:
    """The obstacle of methods that decide about channels; "" where some can be cut."""
    return "" if cuttable(network) else NO_CHANNELS


def without_modules(network: Network) -> str:
    """The obstacle of methods that exchange layers or take them out; "" where convolutions are modules."""
    kinds = {layer.kind for layer in network.layer_costs() if layer.macs}
    return NO_MODULES if "Convolution" in kinds and "Conv2d" not in kinds else ""


def joined(slices: Iterable[Slices]) -> Tensor:
    """(C, everything) of one group; gradients flow through it."""
    return torch.cat([each.rows() for each in slices], 1)


def cuttable(network: Network) -> list[Group]:
    """The groups that a method may cut: those whose removal is exact, without those that were left whole."""
    return [group for group in network.groups if group.exact and group.key not in network.whole]


def uniform_counts(network: Network, budget: Budget) -> Mapping[str, int]:
    """How many units every exact group loses when all lose the same share, so that the budget is kept.

    For methods whose paper fixes the widths before it trains. Raises UserError for a budget out of reach.
    """
    order = {group.key: torch.arange(group.size, dtype=torch.float64) for group in cuttable(network)}
    return allocate(Uniform(), Pool.of(network, order, Limits(), "none"), budget).counts()


def _is_scale(member: Member, network: Network) -> bool:
    return (
        member.parameter == f"{member.layer}.weight" and (f"{member.layer}.running_mean", 0) in network.layout.unit_of
    )


def _slices(model: nn.Module, network: Network, wanted: Callable[[Member, Tensor], bool]) -> dict[str, list[Slices]]:
    tensors = named_tensors(model)
    found: dict[str, list[Slices]] = {}
    for group in cuttable(network):
        own = [
            Slices(tensor, member.dim, torch.as_tensor(member.index, device=tensor.device))
            for member in group.members
            if wanted(member, tensor := tensors[member.parameter])
        ]
        if own:
            found[group.key] = own
    return found
