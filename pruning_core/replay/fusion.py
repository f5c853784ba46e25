"""Batch norm folded into convolutions, and convolution + addition + ReLU as one call where the CPU library has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.replay import winograd
from pruning_core.replay.operators import convolution_parts
from pruning_core.replay.steps import Operation, Operations, Register, Size, Weight

SMALL = 4  # pixels
USUAL_BATCH = 128  # images that weights are laid out for; others work too
UnitOf = dict[tuple[str, int], NDArray[np.int64]]


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
    sources: tuple[str, ...]  # parameters it was made of
    packed: bool
    space: tuple[int, int, int, int] | None = None  # (H, W, H', W') of maps so small that one matrix does it all
    pixels: tuple[int, int] | None = None  # (H, W), where they are known
    tiled: bool = False  # by Winograd's algorithm, while there are channels enough
    name: str = "convolution"

    @property
    def reads(self) -> tuple[int, ...]:
        return (self.x,) if self.other is None else (self.x, self.other)

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


def fused(
    recorded: Operations, tensors: dict[str, Tensor], unit_of: UnitOf, *, pack: bool, tile: bool
) -> list[Operation | FusedConvolution]:
    """The steps with every two-dimensional convolution as a :class:`FusedConvolution`.

    ``pack``: for the kernels of the CPU library; ``tile``: by Winograd's algorithm where that is possible. Folded
    weights and biases are added to ``tensors`` (named after the convolution's weight) and their units to ``unit_of``.
    """
    users: dict[int, list[int]] = {}
    maker: dict[int, int] = {}
    for i, step in enumerate(recorded.steps):
        for r in step.reads:
            users.setdefault(r, []).append(i)
        for r in step.outs:
            maker[r] = i
    gone: set[int] = set()
    result: list[Operation | FusedConvolution] = []
    placed: set[int] = set(recorded.inputs)

    def only_user(r: int) -> Operation | None:
        using = users.get(r, [])
        return recorded.steps[using[0]] if len(using) == 1 and r != recorded.result else None

    for i, step in enumerate(recorded.steps):
        if i in gone:
            continue
        conv = _fuse(recorded, i, step, tensors, unit_of, only_user, maker, placed, gone, pack, tile)
        result.append(conv or step)
        placed.update((conv or step).outs)
    return result


def _fuse(
    recorded: Operations,
    i: int,
    step: Operation,
    tensors: dict[str, Tensor],
    unit_of: UnitOf,
    only_user: Callable[[int], Operation | None],
    maker: dict[int, int],
    placed: set[int],
    gone: set[int],
    pack: bool,
    tile: bool,
) -> FusedConvolution | None:
    if step.name != "convolution" or step.args[6] or len(step.args[3]) != 2:
        return None
    x, w, b, settings = convolution_parts(step)
    if not isinstance(x, Register) or not isinstance(w, Weight) or tensors[w.name].dtype == torch.float64:
        return None
    weight = tensors[w.name]
    bias = tensors[b.name] if isinstance(b, Weight) else weight.new_zeros(weight.shape[0])
    outs, sources = step.outs, list(step.weights)
    follower = only_user(outs[0])
    if (
        follower is not None
        and follower.name == "native_batch_norm"
        and isinstance(follower.args[3], Weight)
        and not follower.args[5]
    ):
        gamma, beta, mean, var = (tensors[a.name] if isinstance(a, Weight) else None for a in follower.args[1:5])
        assert mean is not None and var is not None
        scale = torch.rsqrt(var.float() + follower.args[7]) * (gamma.float() if gamma is not None else 1.0)
        shift = (beta.float() if beta is not None else 0.0) - mean.float() * scale
        weight = (weight.float() * scale.view(-1, 1, 1, 1)).to(weight.dtype)
        bias = (bias.float() * scale + shift).to(weight.dtype)
        sources += list(follower.weights)
        outs = follower.outs[:1]
        gone.add(maker[follower.outs[0]])
        follower = only_user(outs[0])
    other, relu = None, False
    if (
        follower is not None
        and follower.name in ("add", "add_")
        and len(follower.reads) == 2
        and not follower.kwargs
        and len(follower.args) == 2
    ):
        partner = next(r for r in follower.reads if r != outs[0])
        if partner in placed and _same_shape(recorded, maker, partner, outs[0]):
            other = partner
            gone.add(maker[follower.outs[0]])
            outs = follower.outs
            follower = only_user(outs[0])
    if follower is not None and follower.name in ("relu", "relu_"):
        relu = True
        gone.add(maker[follower.outs[0]])
        outs = follower.outs
    pixels = None
    if x.number in maker:
        sides = _shape(recorded, maker, x.number)[2:]
        weight = _crop(weight, settings, sides)
        if not any(slope for _, slope in sides):
            pixels = sides[0][0], sides[1][0]
    name = f"folded {w.name} {i}"
    tensors[name], tensors[f"{name} bias"] = weight, bias
    for dim in (0, 1):
        if (w.name, dim) in unit_of:
            unit_of[name, dim] = unit_of[w.name, dim]
    if (w.name, 0) in unit_of:
        unit_of[f"{name} bias", 0] = unit_of[w.name, 0]
    inner = unit_of.get((w.name, 1))
    settings |= {
        "outputs": weight.shape[0],
        "whole": settings["groups"] > 1 and (inner is None or bool((inner < 0).all())),
    }
    sizes = recorded.steps[maker[outs[0]]].sizes[:1]
    space = _small(recorded, maker, x.number, sizes[0]) if pack and settings["groups"] == 1 else None
    tiled = tile and space is None and _tileable(weight, settings)
    return FusedConvolution(
        x.number, other, name, f"{name} bias", settings, relu, outs, sizes, tuple(sources), pack, space, pixels, tiled
    )


def _tileable(weight: Tensor, settings: dict[str, Any]) -> bool:
    plain = (settings["stride"], settings["padding"], settings["dilation"], settings["groups"])
    return weight.shape[2:] == (3, 3) and plain == ([1, 1], [1, 1], [1, 1], 1) and winograd.worthwhile(weight)


def _small(
    recorded: Operations, maker: dict[int, int], x: int, out: tuple[Size, ...]
) -> tuple[int, int, int, int] | None:
    """(H, W, H', W') when both maps hold at most ``SMALL`` pixels."""
    if x not in maker:
        return None
    (h, a), (w, b) = _shape(recorded, maker, x)[2:]
    if a or b or h * w > SMALL or out[2].fixed * out[3].fixed > SMALL:
        return None
    return h, w, out[2].fixed, out[3].fixed


def _crop(weight: Tensor, settings: dict[str, Any], space: list[tuple[int, int]]) -> Tensor:
    """Leave out the kernel positions that only ever meet padding: on a 1x1 map, eight of nine."""
    padding = list(settings["padding"])
    for axis, (size, slope) in enumerate(space):
        kernel, step, spread = weight.shape[2 + axis], settings["stride"][axis], settings["dilation"][axis]
        if slope or padding[axis] == 0:
            continue
        starts = range(-padding[axis], size + padding[axis] - spread * (kernel - 1), step)
        used = [k for k in range(kernel) if any(0 <= s + k * spread < size for s in starts)]
        first, last = used[0], used[-1]
        shift = padding[axis] - first * spread
        # the same padding on both sides must still give the same outputs
        outputs = (size + 2 * shift - spread * (last - first)) + step - 1
        if shift >= 0 and outputs // step == len(starts):
            weight = weight.narrow(2 + axis, first, last - first + 1)
            padding[axis] = shift
    settings["padding"] = padding
    return weight.contiguous()


def _shape(recorded: Operations, maker: dict[int, int], r: int) -> list[tuple[int, int]]:
    step = recorded.steps[maker[r]]
    return [(s.fixed, s.slope) for s in step.sizes[step.outs.index(r)]]


def _same_shape(recorded: Operations, maker: dict[int, int], a: int, b: int) -> bool:
    return a in maker and _shape(recorded, maker, a) == _shape(recorded, maker, b)
