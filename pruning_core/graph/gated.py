"""Convolutions with gates that open image by image: what stays closed need not be computed for that image.

Both are exact as arithmetic and save nothing in dense PyTorch: a closed channel is multiplied by zero. What a machine
that skips would save is counted (:mod:`pruning_core.measuring.gates`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from pruning_core.graph.edits import Edit, convolution, plain_convolution, put

SPREAD = 0.05  # standard deviation of a gate's first weights
STEEP = 1.0  # slope of the sigmoid that stands for the step where gradients flow


def share_open(density: float, channels: int) -> int:
    """How many of the ``channels`` may stay open: the least number that is at least that share."""
    return max(1, math.ceil(density * channels - 1e-9))


@dataclass(frozen=True)
class Boost(Edit):
    """The convolution ``layer`` and the batch norm ``norm`` behind it get a gate that chooses channels per image.

    ``density``: the share of channels that may stay open. ``seed`` draws the first weights of the gate.
    """

    layer: str
    norm: str
    density: float
    seed: int = 0

    def apply(self, model: nn.Module) -> None:
        layer, norm = plain_convolution(model, self.layer), model.get_submodule(self.norm)
        if not isinstance(norm, nn.BatchNorm2d) or norm.num_features != layer.out_channels:
            raise TypeError(f"{self.norm} is no batch norm of the channels of {self.layer}")
        put(model, self.norm, nn.Identity())
        put(model, self.layer, Boosted(layer, norm, self.density, self.seed))


@dataclass(frozen=True)
class GateChannels(Edit):
    """The convolution ``layer`` reads its first inputs always, the others only where those say that it is worth it.

    ``parts``: the first one of that many equal parts of the input channels is read always. ``threshold``: the first
    value of every channel's threshold.
    """

    layer: str
    parts: int
    threshold: float

    def apply(self, model: nn.Module) -> None:
        put(model, self.layer, ChannelGated(plain_convolution(model, self.layer), self.parts, self.threshold))


class TopChannels(nn.Module):
    """g (N, C) -> rectified, and in every row all but the largest ``kept`` are exactly zero. The choice is constant."""

    kept: Tensor

    def __init__(self, kept: int) -> None:
        super().__init__()
        self.register_buffer("kept", torch.tensor(kept))

    def forward(self, g: Tensor) -> Tensor:
        g = g.relu()
        places = g.detach().argsort(dim=1, descending=True).argsort(dim=1)
        return torch.where(places < self.kept, g, torch.zeros_like(g))


class Boosted(nn.Module):
    """pi(x) * norm(conv(x)): the gate reads the mean of every input channel, and its largest outputs stay."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, density: float, seed: int) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm
        made = {"dtype": conv.weight.dtype, "device": conv.weight.device}
        self.gate = nn.Linear(conv.in_channels, conv.out_channels, **made)  # type: ignore[arg-type]
        drawn = torch.randn(self.gate.weight.shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.gate.weight.copy_(SPREAD * drawn)
            self.gate.bias.fill_(1.0)
        self.choice = TopChannels(share_open(density, conv.out_channels)).to(conv.weight.device)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H', W')"""
        open_: Tensor = self.choice(self.gate(x.mean((2, 3))))
        y: Tensor = self.norm(self.conv(x))
        return y * open_[:, :, None, None]


class Decision(nn.Module):
    """1 where a normalised partial sum exceeds its channel's threshold, else 0. Gradients are those of a sigmoid."""

    def __init__(self, channels: int, threshold: float) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.full((channels,), float(threshold)))

    def forward(self, z: Tensor) -> Tensor:
        """(N, C, H, W) -> the same"""
        threshold = self.threshold[:, None, None]
        if self.training:
            stepped: Tensor = _Step.apply(z, threshold)
            return stepped
        above = z - threshold
        return torch.zeros_like(above).masked_fill(above > 0, 1.0)


class _Step(torch.autograd.Function):
    """z (N, C, H, W) > threshold (C, 1, 1), as 0 and 1. What the gradients need is computed when they are: a training
    step passes over these tensors half as often as with operators that PyTorch differentiates by itself."""

    @staticmethod
    def forward(ctx: FunctionCtx, z: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(z, threshold)
        return (z > threshold).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        z, threshold = ctx.saved_tensors
        smooth = (STEEP * (z - threshold)).sigmoid_()
        slope = STEEP * torch.ops.aten.sigmoid_backward(gradient, smooth)
        return slope, -slope.sum((0, 2, 3))[:, None, None]


class ChannelGated(nn.Module):
    """base(first inputs) + d * rest(other inputs); d decides for every output channel and pixel by the base alone."""

    def __init__(self, whole: nn.Conv2d, parts: int, threshold: float) -> None:
        super().__init__()
        if parts < 2 or whole.in_channels % parts:
            raise ValueError(f"{whole.in_channels} input channels cannot be divided into {parts} parts")
        self.first = whole.in_channels // parts
        self.base = convolution(whole, self.first, bias=whole.bias is not None)
        self.rest = convolution(whole, whole.in_channels - self.first)
        self.norm = nn.BatchNorm2d(whole.out_channels, affine=False).to(whole.weight)
        self.decision = Decision(whole.out_channels, threshold).to(whole.weight)
        with torch.no_grad():
            self.base.weight.copy_(whole.weight[:, : self.first])
            self.rest.weight.copy_(whole.weight[:, self.first :])
            if whole.bias is not None and self.base.bias is not None:
                self.base.bias.copy_(whole.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H', W')"""
        first, rest = x.split((self.first, x.shape[1] - self.first), 1)
        partial: Tensor = self.base(first)
        decided: Tensor = self.decision(self.norm(partial))
        others: Tensor = self.rest(rest)
        return partial + decided * others
