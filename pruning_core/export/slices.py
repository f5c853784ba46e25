"""A removal as plain data: which positions of which tensors stay, and which attributes change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pruning_core.export.ranges import as_ranges
from pruning_core.graph import Network, Plan, Role
from pruning_core.graph.modules import named_tensors
from pruning_core.graph.removing.attention import HeadAttention

Dims = dict[str, dict[int, str]]  # tensor -> dimension -> name in ``channels``


@dataclass(frozen=True)
class Slices:
    """``channels``: name -> (size, kept positions as ranges).

    ``slices`` says which of them each tensor keeps along which dimension, ``silenced`` where the positions that are
    *not* kept are zeroed to silence them in the whole network.
    """

    channels: Mapping[str, tuple[int, str]]
    slices: Dims
    silenced: Dims


def slices_of(model: nn.Module, network: Network, plan: Plan) -> Slices:
    """Positions that several tensors keep are listed once, under the name of the group where there is one."""
    sizes = {name: tensor.shape for name, tensor in named_tensors(model).items()}
    kept = network.kept(plan)
    table = _Table()
    for key in plan:
        for member in network.group(key).producers:
            table.name(key, sizes[member.parameter][member.dim], kept[member.parameter, member.dim])
    slices: Dims = {}
    for name in sizes:
        for dim in range(len(sizes[name])):
            if (name, dim) in kept:
                slices.setdefault(name, {})[dim] = table.name(f"{name}:{dim}", sizes[name][dim], kept[name, dim])
    silenced: Dims = {}
    for (name, dim), gone in _silenced(network, plan).items():
        size = sizes[name][dim]
        stays = np.setdiff1d(np.arange(size), gone)
        silenced.setdefault(name, {})[dim] = table.name(f"{name}:{dim} silenced", size, stays)
    return Slices(table.entries, slices, silenced)


class _Table:
    def __init__(self) -> None:
        self.entries: dict[str, tuple[int, str]] = {}
        self._names: dict[tuple[int, str], str] = {}

    def name(self, wish: str, size: int, positions: NDArray[np.int64]) -> str:
        """The name of these positions; ``wish`` when they are new and it is free."""
        entry = (int(size), as_ranges(positions.tolist()))
        if entry not in self._names:
            name, number = wish, 1
            while name in self.entries:
                number += 1
                name = f"{wish} ({number})"
            self.entries[name] = entry
            self._names[entry] = name
        return self._names[entry]


def _silenced(network: Network, plan: Plan) -> dict[tuple[str, int], NDArray[np.int64]]:
    """The positions that :func:`pruning_core.graph.silenced_tensors` zeroes."""
    found: dict[tuple[str, int], list[NDArray[np.int64]]] = {}
    for key, units in plan.items():
        at_source = bool(network.layout.silent_producers.intersection(network.unit_ids[key].tolist()))
        for member in network.group(key).members:
            if member.role is Role.CONSUMER or (at_source and not member.parameter.endswith("running_var")):
                gone = member.index[list(units)].reshape(-1)
                found.setdefault((member.parameter, member.dim), []).append(gone)
    return {at: np.unique(np.concatenate(parts)) for at, parts in found.items()}


def changed_attributes(original: nn.Module, pruned: nn.Module) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Plain attributes (sizes, groups) that differ, by module; and the attention layers that became another class."""
    attributes: dict[str, dict[str, Any]] = {}
    replaced = []
    for name, module in pruned.named_modules():
        if isinstance(module, HeadAttention):
            replaced.append(name)
            continue
        before = vars(original.get_submodule(name))
        changed = {
            key: value
            for key, value in vars(module).items()
            if key != "training" and _plain(value) and key in before and before[key] != value
        }
        if changed:
            attributes[name] = changed
    return attributes, tuple(replaced)


def _plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_plain(item) for item in value)
    return isinstance(value, bool | int | float | str)
