"""Layers that Keras has and torch has not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AVERAGES: tuple[Any, ...] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


class SamePad(nn.Module):
    """As many positions around (N, C, …) that windows at every ``strides``-th place end where the input ends.

    What cannot be shared evenly goes behind; torch's own padding is the same on both sides.
    """

    def __init__(self, sizes: Sequence[int], strides: Sequence[int], value: float = 0.0) -> None:
        super().__init__()
        self.sizes, self.strides, self.value = tuple(sizes), tuple(strides), value

    def forward(self, x: Tensor) -> Tensor:
        pads = same_pads(x.shape[2:], self.sizes, self.strides)
        return F.pad(x, pads, value=self.value) if any(pads) else x

    def extra_repr(self) -> str:
        return f"{self.sizes}, strides={self.strides}"


class SameAverage(nn.Module):
    """The mean of what a window covers of (N, C, …), with windows as :class:`SamePad` sets them; padding is no part
    of any mean."""

    def __init__(self, sizes: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.sizes, self.strides = tuple(sizes), tuple(strides)

    def forward(self, x: Tensor) -> Tensor:
        pool = AVERAGES[len(self.sizes) - 1]
        pads = same_pads(x.shape[2:], self.sizes, self.strides)
        if not any(pads):
            return pool(x, self.sizes, self.strides)
        inside = x.new_ones((1, 1, *x.shape[2:]))
        covered = pool(F.pad(inside, pads), self.sizes, self.strides)
        return pool(F.pad(x, pads), self.sizes, self.strides) / covered

    def extra_repr(self) -> str:
        return f"{self.sizes}, strides={self.strides}"


def same_pads(shape: Sequence[int], sizes: Sequence[int], strides: Sequence[int]) -> list[int]:
    """As :func:`torch.nn.functional.pad` takes them."""
    pads: list[int] = []
    for n, size, stride in zip(reversed(shape), reversed(sizes), reversed(strides)):
        total = max((-(-n // stride) - 1) * stride + size - n, 0)
        pads += [total // 2, total - total // 2]
    return pads


class Scale(nn.Module):
    """x · scale + offset, with numbers that broadcast and are not learned."""

    def __init__(self, scale: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.scale: Tensor
        self.offset: Tensor
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset


class Standardise(nn.Module):
    """(x - mean) / spread, with numbers that broadcast and are not learned."""

    def __init__(self, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.spread


class Rectified(nn.Module):
    """x from ``threshold`` on, at most ``highest``; ``slope`` times what is below the threshold."""

    def __init__(self, slope: float, threshold: float, highest: float | None) -> None:
        super().__init__()
        self.slope, self.threshold, self.highest = slope, threshold, highest

    def forward(self, x: Tensor) -> Tensor:
        above = F.threshold(x, self.threshold, 0.0) if self.threshold else F.relu(x)
        above = above if self.highest is None else above.clamp(max=self.highest)
        return above - self.slope * F.relu(self.threshold - x) if self.slope else above


class Slopes(nn.Module):
    """x where it is positive, else ``weight`` · x; the slopes broadcast."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) - self.weight * F.relu(-x)


class Weighted(nn.Module):
    """``weight`` · x; the weights broadcast and are learned."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Last(nn.Module):
    """The first output of a recurrent layer (N, steps, units): every step, or the last one alone."""

    def __init__(self, steps: bool) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: tuple[Tensor, Any]) -> Tensor:
        return x[0] if self.steps else x[0][:, -1]


def filled(kind: Any, *args: Any, tensors: dict[str, Tensor | None], **settings: Any) -> nn.Module:
    """A layer of torch with ``tensors`` as its parameters and buffers; None takes one away.

    Nothing is allocated for it: how large it is, is how large they are. Raises ValueError where a shape is another.
    """
    module: nn.Module = kind(*args, **settings, device="meta")
    for name, tensor in tensors.items():
        old = getattr(module, name)
        if tensor is None:
            module.register_parameter(name, None)
        elif old is None or old.shape != tensor.shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)}")
        elif isinstance(old, nn.Parameter):
            module.register_parameter(name, nn.Parameter(tensor.contiguous()))
        else:
            module.register_buffer(name, tensor.contiguous())
    for name, buffer in module.named_buffers():
        if buffer.is_meta:  # a counter of batches
            module.register_buffer(name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    return module
