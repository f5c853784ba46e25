"""A network's groups, layout and sizes without the network: what a child hands back that has looked at a stranger's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.graph.layout import Layout, Sizes
from pruning_core.graph.network import Blocked, Group, Network
from pruning_core.storage.plain import Arrays, Forged, packed, unpacked

OURS = {"layout", "example"}  # fields of a Network that have another form here
CELLS = 1 << 27
MOST = 1 << 40  # of any whole number: larger ones say nothing about a network that somebody has


@dataclass(frozen=True)
class PlainLayout:
    """A Layout with its sizes counted."""

    units: int
    unit_of: Mapping[tuple[str, int], NDArray[np.int64]]
    grouping: Mapping[str, str]
    silent_producers: frozenset[int]
    trail: tuple[str, ...]
    batch: int
    sizes: Sizes
    sizing: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class PlainNetwork:
    """A Network with the shapes of its example instead of its tensors."""

    groups: tuple[Group, ...]
    blocked: tuple[Blocked, ...]
    layout: PlainLayout
    unit_ids: Mapping[str, NDArray[np.int64]]
    example: tuple[tuple[int, ...], ...]
    operators: int
    seconds: float
    notes: tuple[str, ...]
    whole: frozenset[str]


def network_packed(network: Network) -> tuple[Any, Arrays]:
    """(plain JSON, arrays). The example must be float32 tensors, of which only the shapes are kept."""
    assert all(isinstance(each, Tensor) and each.dtype == torch.float32 for each in network.example)
    layout = _fields(network.layout, {"measure"}) | {"sizes": network.layout.sizes}
    plain = PlainNetwork(**_fields(network, OURS), layout=PlainLayout(**layout), example=network.example_shapes)
    arrays: Arrays = {}
    return packed(plain, arrays), arrays


def network_unpacked(value: Any, arrays: Arrays) -> Network:
    """The network that ``network_packed`` was given, with zeros as its example.

    Raises Forged unless everything in it fits together, so that no later use can go wrong for it.
    """
    plain: PlainNetwork = unpacked(value, arrays, PlainNetwork)
    _check(plain)
    sizes = plain.layout.sizes
    layout = Layout(**_fields(plain.layout, {"sizes"}), measure=lambda: sizes)
    example = tuple(torch.zeros(shape) for shape in plain.example)
    return Network(**_fields(plain, OURS), layout=layout, example=example)


def _fields(value: Any, without: set[str]) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name not in without}


def _check(plain: PlainNetwork) -> None:
    layout, sizes = plain.layout, plain.layout.sizes
    positions = sum(len(units) for units in layout.unit_of.values())
    _demand(0 <= layout.units <= positions and 1 <= layout.batch <= MOST)
    for units in layout.unit_of.values():
        _demand(_within(units, -1, layout.units))
    _demand(all(0 <= unit < layout.units for unit in layout.silent_producers))
    _demand(set(layout.grouping.values()) <= {"whole", "inside"})
    _demand(sum(prod(shape) for shape in plain.example) <= CELLS)
    _demand(all(0 < size <= MOST for shape in plain.example for size in shape))
    _check_groups(plain)
    _check_sizes(sizes, len(plain.groups), layout.units)


def _check_groups(plain: PlainNetwork) -> None:
    places = plain.layout.unit_of
    keys = [group.key for group in plain.groups]
    _demand(len(set(keys)) == len(keys) and set(plain.unit_ids) == set(keys) >= plain.whole)
    for group in plain.groups:
        ids = plain.unit_ids[group.key]
        _demand(ids.shape == (group.size,) and group.size > 0 and _within(ids, 0, plain.layout.units))
        for member in group.members:
            own = places.get((member.parameter, member.dim))
            _demand(own is not None and member.index.ndim == 2 and len(member.index) == group.size)
            _demand(_within(member.index, 0, 0 if own is None else len(own)))
    _demand(all(0 <= each.entries <= MOST and 0 <= each.dim <= 64 for each in plain.blocked))


def _check_sizes(sizes: Sizes, groups: int, units: int) -> None:
    counts = len(sizes.counts)
    _demand(counts * groups <= CELLS)  # later a matrix
    for count in sizes.counts:
        _demand(0 <= count.full <= MOST and all(0 <= g < groups and 0 <= n <= MOST for g, n in count.each))
        _demand(count.units is None or (count.units.ndim == 1 and _within(count.units, -1, units)))
    for term in (*sizes.products, *(tensor.term for tensor in sizes.tensors)):
        _demand(0 <= term.factor <= MOST and all(0 <= number < counts for number in term.counts))
        _demand(len(term.counts) <= 64)
    _demand(all(0 < tensor.itemsize <= 16 for tensor in sizes.tensors))
    for layer in sizes.layers:
        for shape in (layer.read, layer.wrote):
            _demand(len(shape.sizes) == len(shape.counts) and all(-1 <= number < counts for number in shape.counts))
            _demand(all(0 <= size <= MOST for size in shape.sizes))


def _within(numbers: NDArray[np.int64], low: int, high: int) -> bool:
    """low <= each < high"""
    return numbers.size == 0 or (int(numbers.min()) >= low and int(numbers.max()) < high)


def _demand(true: bool) -> None:
    if not true:
        raise Forged("the parts of this network do not fit together")
