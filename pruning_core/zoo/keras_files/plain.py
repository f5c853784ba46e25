"""Layers of Keras that are weights times numbers, norms, moves of numbers, and arithmetic on several tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning_core.zoo.keras_files.activations import activated
from pruning_core.zoo.keras_files.building import Builder, Value
from pruning_core.zoo.keras_files.config import Layer
from pruning_core.zoo.keras_files.modules import Scale, Standardise, Weighted, filled
from pruning_core.zoo.programs.sized import Reshape

Rule = Callable[..., Value]
NORMS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
# How much of a step's statistics goes into what is kept, at least: torch's usual. Keras's usual is 0.01, for trainings
# of tens of thousands of steps; after one of hundreds a network would be judged by statistics of other weights.
FOLLOWS = 0.1
SMALL = 1e-7  # below which Keras takes no spread for one


def dense(b: Builder, layer: Layer, x: Value) -> Value:
    biased = layer.settings.flag("use_bias", True)
    kernel, *bias = b.variables(layer, 1 + biased)
    return activated(b, layer, linear(b, layer, "", b.last(x), kernel, bias))


def linear(b: Builder, layer: Layer, part: str, x: Value, kernel: Tensor, bias: Sequence[Tensor]) -> Value:
    """``x`` times ``kernel`` (in, out) along the last dimension."""

    def make() -> nn.Module:
        tensors: dict[str, Tensor | None] = {"weight": kernel.T, **({"bias": bias[0]} if bias else {})}
        return filled(nn.Linear, *kernel.shape, bool(bias), tensors=tensors)

    if kernel.dim() != 2:
        raise layer.settings.misshapen()
    return Value(b.run(layer, part, make, x.node), x.rank)


def embedding(b: Builder, layer: Layer, x: Value) -> Value:
    if layer.settings.flag("mask_zero"):
        raise layer.settings.refused("It masks zeros for the layers after it, which is not followed here.")
    (table,) = b.variables(layer, 1)
    if table.dim() != 2:
        raise layer.settings.misshapen()
    node = b.run(layer, "", lambda: filled(nn.Embedding, *table.shape, tensors={"weight": table}), b.last(x).node)
    return Value(node, x.rank + 1)


# -- norms -------------------------------------------------------------------------------------------------------------


def batch_norm(b: Builder, layer: Layer, x: Value) -> Value:
    said = layer.settings
    scaled, moved = said.flag("scale", True), said.flag("center", True)
    (axis,) = said.wholes("axis", 1, -1, -1)
    if said.flag("renorm") or x.rank not in NORMS or axis not in (-1, 1, x.rank - 1):
        raise said.odd("axis")
    x = b.first(x) if axis % x.rank == x.rank - 1 else b.last(x)
    found = iter(b.variables(layer, 2 + scaled + moved))

    follows = max(1 - said.number("momentum", 0.99), FOLLOWS)

    def make() -> nn.Module:
        tensors = {
            "weight": next(found) if scaled else None, "bias": next(found) if moved else None,
            "running_mean": next(found), "running_var": next(found),
        }  # fmt: skip
        width = len(tensors["running_mean"]) if tensors["running_mean"] is not None else 0
        return filled(NORMS[x.rank], width, said.number("epsilon", 1e-3), follows,
                      tensors=tensors)  # fmt: skip

    return Value(b.run(layer, "", make, x.node), x.rank, x.first)


def layer_norm(b: Builder, layer: Layer, x: Value) -> Value:
    said = layer.settings
    scaled, moved = said.flag("scale", True), said.flag("center", True)
    axes = sorted(axis % x.rank for axis in said.wholes("axis", None, -1, -x.rank))
    if said.flag("rms_scaling") or axes != list(range(x.rank - len(axes), x.rank)) or 0 in axes:
        raise said.odd("axis")
    if not scaled and not moved:
        raise said.refused("It has neither scale nor shift, so its size is not known.")
    found = b.variables(layer, scaled + moved)

    def make() -> nn.Module:
        tensors = {"weight": found[0] if scaled else None, "bias": found[-1] if moved else None}
        return filled(nn.LayerNorm, tuple(found[0].shape), said.number("epsilon", 1e-3), tensors=tensors)

    return Value(b.run(layer, "", make, b.last(x).node), x.rank)


def group_norm(b: Builder, layer: Layer, x: Value) -> Value:
    said = layer.settings
    scaled, moved = said.flag("scale", True), said.flag("center", True)
    axis = said.whole("axis", -1, -1)
    if axis not in (-1, x.rank - 1) or not scaled or not moved or x.rank < 3:
        raise said.odd("axis")
    weight, bias = b.variables(layer, 2)
    groups = len(weight) if said.given.get("groups") == -1 else said.whole("groups", 32)

    def make() -> nn.Module:
        return filled(
            nn.GroupNorm, groups, len(weight), said.number("epsilon", 1e-3), tensors={"weight": weight, "bias": bias}
        )

    return Value(b.run(layer, "", make, b.first(x).node), x.rank, True)


def rescaling(b: Builder, layer: Layer, x: Value) -> Value:
    scale, offset = layer.settings.numbers("scale", 1.0), layer.settings.numbers("offset", 0.0)
    scales, offsets = (_along(x, torch.tensor(n)) for n in (scale, offset))
    return Value(b.run(layer, "", lambda: Scale(scales, offsets), x.node), x.rank, x.first)


def standardised(b: Builder, layer: Layer, x: Value) -> Value:
    said = layer.settings
    axes = said.given.get("axis")
    if said.flag("invert") or axes not in (None, -1, [-1], x.rank - 1, [x.rank - 1]):
        raise said.odd("axis")
    if said.given.get("mean") is None:
        mean, variance = b.variables(layer, 2)
    else:
        mean, variance = (torch.tensor(said.numbers(key, 0.0)) for key in ("mean", "variance"))
    if mean.dim() > 1 or variance.shape != mean.shape:
        raise said.odd("axis")
    spread = _along(x, variance.sqrt().clamp(min=SMALL))
    return Value(b.run(layer, "", lambda: Standardise(_along(x, mean), spread), x.node), x.rank, x.first)


def weighted(b: Builder, layer: Layer, x: Value) -> Value:
    """Keras's ConvNeXt holds this class and the next one in its own file."""
    (gamma,) = b.variables(layer, 1)
    return Value(b.run(layer, "", lambda: Weighted(_along(x, gamma)), x.node), x.rank, x.first)


