"""Changes of a network that are no removal of channels: a block that leaves, a convolution that becomes grouped.

An edit is data: applied to a copy of the same network it gives the same result, whose weights are then loaded.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError, quoted


@dataclass(frozen=True)
class Edit(ABC):
    """A frozen dataclass of plain values, so that it can be stored."""

    @abstractmethod
    def apply(self, model: nn.Module) -> None:
        """In place. Raises AttributeError, TypeError, ValueError or IndexError where the network is another one."""


@dataclass(frozen=True)
class Drop(Edit):
    """The module called ``block`` hands on what it is given."""

    block: str

    def apply(self, model: nn.Module) -> None:
        model.get_submodule(self.block)
        put(model, self.block, nn.Identity())


@dataclass(frozen=True)
class Regroup(Edit):
    """A 2-D convolution becomes a grouped one: group g makes ``filters[g]`` out of the channels ``inputs[g]``.

    ``filters``: the output channels (from 0) in groups of equal size, each once. ``inputs``: as many input channels for
    each group. The kernels that are left keep their weights; the others are gone.
    """

    layer: str
    filters: tuple[tuple[int, ...], ...]
    inputs: tuple[tuple[int, ...], ...]

    def apply(self, model: nn.Module) -> None:
        layer = plain_convolution(model, self.layer)
        put(model, self.layer, GroupedKernels(layer, self.filters, self.inputs))


class GroupedKernels(nn.Module):
    """Picks the input channels of every group, convolves in groups, and puts the outputs back in their order."""

    picked: Tensor
    order: Tensor

    def __init__(
        self, whole: nn.Conv2d, filters: tuple[tuple[int, ...], ...], inputs: tuple[tuple[int, ...], ...]
    ) -> None:
        super().__init__()
        made = [unit for group in filters for unit in group]
        if sorted(made) != list(range(whole.out_channels)) or len({len(group) for group in filters}) != 1:
            raise ValueError("groups of equal size hold every output channel once")
        if len(inputs) != len(filters) or len({len(group) for group in inputs}) != 1:
            raise ValueError("every group reads as many input channels")
        if any(len(set(group)) != len(group) for group in inputs):
            raise ValueError("no group reads a channel twice")
        self.conv = convolution(whole, sum(map(len, inputs)), len(filters), whole.bias is not None)
        with torch.no_grad():
            rows = [whole.weight[list(units)][:, list(read)] for units, read in zip(filters, inputs)]
            self.conv.weight.copy_(torch.cat(rows))
            if whole.bias is not None and self.conv.bias is not None:
                self.conv.bias.copy_(whole.bias[made])
        self.register_buffer("picked", torch.tensor([channel for group in inputs for channel in group]), False)
        self.register_buffer("order", torch.tensor(made).argsort(), False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x.index_select(1, self.picked))
        return y.index_select(1, self.order)


def edited(model: nn.Module, edits: Iterable[Edit]) -> nn.Module:
    """A copy of ``model`` with the edits, in order. Raises UserError where one does not fit this network."""
    new = copy.deepcopy(model)
    for edit in edits:
        try:
            edit.apply(new)
        except (AttributeError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"This network cannot be changed as it was asked to be: {quoted(str(error))}. It is another one than "
                "the change was made for."
            ) from error
    return new


def plain_convolution(model: nn.Module, name: str) -> nn.Conv2d:
    """Raises AttributeError or TypeError where there is none of that name."""
    layer = model.get_submodule(name)
    if type(layer) is not nn.Conv2d or layer.groups != 1:
        raise TypeError(f"{name} is no plain convolution")
    return layer


def convolution(like: nn.Conv2d, inputs: int, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    """A new one that writes what ``like`` writes, out of so many input channels."""
    return nn.Conv2d(
        inputs, like.out_channels, _pair(like.kernel_size), _pair(like.stride),
        like.padding if isinstance(like.padding, str) else _pair(like.padding), _pair(like.dilation),
        groups=groups, bias=bias, padding_mode=like.padding_mode,
        dtype=like.weight.dtype, device=like.weight.device,
    )  # fmt: skip


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    return sizes[0], sizes[1]


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """``module`` takes the place called ``name``, in the mode of what stood there."""
    parent, _, child = name.rpartition(".")
    module.train(model.get_submodule(name).training)
    setattr(model.get_submodule(parent), child, module)
