"""What a capture knows of a network: its groups, what is blocked, and what any plan costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.errors import UserError
from pruning_core.graph.costing import Sums
from pruning_core.graph.layout import Layout, Shape
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
    coupled: bool = False  # several layers make its units, and an addition (of a shortcut) ties them together

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
class Network:
    """The outcome of :func:`pruning_core.graph.capture`.

    ``whole``: keys of groups that somebody decided to leave whole; everything else about them stays as it is.
    """

    groups: tuple[Group, ...]
    blocked: tuple[Blocked, ...]
    layout: Layout
    unit_ids: Mapping[str, NDArray[np.int64]]  # group key -> global unit number per unit
    example: tuple[Any, ...]  # the arguments it was captured with
    operators: int
    seconds: float
    notes: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()

    @property
    def example_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors among the arguments."""
        return tuple(tuple(a.shape) for a in self.example if isinstance(a, Tensor))

    @cached_property
    def _by_key(self) -> dict[str, Group]:
        return {g.key: g for g in self.groups}

    def group(self, key: str) -> Group:
        """Raises UserError when there is no such group."""
        try:
            return self._by_key[key]
        except KeyError:
            raise UserError(
                f"This network has no group named {key!r}. Choose one of its {len(self.groups)} groups."
            ) from None

    def validate(self, plan: Plan) -> None:
        """Raises UserError for an unknown group, an index out of range or twice, or a group left empty."""
        for key, units in plan.items():
            size = self.group(key).size
            if units[0] < 0 or units[-1] >= size:
                raise UserError(f"{key} has units 0 to {size - 1}; the plan names {units[0]} to {units[-1]}.")
            if key in plan.repeated:
                raise UserError(f"The plan names a unit of {key} twice.")
            if len(units) >= size:
                raise UserError(f"The plan would remove all {size} units of {key}; keep at least one.")

    def after(self, plan: Plan) -> dict[str, tuple[int, ...]]:
        """For every group the units that remain: unit i of the pruned network's group is the i-th of them."""
        self.validate(plan)
        return {g.key: _without(g.size, plan.get(g.key, ())) for g in self.groups}

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
    def _sums(self) -> Sums:
        return Sums.of(self.layout.sizes, [g.key for g in self.groups])

    def counts(self, plan: Plan) -> NDArray[np.int64]:
        """How many positions remain for each count of the layout, and a last 1."""
        self.validate(plan)
        return self._sums.remaining(plan, self.keep)

    def products(self, plan: Plan | None = None) -> list[int]:
        """MACs of every product, in the order in which they ran, for the whole captured batch."""
        macs: list[int] = self._sums.macs(self.counts(plan or Plan())).tolist()
        return macs

    def cost(self, plan: Plan | None = None) -> Cost:
        """Closed form, exact: what counting on the really pruned network gives."""
        sums = self._sums
        counts = self.counts(plan or Plan())
        sizes = sums.sizes(counts)
        return Cost(
            int(sums.macs(counts).sum()) // self.layout.batch, int(sizes @ sums.trainable), int(sizes @ sums.itemsize)
        )

    def layer_costs(self, plan: Plan | None = None) -> tuple[LayerCost, ...]:
        """One row per layer in the order of execution, after the plan; what no layer owns follows at the end."""
        sums = self._sums
        counts = self.counts(plan or Plan())
        macs: dict[str, int] = {}
        parameters: dict[str, int] = {}
        for term, n in zip(self.layout.sizes.products, sums.macs(counts).tolist()):
            macs[term.owner] = macs.get(term.owner, 0) + n
        for tensor, n in zip(self.layout.sizes.tensors, sums.sizes(counts).tolist()):
            if tensor.trainable:
                owner = tensor.name.rpartition(".")[0]
                parameters[owner] = parameters.get(owner, 0) + n

        def shape(s: Shape) -> tuple[int, ...]:
            return tuple(int(counts[c]) if c >= 0 else n for n, c in zip(s.sizes, s.counts))[1:]

        batch = self.layout.batch
        rows = [
            LayerCost(
                layer.name,
                layer.kind,
                shape(layer.read),
                shape(layer.wrote),
                macs.pop(layer.name, 0) // batch,
                parameters.pop(layer.name, 0),
            )
            for layer in self.layout.sizes.layers
        ]
        rest = sorted(k for k in {*macs, *parameters} if macs.get(k) or parameters.get(k))
        rows += [
            LayerCost(name, "functional", (), (), macs.get(name, 0) // batch, parameters.get(name, 0)) for name in rest
        ]
        return tuple(rows)


def _without(size: int, units: tuple[int, ...]) -> tuple[int, ...]:
    gone = set(units)
    return tuple(unit for unit in range(size) if unit not in gone)
