"""What a capture knows of a network: its groups, what is blocked, and what any plan costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pruning_core.errors import UserError
from pruning_core.graph.plan import Plan


class Role(StrEnum):
    """What a slice of a parameter does with its unit."""

    PRODUCER = "producer"  # rows of the weight that compute the channel
    CONSUMER = "consumer"  # columns of the weight that read the channel
    CARRIER = "carrier"  # one entry per channel on the way: biases, norms, depthwise weights, buffers


@dataclass(frozen=True)
class Member:
    """Slices of one parameter (or buffer) that belong to the units of a group.

    ``index`` is (C, k): row c holds the positions along ``dim`` that unit c owns.
    """

    parameter: str
    dim: int
    role: Role
    index: NDArray[np.int64]

    @property
    def layer(self) -> str:
        """Name of the module that holds the parameter; "" for the network itself."""
        return self.parameter.rpartition(".")[0]


@dataclass(frozen=True)
class Group:
    """Units that are interchangeable: each removes the same slices of the same parameters."""

    key: str
    size: int
    members: tuple[Member, ...]
    exact: bool
    reason: str = ""  # why it is only approximate

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.layer for m in self.members))

    @property
    def producers(self) -> tuple[Member, ...]:
        return tuple(m for m in self.members if m.role is Role.PRODUCER)

    @property
    def consumers(self) -> tuple[Member, ...]:
        return tuple(m for m in self.members if m.role is Role.CONSUMER)


@dataclass(frozen=True)
class Blocked:
    """Entries along one dimension of a parameter that cannot be removed, and which operator says so."""

    parameter: str
    dim: int
    entries: int
    operator: str
    reason: str


@dataclass(frozen=True)
class Cost:
    """``macs`` of one input, ``parameters`` and bytes of parameters and buffers."""

    macs: int
    parameters: int
    size_bytes: int


@dataclass(frozen=True)
class LayerCost:
    """One layer of the table; shapes without the batch dimension."""

    name: str
    kind: str
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    macs: int
    parameters: int


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
    name: str
    kind: str
    read: Shape
    wrote: Shape


@dataclass(frozen=True)
class Layout:
    """Where every unit lives: the whole state from which plans are costed, masked and cut.

    ``unit_of[(name, dim)]`` holds one unit per position, -1 where it is pinned.
    ``vectors`` are the distinct vectors of units whose live entries are counted.
    """

    units: int
    unit_of: Mapping[tuple[str, int], NDArray[np.int64]]
    vectors: tuple[NDArray[np.int64], ...]
    products: tuple[Term, ...]
    tensors: tuple[TensorTerm, ...]
    layers: tuple[LayerShape, ...]
    grouping: Mapping[str, str]  # weight of a grouped convolution -> "whole" or "inside"
    silent_producers: frozenset[int]  # units multiplied with other activations: silenced where they are made
    batch: int


@dataclass(frozen=True)
class Network:
    """The outcome of :func:`pruning_core.graph.capture`."""

    groups: tuple[Group, ...]
    blocked: tuple[Blocked, ...]
    layout: Layout
    unit_ids: Mapping[str, NDArray[np.int64]]  # group key -> global unit number per unit
    example_shapes: tuple[tuple[int, ...], ...]
    operators: int
    seconds: float
    notes: tuple[str, ...] = ()

    @cached_property
    def _by_key(self) -> dict[str, Group]:
        return {g.key: g for g in self.groups}

    def group(self, key: str) -> Group:
        """Raises UserError when there is no such group."""
        try:
            return self._by_key[key]
        except KeyError:
            raise UserError(f"This network has no group named {key!r}. Choose one of its {len(self.groups)} groups.") from None

    def validate(self, plan: Plan) -> None:
        """Raises UserError for an unknown group, an index out of range or twice, or a group left empty."""
        for key, units in plan.items():
            size = self.group(key).size
            if units and (units[0] < 0 or units[-1] >= size):
                raise UserError(f"{key} has units 0 to {size - 1}; the plan names {units[0]} to {units[-1]}.")
            if len(set(units)) != len(units):
                raise UserError(f"The plan names a unit of {key} twice.")
            if len(units) >= size:
                raise UserError(f"The plan would remove all {size} units of {key}; keep at least one.")

    def ratio(self, plan: Plan, key: str) -> float:
        """Fraction of a group's units that the plan removes."""
        return len(plan.get(key, ())) / self.group(key).size

    def keep(self, plan: Plan) -> NDArray[np.bool_]:
        """One flag per unit, with a last one that stays True: -1 in ``unit_of`` reads it."""
        self.validate(plan)
        alive = np.ones(self.layout.units + 1, dtype=bool)
        for key, units in plan.items():
            alive[self.unit_ids[key][list(units)]] = False
        return alive

    def kept(self, plan: Plan) -> dict[tuple[str, int], NDArray[np.int64]]:
        """Kept positions for each (parameter, dim) that loses any."""
        alive = self.keep(plan)
        found = {}
        for at, units in self.layout.unit_of.items():
            live = alive[units]
            if not live.all():
                found[at] = np.flatnonzero(live)
        return found

    @cached_property
    def _tables(self) -> _Tables:
        return _Tables.of(self.layout)

    def cost(self, plan: Plan | None = None) -> Cost:
        """Closed form, exact: what counting on the really pruned network gives."""
        t = self._tables
        counts = t.live(self.keep(plan or Plan()))
        sizes = t.sizes(counts)
        return Cost(int(t.macs(counts).sum()) // self.layout.batch, int(sizes @ t.trainable), int(sizes @ t.itemsize))

    def layer_costs(self, plan: Plan | None = None) -> tuple[LayerCost, ...]:
        """One row per layer in the order of execution, after the plan."""
        t = self._tables
        counts = t.live(self.keep(plan or Plan()))
        macs, parameters = {}, {}
        for term, n in zip(self.layout.products, t.macs(counts).tolist()):
            macs[term.owner] = macs.get(term.owner, 0) + n // self.layout.batch
        for tensor, n in zip(self.layout.tensors, t.sizes(counts).tolist()):
            if tensor.trainable:
                owner = tensor.name.rpartition(".")[0]
                parameters[owner] = parameters.get(owner, 0) + n

        def shape(s: Shape) -> tuple[int, ...]:
            return tuple(int(counts[c]) if c >= 0 else n for n, c in zip(s.sizes, s.counts))[1:]

        rows = [LayerCost(layer.name, layer.kind, shape(layer.read), shape(layer.wrote), macs.pop(layer.name, 0),
                          parameters.pop(layer.name, 0)) for layer in self.layout.layers]
        rest = sorted(set(macs) | {k for k, v in parameters.items() if v})
        rows += [LayerCost(name, "functional", (), (), macs.get(name, 0), parameters.get(name, 0)) for name in rest]
        return tuple(rows)


@dataclass(frozen=True)
class _Tables:
    """The layout's terms as arrays, so that a cost is a gather, a segmented sum and two products."""

    flat: NDArray[np.int64]
    starts: NDArray[np.int64]
    mac_factor: NDArray[np.int64]
    mac_counts: NDArray[np.int64]
    size_factor: NDArray[np.int64]
    size_counts: NDArray[np.int64]
    trainable: NDArray[np.int64]
    itemsize: NDArray[np.int64]

    @staticmethod
    def of(layout: Layout) -> _Tables:
        lengths = [len(v) for v in layout.vectors]
        flat = np.concatenate(layout.vectors) if layout.vectors else np.empty(0, np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if lengths else np.empty(0, np.int64)

        def table(terms: list[Term]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            width = max((len(t.counts) for t in terms), default=0)
            pad = len(lengths)  # a last count that is always 1
            rows = [list(t.counts) + [pad] * (width - len(t.counts)) for t in terms]
            return (np.array([t.factor for t in terms], dtype=np.int64),
                    np.array(rows, dtype=np.int64).reshape(len(terms), width))

        sizes = [t.term for t in layout.tensors]
        return _Tables(flat, starts, *table(list(layout.products)), *table(sizes),
                       np.array([t.trainable for t in layout.tensors], dtype=np.int64),
                       np.array([t.itemsize for t in layout.tensors], dtype=np.int64))

    def live(self, alive: NDArray[np.bool_]) -> NDArray[np.int64]:
        counted = np.add.reduceat(alive[self.flat], self.starts, dtype=np.int64) if len(self.flat) else np.empty(0, np.int64)
        return np.append(counted, 1)

    def macs(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.mac_factor * counts[self.mac_counts].prod(axis=1, dtype=np.int64)

    def sizes(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.size_factor * counts[self.size_counts].prod(axis=1, dtype=np.int64)
