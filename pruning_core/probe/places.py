"""From a group's members to the rows that criteria read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pruning_core.graph import Group, Member, Role
from pruning_core.probe.site import Place

Tensors = Mapping[str, Tensor]


def members_at(group: Group, place: Place, tensors: Tensors) -> tuple[Member, ...]:
    """The group's members at a place, in the order of execution."""
    match place:
        case Place.PRODUCER:
            return tuple(m for m in group.producers if tensors[m.parameter].is_floating_point())
        case Place.CONSUMER:
            return tuple(m for m in group.consumers if tensors[m.parameter].ndim > 1)
        case Place.NORM:
            return tuple(m for m in group.members if _is_batch_norm_scale(m, tensors))


def _is_batch_norm_scale(member: Member, tensors: Tensors) -> bool:
    # told by its neighbours, not by its class, so that exported programs count too
    layer, _, name = member.parameter.rpartition(".")
    beside = f"{layer}.running_var" if layer else "running_var"
    return (
        member.role is Role.CARRIER and name == "weight" and beside in tensors and tensors[member.parameter].ndim == 1
    )


def index_of(member: Member, device: torch.device) -> Tensor:
    """(C, k) int64: positions along the member's dimension that each unit owns."""
    return torch.as_tensor(member.index, dtype=torch.int64, device=device)


def _slices(tensor: Tensor, member: Member) -> Tensor:
    """(C, k, other dimensions, kernel)."""
    return tensor.detach().movedim(member.dim, 0)[index_of(member, tensor.device)]


def rows(tensor: Tensor, member: Member) -> Tensor:
    """(C, fan): all entries of each unit side by side."""
    return _slices(tensor, member).flatten(1)


def kernels(tensor: Tensor, member: Member) -> Tensor:
    """(C, other, kernel size): the entries of each unit as kernels, scalars for a linear layer.

    A unit of several slices has their kernels side by side.
    """
    cut = _slices(tensor, member)
    if cut.ndim == 2:
        return cut.unsqueeze(2)
    return cut.flatten(3).flatten(1, 2) if cut.ndim > 3 else cut.flatten(1).unsqueeze(2)


def reads(tensor: Tensor, member: Member) -> Tensor:
    """(C, C_out, k * kernel size): what each output reads of each unit."""
    cut = _slices(tensor, member)  # (C, k, C_out, ...)
    return cut.transpose(1, 2).flatten(2)


def put_rows(tensor: Tensor, member: Member, values: Tensor) -> None:
    """Write (C, fan) back to where ``rows`` read it, in place."""
    view = tensor.movedim(member.dim, 0)
    index = index_of(member, tensor.device)
    view[index.flatten()] = values.reshape(index.numel(), *view.shape[1:]).to(tensor.dtype)
