"""One convolution of a recorded network: batch norm in its weight; addition and ReLU in its call where possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.replay import winograd
from pruning_core.replay.fold import Fold
from pruning_core.replay.steps import Register, Size, Weight

USUAL_BATCH = 128  # images that weights are laid out for; others work too


@dataclass(frozen=True)
class FusedConvolution:
    """``relu(conv(x) + other)`` with batch norm folded into the weight; ``other`` and the ReLU are optional."""

    x: int
    other: int | None
    weight: str
    bias: str
    settings: dict[str, Any]
    relu: bool
    outs: tuple[int, ...]
    sizes: tuple[tuple[Size, ...], ...]
    fold: Fold  # what it was made of
    packed: bool
    space: tuple[int, int, int, int] | None = None  # (H, W, H', W') of maps so small that one matrix does it all
    pixels: tuple[int, int] | None = None  # (H, W), where they are known
    tiled: bool = False  # by Winograd's algorithm, while there are channels enough
    name: str = "convolution"

    @property
    def reads(self) -> tuple[int, ...]:
        return (self.x,) if self.other is None else (self.x, self.other)

    @property
    def sources(self) -> tuple[str, ...]:
        """Parameters it was made of."""
        return self.fold.sources

    @property
    def weights(self) -> tuple[str, ...]:
        return (self.weight, self.bias)

    def pack(self, weight: Tensor) -> Tensor:
        s = self.settings
        if self.space is not None:
            matrix = _dense(weight, s["padding"], s["stride"], s["dilation"], self.space)
            if matrix.dtype != torch.bfloat16:
                return matrix
            # for tiles: the plain call would reorder the matrix every time
            return torch.ops.mkldnn._reorder_linear_weight(matrix, USUAL_BATCH)
        if self.tiled and winograd.worthwhile(weight):
            return winograd.transformed(weight)
        groups = self.groups(len(weight))
        # without the size of the images the layout is a guess, and where it is wrong every call takes milliseconds more
        size = None if self.pixels is None else [USUAL_BATCH, groups * weight.shape[1], *self.pixels]
        return torch.ops.mkldnn._reorder_convolution_weight(
            weight, s["padding"], s["stride"], s["dilation"], groups, size
        )

    def pack_bias(self, bias: Tensor) -> Tensor:
        return bias if self.space is None else bias.repeat(self.space[2] * self.space[3])

    def groups(self, outputs: int) -> int:
        """Depthwise and whole-group cuts change the number of groups with the outputs."""
        groups = int(self.settings["groups"])
        return groups * outputs // self.settings["outputs"] if self.settings["whole"] else groups

    def run(self, fill: Callable[[Register | Weight], Tensor]) -> Tensor:
        x, weight, bias = fill(Register(self.x)), fill(Weight(self.weight)), fill(Weight(self.bias))
        s = self.settings
        other = None if self.other is None else fill(Register(self.other))
        if self.packed and self.space is not None:
            return self._as_matrix(x, weight, bias, other)
        if self.packed and weight.dim() == 3:  # transformed
            return winograd.convolve(x, weight, bias, other, self.relu)
        groups = self.groups(len(bias))
        if self.packed:
            own = (weight, bias, s["padding"], s["stride"], s["dilation"], groups)
            if other is not None:
                return torch.ops.mkldnn._convolution_pointwise.binary(
                    x, other, *own, "add", 1.0, "relu" if self.relu else None, [], None
                )
            return torch.ops.mkldnn._convolution_pointwise(x, *own, "relu" if self.relu else "none", [], "")
        y = torch.conv2d(x, weight, bias, s["stride"], s["padding"], s["dilation"], groups)
        if other is not None:
            y = y + other
        return y.relu_() if self.relu else y

    def _as_matrix(self, x: Tensor, weight: Tensor, bias: Tensor, other: Tensor | None) -> Tensor:
        assert self.space is not None
        height, width = self.space[2:]
        flat = x.permute(0, 2, 3, 1).reshape(len(x), -1)  # channels last: no copy
        relu = self.relu and other is None
        if weight.is_mkldnn:
            y = torch.ops.mkldnn._linear_pointwise(flat, weight, bias, "relu" if relu else "none", [], "")
        else:
            y = F.linear(flat, weight, bias)
            y = y.relu_() if relu else y
        y = y.view(len(x), height, width, -1).permute(0, 3, 1, 2)
        if other is not None:
            y += other
            y = y.relu_() if self.relu else y
        return y


def _dense(
    weight: Tensor, padding: list[int], stride: list[int], dilation: list[int], space: tuple[int, int, int, int]
) -> Tensor:
    """(O, I, kh, kw) -> (H' W' O, H W I): the convolution of one small map as a matrix.

    Kernels for convolutions are slow on maps of a few pixels, where most of their positions meet padding.
    """
    height, width, rows, columns = space
    outputs, inputs, kh, kw = weight.shape
    matrix = weight.new_zeros(rows, columns, outputs, height, width, inputs)
    for r in range(rows):
        for c in range(columns):
            for i in range(kh):
                for j in range(kw):
                    y = r * stride[0] - padding[0] + i * dilation[0]
                    x = c * stride[1] - padding[1] + j * dilation[1]
                    if 0 <= y < height and 0 <= x < width:
                        matrix[r, c, :, y, x] = weight[:, :, i, j]
    return matrix.view(rows * columns * outputs, height * width * inputs)
