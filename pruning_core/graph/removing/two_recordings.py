"""A network recorded at two batch sizes: what a program needs to know about every number in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pruning_core.graph.capturing.follow import follow
from pruning_core.graph.capturing.guard import Guard, Overwrites, address
from pruning_core.graph.capturing.hollow import NeedsValues
from pruning_core.graph.capturing.record import Recording, start
from pruning_core.graph.capturing.recurrent import link_recurrent_layers, plain_recurrence
from pruning_core.graph.copies import copied
from pruning_core.graph.labelling.labels import Labelled, cover
from pruning_core.graph.modules import named_tensors, switch
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.undisturbed import alone, undisturbed


class CannotEmit(Exception):
    """An operator whose numbers cannot be rewritten for the smaller network."""


@dataclass
class Take:
    """One recording with, for each label, whether it lives."""

    recording: Recording
    tensors: dict[str, Tensor]
    inputs: tuple[Any, ...]
    out: Any
    alive: NDArray[np.bool_]

    def live(self, x: Labelled, dim: int) -> NDArray[np.bool_]:
        """Flags of the positions along ``dim`` that remain."""
        flags = np.ones(x.shape[dim], dtype=bool)
        for plane in x.over(dim):
            others = tuple(d for d in range(plane.ndim) if d != dim)
            flags &= self.alive[plane].any(axis=others)
        return flags

    def size(self, x: Labelled, dim: int) -> int:
        return int(self.live(x, dim).sum()) if x.over(dim) else x.shape[dim]

    def sizes(self, x: Labelled) -> list[int]:
        return [self.size(x, d) for d in range(len(x.shape))]


def two_takes(
    model: nn.Module, network: Network, plan: Plan, arguments: tuple[Any, ...], batches: tuple[int, int]
) -> tuple[Take, Take]:
    """Recordings at two batch sizes; one image takes shortcuts of its own (`matmul` folds it away), so not at one.

    Raises CannotEmit when the two differ in more than numbers.
    """
    # with the original's tensors: code that holds on to the original object reads the same ones
    tensors = named_tensors(model)
    runner = copied(model, {id(t): t for t in tensors.values()})
    try:
        with Guard(frozenset(map(address, tensors.values())) - {0}):
            switch(runner, False)
    except Overwrites as error:
        raise CannotEmit("the network changes its own parameters when its mode changes") from error
    batch = next((len(a) for a in arguments if isinstance(a, Tensor) and a.dim()), 0)

    def at(size: int, value: Any) -> Any:
        if isinstance(value, Tensor) and value.dim() and len(value) == batch:
            return torch.cat([value[:1]] * size).detach()
        return value.detach().clone() if isinstance(value, Tensor) else value

    def takes(hollow: bool) -> list[Take]:
        inputs = [tree_map(lambda v, size=size: at(size, v), arguments) for size in batches]
        return [_take(runner, network, plan, given, hollow=hollow) for given in inputs]

    try:
        one, two = takes(hollow=True)  # what follows from the input is not written into a program
    except NeedsValues:
        one, two = takes(hollow=False)
    if [c.op for c in one.recording.calls] != [c.op for c in two.recording.calls]:
        raise CannotEmit("the network takes another path at another batch size")
    return one, two


def _take(model: nn.Module, network: Network, plan: Plan, inputs: tuple[Any, ...], *, hollow: bool) -> Take:
    with alone, undisturbed(model), plain_recurrence(model):
        recording, tensors = start(model)
        link_recurrent_layers(model, recording)
        out = follow(model, inputs, recording, tensors, keep_calls=True, hollow=hollow)
    units = recording.universe.resolve()
    kept = network.keep(plan)
    alive = np.ones(len(units.pinned), dtype=bool)
    for (name, dim), unit in network.layout.unit_of.items():
        labels = next(p for p in recording.parameters[name].planes if cover(p) == {dim}).reshape(-1)
        alive[units.of[labels[~kept[unit]]]] = False
    return Take(recording, tensors, inputs, out, alive[units.of])
