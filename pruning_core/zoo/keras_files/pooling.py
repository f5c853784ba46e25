"""Layers of Keras that look at places: pooling, padding, cropping, enlarging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pruning_core.zoo.keras_files.building import Builder, Value
from pruning_core.zoo.keras_files.config import Layer
from pruning_core.zoo.keras_files.convolutions import channels_first, made, spatial
from pruning_core.zoo.keras_files.modules import SameAverage, SamePad
from pruning_core.zoo.programs.sized import Pad, Resize, Slice

Rule = Callable[[Builder, Layer, Value], Value]
LARGEST: tuple[Any, ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
MEAN: tuple[Any, ...] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
TO_SIZE: dict[str, tuple[Any, ...]] = {
    "Average": (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    "Max": (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
}


def largest(dims: int) -> Rule:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        sizes, strides, same = _window(layer, dims)
        node = spatial(b, layer, x, dims).node
        if same:
            node = b.run(layer, "pad", lambda: SamePad(sizes, strides, float("-inf")), node)
        return made(layer, b.run(layer, "", lambda: LARGEST[dims - 1](sizes, strides), node), dims)

    return rule


def mean(dims: int) -> Rule:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        sizes, strides, same = _window(layer, dims)
        kind = SameAverage if same else MEAN[dims - 1]
        return made(layer, b.run(layer, "", lambda: kind(sizes, strides), spatial(b, layer, x, dims).node), dims)

    return rule


def _window(layer: Layer, dims: int) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    said = layer.settings
    sizes = said.wholes("pool_size", dims, 2)
    strides = sizes if said.given.get("strides") is None else said.wholes("strides", dims)
    return sizes, strides, said.word("padding", "valid", "valid", "same") == "same"


def everywhere(function: Callable[..., Any], dims: int) -> Rule:
    """One number for each channel, over all places."""

    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        keep = layer.settings.flag("keepdims")
        node = b.call(function, spatial(b, layer, x, dims).node, list(range(2, dims + 2)), keepdim=keep)
        return made(layer, node, dims) if keep else Value(node, 2)

    return rule


def to_size(what: str, dims: int) -> Rule:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        size = layer.settings.wholes("output_size", dims)
        make = TO_SIZE[what][dims - 1]
        return made(layer, b.run(layer, "", lambda: make(size), spatial(b, layer, x, dims).node), dims)

    return rule


def padded(dims: int) -> Rule:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        sides = layer.settings.sides("padding", dims)
        pads = [n for each in reversed(sides) for n in each]
        return made(layer, b.run(layer, "", lambda: Pad(pads, "constant", 0.0), spatial(b, layer, x, dims).node), dims)

    return rule


def cropped(dims: int) -> Rule:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        sides = layer.settings.sides("cropping", dims)
        axes, starts = list(range(2, dims + 2)), [before for before, _ in sides]
        ends = [-behind if behind else 1 << 40 for _, behind in sides]
        node = spatial(b, layer, x, dims).node
        return made(layer, b.run(layer, "", lambda: Slice(axes, starts, ends, [1] * dims), node), dims)

    return rule


def enlarged(dims: int) -> Rule:
    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        by = tuple(map(float, layer.settings.wholes("size", dims, 2)))
        how = layer.settings.word("interpolation", "nearest", "nearest", *(("bilinear",) if dims == 2 else ()))
        corners = None if how == "nearest" else False
        return made(
            layer, b.run(layer, "", lambda: Resize(None, by, how, corners), spatial(b, layer, x, dims).node), dims
        )

    return rule


def some_channels_off(kind: Any, dims: int) -> Rule:
    """In training, whole channels are dropped."""

    def rule(b: Builder, layer: Layer, x: Value) -> Value:
        share = layer.settings.number("rate", 0.5)
        return made(layer, b.run(layer, "", lambda: kind(share), spatial(b, layer, x, dims).node), dims)

    return rule


def flat(b: Builder, layer: Layer, x: Value) -> Value:
    """In Keras's order whatever it is here, so that what reads it finds its weights in order."""
    x = b.last(x)
    node = x.node
    if channels_first(layer) and x.rank > 2:
        node = b.call(torch.permute, node, (0, *range(2, x.rank), 1))
    return Value(b.call(torch.flatten, node, 1) if x.rank > 2 else node, 2)


_DIMS = (1, 2, 3)
RULES: dict[str, Rule] = {
    **{f"MaxPooling{d}D": largest(d) for d in _DIMS},
    **{f"AveragePooling{d}D": mean(d) for d in _DIMS},
    **{f"GlobalAveragePooling{d}D": everywhere(torch.mean, d) for d in _DIMS},
    **{f"GlobalMaxPooling{d}D": everywhere(torch.amax, d) for d in _DIMS},
    **{f"Adaptive{what}Pooling{d}D": to_size(what, d) for d in _DIMS for what in TO_SIZE},
    **{f"ZeroPadding{d}D": padded(d) for d in _DIMS},
    **{f"Cropping{d}D": cropped(d) for d in _DIMS},
    **{f"UpSampling{d}D": enlarged(d) for d in _DIMS},
    **{f"SpatialDropout{d}D": some_channels_off((nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)[d - 1], d) for d in _DIMS},
    "Flatten": flat,
}
