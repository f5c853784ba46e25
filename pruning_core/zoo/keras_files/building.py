"""A network of torch's layers that grows call by call, with channels where torch has them.

Keras keeps channels last, torch's convolutions want them first. So that no layer is surrounded by turns, a tensor is
kept as whoever made it had it, and is turned where one that reads it needs it otherwise: between a convolution and the
layers that flatten, mostly once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning_core.errors import UserError, quoted
from pruning_core.zoo.keras_files.config import Layer, Source
from pruning_core.zoo.keras_files.weights import Weights
from pruning_core.zoo.programs.watch import MOST_STEPS

Make = Callable[[], nn.Module]


@dataclass(frozen=True)
class Value:
    """A tensor of ``rank`` dimensions; ``first``: what Keras has as its last dimension follows the batch."""

    node: fx.Node
    rank: int
    first: bool = False

    def shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """In Keras's order, of a node of such ``sizes``."""
        return tuple(sizes[self.dim(axis)] for axis in range(self.rank))

    def dim(self, axis: int) -> int:
        """Where the dimension that Keras calls ``axis`` lies."""
        axis %= self.rank
        if not self.first or axis == 0:
            return axis
        return 1 if axis == self.rank - 1 else axis + 1


class Builder:
    """The graph so far and the layers in it; every layer has one module, or some, however often it is called."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.root, self.graph, self.name = nn.Module(), fx.Graph(), name
        self.weights = weights
        self.without: set[str] = set()  # classes that act in training alone and were left out
        self._steps = 0
        self._scope: tuple[str, ...] = ()
        self._paths: dict[tuple[str, ...], str] = {(): ""}
        # networks that a network lies in, it last -> what its layers give, as its first use has it
        self.values: dict[tuple[str, ...], Mapping[Source, Any]] = {}

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """What is made meanwhile lies in a module of this name: the layers of a network in a network."""
        before = self._scope
        self._scope = (*before, name)
        if self._scope not in self._paths:
            self._paths[self._scope] = self._put(before, name, nn.Module())
        try:
            yield
        finally:
            self._scope = before

    def keep(self, made: Mapping[Source, Any]) -> None:
        """``made`` is what the layers of this network give."""
        self.values.setdefault(self._scope, made)

    def input(self, rank: int, first: bool) -> Value:
        """The next input; what a file calls it would become an argument in Python."""
        number = sum(node.op == "placeholder" for node in self.graph.nodes)
        return Value(self.graph.placeholder(f"x{number or ''}"), rank, first)

    def run(self, layer: Layer, part: str, make: Make, *nodes: fx.Node) -> fx.Node:
        """``make()``'s module, made at the first call, on ``nodes``; ``part`` tells modules of one layer apart."""
        self.step()
        key = (*self._scope, layer.name, part)
        if key not in self._paths:
            self._paths[key] = self._put(self._scope, f"{layer.name}_{part}" if part else layer.name, make())
        return self.graph.call_module(self._paths[key], nodes)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        self.step()
        return self.graph.call_function(function, args, kwargs)

    def last(self, value: Value) -> Value:
        """``value`` with its dimensions as Keras has them."""
        if not value.first or value.rank < 3:
            return Value(value.node, value.rank)
        order = (0, *range(2, value.rank), 1)
        return Value(self.call(torch.permute, value.node, order), value.rank)

    def first(self, value: Value) -> Value:
        """``value`` with channels first, whose last dimension Keras has them in."""
        if value.first or value.rank < 3:
            return Value(value.node, value.rank, True)
        order = (0, value.rank - 1, *range(1, value.rank - 1))
        return Value(self.call(torch.permute, value.node, order), value.rank, True)

    def alike(self, values: Sequence[Value]) -> list[Value]:
        """Turned the same way; a smaller one gets dimensions after the batch, as Keras's layers that merge do it."""
        rank = max(value.rank for value in values)
        if all(value.rank == rank for value in values):
            return [self.first(v) for v in values] if any(v.first for v in values) else list(values)
        found = []
        for value in map(self.last, values):
            node = value.node
            for _ in range(rank - value.rank):
                node = self.call(torch.unsqueeze, node, 1)
            found.append(Value(node, rank))
        return found

    def variables(self, layer: Layer, number: int, below: str = "") -> list[Tensor]:
        """The ``number`` variables of ``layer``. Raises UserError where the file has others."""
        found = self.weights.variables(layer.place + below)
        if len(found) < number:
            raise layer.settings.refused(f"It has {len(found)} arrays of weights where {number} are expected.")
        return found[:number]

    def _put(self, scope: tuple[str, ...], name: str, module: nn.Module) -> str:
        """Where ``module`` lies now: under ``name``, or as near to it as the name of an attribute can be."""
        word = re.sub(r"\W", "_", name, flags=re.ASCII)[:80] or "layer"
        owner = self.root.get_submodule(self._paths[scope])
        while hasattr(owner, word):
            word = f"{word}_"
        owner.add_module(word, module)
        return f"{self._paths[scope]}.{word}".removeprefix(".")

    def step(self) -> None:
        """Count one more. Raises UserError where there are too many: networks in networks multiply."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise UserError(f"{quoted(self.name)} is more than {MOST_STEPS:,} operators. It was not read.")
