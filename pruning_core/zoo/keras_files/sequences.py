"""Layers of Keras that read steps in their order, or let all of them look at each other."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from pruning_core.zoo.keras_files.building import Builder, Value
from pruning_core.zoo.keras_files.config import Layer, kind_of
from pruning_core.zoo.keras_files.modules import Last, filled
from pruning_core.zoo.keras_files.plain import linear, several
from pruning_core.zoo.keras_files.settings import Settings
from pruning_core.zoo.programs.sized import Reshape

RECURRENT: dict[str, tuple[Any, int]] = {"LSTM": (nn.LSTM, 4), "GRU": (nn.GRU, 3), "SimpleRNN": (nn.RNN, 1)}
MERGES: dict[str, Callable[..., Any]] = {"sum": operator.add, "mul": operator.mul}


def recurrent(b: Builder, layer: Layer, x: Value) -> Value:
    said = layer.settings
    x = b.last(x)
    node = _steps(b, layer, "", said, "/cell", x)
    return Value(node, 3 if said.flag("return_sequences") else 2)


def both_ways(b: Builder, layer: Layer, x: Value) -> Value:
    """One layer from the first step on, one from the last; both outputs in the order of the first."""
    said = layer.settings
    x = b.last(x)
    found = []
    for key, part in (("layer", "forward"), ("backward_layer", "backward")):
        given: Any = said.given.get(key) or said.given.get("layer")
        kind = kind_of(given, said.file, f"{said.name}.{key}")
        if kind not in RECURRENT:
            raise said.refused(f"It holds a {kind}, where LSTM, GRU and SimpleRNN are read.")
        found.append((part, Settings(kind, said.name, said.file, given["config"])))
    sequences = found[0][1].flag("return_sequences")
    back = found[1][1].given.get("go_backwards", True) is True
    if found[1][1].flag("return_sequences") != sequences or found[0][1].flag("go_backwards") or not back:
        raise said.refused("It holds two layers that do not go together.")
    ahead, behind = (_steps(b, layer, part, inner, f"/{part}_layer/cell", x) for part, inner in found)
    if sequences:
        behind = b.call(torch.flip, behind, [1])
    how = said.word("merge_mode", "concat", "concat", "sum", "mul", "ave")
    if how == "concat":
        node = b.call(torch.cat, [ahead, behind], -1)
    else:
        node = b.call(MERGES.get(how, operator.add), ahead, behind)
        node = b.call(operator.truediv, node, 2) if how == "ave" else node
    return Value(node, 3 if sequences else 2)


def _steps(b: Builder, layer: Layer, part: str, said: Settings, below: str, x: Value) -> fx.Node:
    if x.rank != 3:
        raise said.refused(f"It is given a tensor of {x.rank} dimensions.")
    kind, gates = RECURRENT[said.kind]
    if said.flag("return_state") or said.flag("stateful"):
        raise said.refused("It hands its state on, which is not followed here.")
    gated = gates > 1
    said.word("activation", "tanh", "tanh", *(() if gated else ("relu",)))
    if gated:
        said.word("recurrent_activation", "sigmoid", "sigmoid")
    if said.kind == "GRU" and not said.flag("reset_after", True):
        raise said.refused("It resets before it multiplies (reset_after=False), which torch's GRU does not.")

    def make() -> nn.Module:
        biased = said.flag("use_bias", True)
        weight, state, *bias = b.variables(layer, 2 + biased, below)
        units = len(state)
        fits = weight.dim() == 2 and weight.shape[1] == gates * units == state.shape[1]
        if not fits or any(each.numel() != gates * units * (2 if said.kind == "GRU" else 1) for each in bias):
            raise said.misshapen()
        tensors: dict[str, Tensor | None] = {
            "weight_ih_l0": _gates(weight.T, gates),
            "weight_hh_l0": _gates(state.T, gates),
        }
        if bias:
            two = bias[0] if said.kind == "GRU" else torch.stack([bias[0], torch.zeros_like(bias[0])])
            tensors |= {"bias_ih_l0": _gates(two[0], gates), "bias_hh_l0": _gates(two[1], gates)}
        named = {} if gated else {"nonlinearity": said.word("activation", "tanh", "tanh", "relu")}
        made = filled(kind, len(weight), units, bias=biased, batch_first=True, tensors=tensors, **named)
        if bias and said.kind != "GRU":  # Keras has one, which would be trained twice
            made.get_parameter("bias_hh_l0").requires_grad_(False)
        return made

    back = said.flag("go_backwards")
    node = b.call(torch.flip, x.node, [1]) if back else x.node
    node = b.run(layer, part, make, node)
    steps = said.flag("return_sequences")
    return b.run(layer, f"{part}_steps".strip("_"), lambda: Last(steps), node)


def _gates(tensor: Tensor, gates: int) -> Tensor:
    """Keras's gates in torch's order: an LSTM has them alike, a GRU has its first two the other way round."""
    if gates != 3:
        return tensor
    update, reset, new = tensor.chunk(3)
    return torch.cat([reset, update, new])


def attention(b: Builder, layer: Layer, *given: Any, **more: Any) -> Value:
    said = layer.settings
    values = [b.last(value) for value in several(layer, [each for each in given if each is not None])]
    causal = more.pop("use_causal_mask", False)
    if not isinstance(causal, bool) or any(value not in (None, False) for value in more.values()):
        raise said.refused("It is given a mask, or gives its scores, which is not followed here.")
    if not 2 <= len(values) <= 3 or any(value.rank != 3 for value in values):
        raise said.refused("It does not look along one dimension of steps alone.")
    plain = not said.given.get("use_gate") and not said.given.get("sliding_window")
    if said.given.get("attention_axes") not in (None, [1], 1) or not plain:
        raise said.odd("attention_axes")
    query, value, key = values[0], values[1], values[-1]
    biased = said.flag("use_bias", True)

    def read(part: str, x: Value) -> fx.Node:
        """(N, steps, width) -> (N, heads, steps, width of a head)"""
        kernel, *bias = b.variables(layer, 1 + biased, f"/{part}_dense")
        if kernel.dim() != 3:
            raise said.misshapen()
        wide = linear(b, layer, part, x, kernel.flatten(1), [each.flatten() for each in bias])
        apart = b.run(layer, f"{part}_heads", lambda: Reshape((0, 0, *kernel.shape[1:])), wide.node)
        return b.call(torch.transpose, apart, 1, 2)

    heads = [read(part, x) for part, x in (("query", query), ("key", key), ("value", value))]
    seen = b.call(F.scaled_dot_product_attention, *heads, is_causal=causal)
    together = b.run(layer, "together", lambda: Reshape((0, 0, -1)), b.call(torch.transpose, seen, 1, 2))
    kernel, *bias = b.variables(layer, 1 + biased, "/output_dense")
    if kernel.dim() != 3:
        raise said.misshapen()
    return linear(b, layer, "output", Value(together, 3), kernel.flatten(0, 1), bias)


RULES: dict[str, Callable[..., Value]] = {
    **dict.fromkeys(RECURRENT, recurrent),
    "Bidirectional": both_ways,
    "MultiHeadAttention": attention,
}
