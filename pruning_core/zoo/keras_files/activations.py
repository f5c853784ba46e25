"""Activations of Keras, as functions of torch and as layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from pruning_core.zoo.keras_files.building import Builder, Value
from pruning_core.zoo.keras_files.config import Layer, kind_of
from pruning_core.zoo.keras_files.modules import Rectified, Slopes
from pruning_core.zoo.keras_files.settings import Settings

POINTWISE: Mapping[str, Callable[..., Any]] = {
    "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softplus": F.softplus,
    "softsign": F.softsign, "silu": F.silu, "swish": F.silu, "hard_sigmoid": F.hardsigmoid, "hard_silu": F.hardswish,
    "hard_swish": F.hardswish, "elu": F.elu, "selu": F.selu, "celu": F.celu, "mish": F.mish, "exponential": torch.exp,
    "hard_tanh": F.hardtanh, "log_sigmoid": F.logsigmoid, "tanh_shrink": F.tanhshrink, "soft_shrink": F.softshrink,
    "hard_shrink": F.hardshrink, "gelu": F.gelu, "leaky_relu": partial(F.leaky_relu, negative_slope=0.2),
}  # fmt: skip
ALONG: Mapping[str, Callable[..., Any]] = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}
LAYERS = ("ReLU", "LeakyReLU", "ELU", "Softmax", "Activation")  # that may stand where an activation is said


def activated(b: Builder, layer: Layer, x: Value, key: str = "activation") -> Value:
    """``x`` after the activation that ``layer`` says it ends with."""
    said = layer.settings
    given = said.given.get(key, "linear")
    if isinstance(given, dict) and "class_name" in given:
        kind = kind_of(given, said.file, f"{said.name}.{key}")
        if kind not in LAYERS:
            raise said.odd(key)
        inner = Settings(kind, f"{said.name}_{key}", said.file, given["config"])
        return RULES[kind](b, Layer(inner, layer.place, ()), x)
    if given is not None and not isinstance(given, str):
        raise said.odd(key)  # as a function of one's own is said, by its code
    if given in (None, "linear"):
        return x
    if given in POINTWISE:
        function = POINTWISE[given]
        if isinstance(function, partial):
            return Value(b.call(function.func, x.node, **function.keywords), x.rank, x.first)
        return Value(b.call(function, x.node), x.rank, x.first)
    if given in ALONG:
        return Value(b.call(ALONG[given], x.node, dim=x.dim(-1)), x.rank, x.first)
    raise said.odd(key)


def rectified(b: Builder, layer: Layer, x: Value) -> Value:
    said = layer.settings
    highest = None if said.given.get("max_value") is None else said.number("max_value", 0.0)
    slope, threshold = said.number("negative_slope", 0.0), said.number("threshold", 0.0)
    if (slope, threshold) == (0.0, 0.0) and highest in (None, 6.0):
        return Value(b.call(F.relu if highest is None else F.relu6, x.node), x.rank, x.first)
    return Value(b.run(layer, "", lambda: Rectified(slope, threshold, highest), x.node), x.rank, x.first)


def leaky(b: Builder, layer: Layer, x: Value) -> Value:
    slope = layer.settings.number("negative_slope", 0.3)
    return Value(b.call(F.leaky_relu, x.node, negative_slope=slope), x.rank, x.first)


def elu(b: Builder, layer: Layer, x: Value) -> Value:
    return Value(b.call(F.elu, x.node, alpha=layer.settings.number("alpha", 1.0)), x.rank, x.first)


def softmax(b: Builder, layer: Layer, x: Value) -> Value:
    axis = layer.settings.given.get("axis", -1)
    if not isinstance(axis, int) or not -x.rank <= axis < x.rank or axis % x.rank == 0:
        raise layer.settings.odd("axis")
    return Value(b.call(torch.softmax, x.node, dim=x.dim(axis)), x.rank, x.first)


def slopes(b: Builder, layer: Layer, x: Value) -> Value:
    (alpha,) = b.variables(layer, 1)
    if alpha.dim() != x.rank - 1:
        raise layer.settings.misshapen()
    turned = alpha.movedim(-1, 0) if x.first and x.rank > 2 else alpha
    return Value(b.run(layer, "", lambda: Slopes(turned.contiguous()), x.node), x.rank, x.first)


RULES: dict[str, Callable[[Builder, Layer, Value], Value]] = {
    "ReLU": rectified,
    "LeakyReLU": leaky,
    "ELU": elu,
    "Softmax": softmax,
    "PReLU": slopes,
    "Activation": activated,
}
