"""Where every unit lives and how large everything is: the state from which plans are costed, masked and cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Count:
    """How many positions along one dimension remain: ``full`` less ``each`` for every unit a group loses.

    ``units`` (one unit per position, -1 where fixed) is kept only where units of one group own different numbers of
    positions, so that which units leave matters.
    """

    full: int
    each: tuple[tuple[int, int], ...]  # (number of the group, positions per unit)
    units: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Term:
    """``factor`` times the counts numbered ``counts``, owned by a layer."""

    owner: str
    factor: int
    counts: tuple[int, ...]


@dataclass(frozen=True)
class TensorTerm:
    """The size of one parameter or buffer."""

    name: str
    term: Term
    itemsize: int
    trainable: bool  # a parameter, not a buffer


@dataclass(frozen=True)
class Shape:
    """Fixed sizes, and for each dimension the number of its count (or -1)."""

    sizes: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LayerShape:
    """What one layer reads and writes."""

    name: str
    kind: str
    read: Shape
    wrote: Shape


@dataclass(frozen=True)
class Sizes:
    """How large everything is after any plan, in closed forms."""

    counts: tuple[Count, ...]
    products: tuple[Term, ...]
    tensors: tuple[TensorTerm, ...]
    layers: tuple[LayerShape, ...]
    sized: Mapping[
        str, Mapping[int, frozenset[int]]
    ]  # module -> size its code may know -> counts (or -1) it stands for


@dataclass(frozen=True)
class Layout:
    """``unit_of[(name, dim)]`` holds one unit per position, -1 where it is pinned."""

    units: int
    unit_of: Mapping[tuple[str, int], NDArray[np.int64]]
    grouping: Mapping[str, str]  # weight of a grouped convolution -> "whole" or "inside"
    silent_producers: frozenset[int]  # units multiplied with other activations: silenced where they are made
    trail: tuple[str, ...]  # the operators of the evaluated pass, by name, in order
    batch: int
    measure: Callable[[], Sizes]
    sizing: frozenset[tuple[str, str]] = frozenset()  # module, attribute: numbers that were seen given as sizes

    @cached_property
    def sizes(self) -> Sizes:
        """Counted when somebody asks: groups do not need it."""
        return self.measure()