def _along(x: Value, numbers: Tensor) -> Tensor:
    """One number for all, or one for each position of Keras's last dimension, to broadcast with ``x``."""
    if numbers.dim() == 0 or not x.first or x.rank < 3:
        return numbers
    return numbers.reshape(-1, *[1] * (x.rank - 2))


# -- moves -------------------------------------------------------------------------------------------------------------


def reshaped(b: Builder, layer: Layer, x: Value) -> Value:
    shape = layer.settings.wholes("target_shape", None, least=-1)
    if shape.count(-1) > 1 or 0 in shape:
        raise layer.settings.odd("target_shape")
    return Value(b.run(layer, "", lambda: Reshape((0, *shape)), b.last(x).node), len(shape) + 1)


def permuted(b: Builder, layer: Layer, x: Value) -> Value:
    order = layer.settings.wholes("dims", x.rank - 1)
    if sorted(order) != list(range(1, x.rank)):
        raise layer.settings.odd("dims")
    return Value(b.call(torch.permute, b.last(x).node, (0, *order)), x.rank)


def repeated(b: Builder, layer: Layer, x: Value) -> Value:
    times = layer.settings.whole("n")
    if x.rank != 2:
        raise layer.settings.refused(f"It is given a tensor of {x.rank} dimensions.")
    node = b.call(torch.unsqueeze, x.node, 1)
    return Value(b.call(torch.Tensor.repeat, node, 1, times, 1), 3)


def dropped(b: Builder, layer: Layer, x: Value) -> Value:
    share = layer.settings.number("rate", 0.5)
    if layer.settings.given.get("noise_shape") is not None:
        return left_out(b, layer, x)
    return Value(b.run(layer, "", lambda: nn.Dropout(share), x.node), x.rank, x.first)


