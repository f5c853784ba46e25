"""What a convolution's tensors are made of, so that they can be made again when a parameter has another value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Norm:
    """Names of a batch norm's tensors."""

    gamma: str | None
    beta: str | None
    mean: str
    var: str
    eps: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.gamma, self.beta, self.mean, self.var) if name is not None)


@dataclass(frozen=True)
class Fold:
    """A convolution's weight and bias with a batch norm in them; ``taps``: (first, count) of kernel positions kept."""

    weight: str
    bias: str | None
    norm: Norm | None = None
    taps: tuple[tuple[int, int], ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Parameters and buffers, the weight first."""
        return (self.weight, *([self.bias] if self.bias else []), *(self.norm.names if self.norm else ()))

    def made(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Weight (O, I, kh, kw) and bias (O,) of the one convolution that does it all."""
        weight = tensors[self.weight]
        bias = tensors[self.bias] if self.bias else weight.new_zeros(weight.shape[0])
        if self.norm is not None:
            mean, var, kind = tensors[self.norm.mean], tensors[self.norm.var], weight.dtype
            scale = torch.rsqrt(var.float() + self.norm.eps)
            scale = scale * (tensors[self.norm.gamma].float() if self.norm.gamma else 1.0)
            shift = (tensors[self.norm.beta].float() if self.norm.beta else 0.0) - mean.float() * scale
            weight = (weight.float() * scale.view(-1, 1, 1, 1)).to(kind)
            bias = (bias.float() * scale + shift).to(kind)
        for axis, (first, count) in enumerate(self.taps, 2):
            weight = weight.narrow(axis, first, count)
        return weight.contiguous(), bias
