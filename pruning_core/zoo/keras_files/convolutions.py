"""Convolutions of Keras as those of torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

from pruning_core.zoo.keras_files.activations import activated
from pruning_core.zoo.keras_files.building import Builder, Value
from pruning_core.zoo.keras_files.config import Layer
from pruning_core.zoo.keras_files.modules import SamePad, filled
from pruning_core.zoo.programs.sized import Pad, Slice

CONVOLUTIONS: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED: tuple[Any, ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def spatial(b: Builder, layer: Layer, x: Value, dims: int) -> Value:
    """``x`` as torch's layers for ``dims`` dimensions of space read it, whatever the layer calls its channels."""
    if x.rank != dims + 2:
        raise layer.settings.refused(f"It is given a tensor of {x.rank} dimensions.")
    return b.last(x) if channels_first(layer) else b.first(x)


def channels_first(layer: Layer) -> bool:
    said = layer.settings.given.get("data_format")
    return said is not None and layer.settings.word("data_format", "", "channels_first", "channels_last") == (
        "channels_first"
    )


def made(layer: Layer, node: Any, dims: int) -> Value:
    """What a layer that read :func:`spatial` gives."""
    return Value(node, dims + 2, not channels_first(layer))


def convolution(dims: int) -> Any:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        biased = layer.settings.flag("use_bias", True)
        kernel, *bias = b.variables(layer, 1 + biased)
        groups = layer.settings.whole("groups", 1)
        weight = _outward(kernel, dims)
        return _convolved(b, layer, x, dims, "", weight, bias, groups)

    return rule


def depthwise(dims: int) -> Any:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        biased = layer.settings.flag("use_bias", True)
        kernel, *bias = b.variables(layer, 1 + biased)
        return _convolved(b, layer, x, dims, "", _each(layer, kernel, dims), bias, kernel.shape[-2])

    return rule


def separable(dims: int) -> Any:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        biased = layer.settings.flag("use_bias", True)
        kernel, points, *bias = b.variables(layer, 2 + biased)
        x = _convolved(b, layer, x, dims, "depthwise", _each(layer, kernel, dims), [], kernel.shape[-2], last=False)
        return _convolved(b, layer, x, dims, "pointwise", _outward(points, dims), bias, 1, plain=True)

    return rule


def _outward(kernel: Tensor, dims: int) -> Tensor:
    """(…, in, out) -> (out, in, …)"""
    return kernel.permute(dims + 1, dims, *range(dims))


def _each(layer: Layer, kernel: Tensor, dims: int) -> Tensor:
    """(…, in, times) -> (in · times, 1, …): every channel has ``times`` filters of its own."""
    if kernel.dim() != dims + 2:
        raise layer.settings.misshapen()
    return kernel.permute(dims, dims + 1, *range(dims)).reshape(-1, 1, *kernel.shape[:dims])


def _convolved(
    b: Builder, layer: Layer, x: Value, dims: int, part: str, weight: Tensor, bias: Sequence[Tensor], groups: int,
    *, plain: bool = False, last: bool = True,
) -> Value:  # fmt: skip
    """``plain``: without strides and padding; ``last``: the layer's activation follows."""
    said = layer.settings
    size = tuple(weight.shape[2:])
    strides = (1,) * dims if plain else said.wholes("strides", dims, 1)
    dilation = (1,) * dims if plain else said.wholes("dilation_rate", dims, 1)
    padding = "valid" if plain else said.word("padding", "valid", "valid", "same", *(("causal",) if dims == 1 else ()))
    wide = tuple((k - 1) * d + 1 for k, d in zip(size, dilation))
    value = spatial(b, layer, x, dims)
    node, evenly = value.node, (0,) * dims
    if padding == "causal":
        node = b.run(layer, f"{part}pad", lambda: Pad((wide[0] - 1, 0), "constant", 0.0), node)
    elif padding == "same" and max(wide) > 1:
        if max(strides) == 1 and all(k % 2 for k in wide):
            evenly = tuple(k // 2 for k in wide)
        else:
            node = b.run(layer, f"{part}pad", lambda: SamePad(wide, strides), node)

    def make() -> nn.Module:
        kind = CONVOLUTIONS[dims - 1]
        tensors: dict[str, Tensor | None] = {"weight": weight, **({"bias": bias[0]} if bias else {})}
        return filled(
            kind, weight.shape[1] * groups, len(weight), size, strides, evenly, dilation, groups, bool(bias),
            tensors=tensors,
        )  # fmt: skip

    found = made(layer, b.run(layer, part, make, node), dims)
    return activated(b, layer, found) if last else found


def transposed(dims: int) -> Any:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        said = layer.settings
        biased = said.flag("use_bias", True)
        kernel, *bias = b.variables(layer, 1 + biased)
        if kernel.dim() != dims + 2:
            raise said.misshapen()
        size = tuple(kernel.shape[:dims])
        strides, dilation = said.wholes("strides", dims, 1), said.wholes("dilation_rate", dims, 1)
        same = said.word("padding", "valid", "valid", "same") == "same"
        more = said.given.get("output_padding")
        extra = None if more is None else said.wholes("output_padding", dims, least=0)
        cut = [
            _left_out(k, s, d, same, None if extra is None else extra[at])
            for at, (k, s, d) in enumerate(zip(size, strides, dilation))
        ]
        even = tuple(max(min(before, behind), 0) for before, behind in cut)
        added = tuple(max(-behind, 0) for _, behind in cut)
        if any(before and n for (before, _), n in zip(cut, added)) or any(n >= s for n, s in zip(added, strides)):
            raise said.odd("output_padding")

        def make() -> nn.Module:
            weight = kernel.permute(dims + 1, dims, *range(dims))
            tensors: dict[str, Tensor | None] = {"weight": weight, **({"bias": bias[0]} if bias else {})}
            kind = TRANSPOSED[dims - 1]
            return filled(
                kind, len(weight), weight.shape[1], size, strides, even, added, 1, bool(bias), dilation,
                tensors=tensors,
            )  # fmt: skip

        node = b.run(layer, "", make, spatial(b, layer, x, dims).node)
        rest = [(before - n, max(behind, 0) - n) for (before, behind), n in zip(cut, even)]
        if prod(sum(each) == 0 for each in rest) == 0:
            axes = list(range(2, dims + 2))
            ends = [-behind if behind else 1 << 40 for _, behind in rest]
            node = b.run(layer, "crop", lambda: Slice(axes, [before for before, _ in rest], ends, [1] * dims), node)
        return activated(b, layer, made(layer, node, dims))

    return rule


def _left_out(size: int, stride: int, dilation: int, same: bool, more: int | None) -> tuple[int, int]:
    """How many positions of a whole transposed convolution Keras leaves out (before, behind); below 0 are added.

    The whole is (n - 1) · stride + k long, with k the size of the dilated kernel. Keras's outputs are n · stride long
    ("same") or (n - 1) · stride + max(k, stride); with ``output_padding`` (n - 1) · stride + k % 2 + that ("same").
    """
    k = (size - 1) * dilation + 1
    if not same:
        return 0, -(max(k, stride) - k if more is None else more)
    around = stride + k - 2 if more is None else k + k % 2 - 2 + more
    before = min(around // 2 + around % 2, k - 1)
    return k - 1 - before, k - 1 - (around - before)