def left_out(b: Builder, layer: Layer, x: Value) -> Value:
    """What acts in training alone."""
    b.without.add(layer.kind)
    return x


def same(b: Builder, layer: Layer, x: Value) -> Value:
    return x


# -- several tensors ---------------------------------------------------------------------------------------------------


def merged(function: Callable[..., Any], mean: bool = False) -> Rule:
    def rule(b: Builder, layer: Layer, *given: Any) -> Value:
        values = b.alike(several(layer, given))
        node = values[0].node
        for value in values[1:]:
            node = b.call(function, node, value.node)
        if mean:
            node = b.call(operator.truediv, node, len(values))
        return Value(node, values[0].rank, values[0].first)

    return rule


def subtracted(b: Builder, layer: Layer, *given: Any) -> Value:
    values = several(layer, given)
    if len(values) != 2:
        raise layer.settings.refused(f"It is given {len(values)} tensors.")
    return merged(operator.sub)(b, layer, values)


def concatenated(b: Builder, layer: Layer, *given: Any) -> Value:
    values = several(layer, given)
    axis, rank = layer.settings.given.get("axis", -1), values[0].rank
    if any(value.rank != rank for value in values):
        raise layer.settings.refused("It is given tensors of different numbers of dimensions.")
    if not isinstance(axis, int) or not -rank <= axis < rank or axis % rank == 0:
        raise layer.settings.odd("axis")
    values = b.alike(values)
    node = b.call(torch.cat, [value.node for value in values], values[0].dim(axis))
    return Value(node, rank, values[0].first)


def several(layer: Layer, given: Sequence[Any]) -> list[Value]:
    """The tensors that a layer is given, whether one by one or as a list."""
    flat = [each for item in given for each in (item if isinstance(item, list | tuple) else [item])]
    if not flat or not all(isinstance(each, Value) for each in flat):
        raise layer.settings.refused("It is given something that is no tensor.")
    return flat


def arithmetic(function: Callable[..., Any]) -> Rule:
    """An operation on two tensors, or a tensor and a number."""

    def rule(b: Builder, layer: Layer, *given: Any) -> Value:
        values = [each for each in given if isinstance(each, Value)]
        plain = all(isinstance(each, Value | int | float) and not isinstance(each, bool) for each in given)
        if len(given) != 2 or not values or not plain:
            raise layer.settings.refused("It is given something that is no tensor and no number.")
        if len({value.rank for value in values}) > 1:
            values = [b.last(value) for value in values]  # numbers broadcast from the last dimension on
        elif len(values) == 2:
            values = b.alike(values)
        left = iter(values)
        nodes: list[fx.Node | float] = [next(left).node if isinstance(each, Value) else each for each in given]
        largest = max(values, key=lambda value: value.rank)
        return Value(b.call(function, *nodes), largest.rank, largest.first)

    return rule


TRAINING_ONLY = ("GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization", "RandomFlip",
                 "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
                 "StochasticDepth")  # fmt: skip
RULES: dict[str, Rule] = {
    "Dense": dense,
    "Embedding": embedding,
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    "GroupNormalization": group_norm,
    "Rescaling": rescaling,
    "Normalization": standardised,
    "LayerScale": weighted,
    "Reshape": reshaped,
    "Permute": permuted,
    "RepeatVector": repeated,
    "Dropout": dropped,
    "Identity": same,
    **dict.fromkeys(TRAINING_ONLY, left_out),
    "Add": merged(operator.add),
    "Multiply": merged(operator.mul),
    "Average": merged(operator.add, mean=True),
    "Maximum": merged(torch.maximum),
    "Minimum": merged(torch.minimum),
    "Subtract": subtracted,
    "Concatenate": concatenated,
    "ops.Add": arithmetic(operator.add),
    "ops.Subtract": arithmetic(operator.sub),
    "ops.Multiply": arithmetic(operator.mul),
    "ops.TrueDivide": arithmetic(operator.truediv),
    "ops.Divide": arithmetic(operator.truediv),
}
