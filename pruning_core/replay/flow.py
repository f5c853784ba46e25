"""What reads what: the layers of a network and the places where branches meet, as the network really ran."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.replay.steps import Operation, Operations, record_steps

JOINS = {"add": "+", "sub": "+", "mul": "×"}  # operators that ask for the same channels on both sides


@dataclass(frozen=True)
class Arrow:
    """What ``maker`` made is read by ``reader``; ``groups``: keys of those whose channels go that way."""

    maker: str
    reader: str
    groups: frozenset[str]


@dataclass(frozen=True)
class Flow:
    """``nodes``: layers, and the places where two branches meet, in the order in which they ran.

    ``joints``: name -> sign of the latter. ``carried``: node -> keys of the groups whose channels it hands on.
    """

    nodes: tuple[str, ...]
    joints: Mapping[str, str]
    arrows: tuple[Arrow, ...]
    carried: Mapping[str, frozenset[str]]


def flow(model: nn.Module, network: Network, layers: Collection[str]) -> Flow:
    """How what is between ``layers`` (names of modules) goes from one to the next.

    A copy of the model runs. Raises NotReplayable for a network that cannot be written down as steps.
    """
    example = next(each for each in network.example if isinstance(each, Tensor))
    return read(record_steps(model, network, example), network, layers)


def read(recorded: Operations, network: Network, layers: Collection[str]) -> Flow:
    """The flow of steps that are written down already."""
    reading = _Reading(network, frozenset(layers))
    for step in recorded.steps:
        reading.step(step)
    return Flow(tuple(reading.nodes), reading.joints, tuple(reading.arrows), reading.made)


@dataclass
class _Reading:
    network: Network
    wanted: frozenset[str]
    nodes: dict[str, None] = field(default_factory=dict)
    joints: dict[str, str] = field(default_factory=dict)
    arrows: dict[Arrow, None] = field(default_factory=dict)
    made: dict[str, frozenset[str]] = field(default_factory=dict)
    sources: dict[int, frozenset[str]] = field(default_factory=dict)  # register -> nodes that it comes from
    owners: dict[int, frozenset[str]] = field(default_factory=dict)  # of registers made of weights alone: their layers
    keys: dict[int, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key_of = np.full(self.network.layout.units + 1, -1, dtype=np.int64)
        self.names = [group.key for group in self.network.groups]
        for number, key in enumerate(self.names):
            self.key_of[self.network.unit_ids[key]] = number

    def step(self, step: Operation) -> None:
        owners = frozenset(name.rpartition(".")[0] for name in step.weights) & self.wanted
        owners = owners.union(*(self.owners.get(each, frozenset()) for each in step.reads))
        data = [each for each in step.reads if each not in self.owners]
        if not data:
            self.owners.update(dict.fromkeys(step.outs, owners))
            return
        for out, sizes in zip(step.outs, step.sizes):
            self.keys[out] = self._keys(size.units for size in sizes)
        come = frozenset[str]().union(*(self.sources.get(each, frozenset()) for each in data))
        node = min(owners) if owners else self._joint(step, data)
        if node is not None:
            self._read(node, data, come)
            self.made[node] = frozenset[str]().union(*(self.keys[out] for out in step.outs))
            come = frozenset({node})
        self.sources.update(dict.fromkeys(step.outs, come))

    def _joint(self, step: Operation, data: list[int]) -> str | None:
        """The place where two branches meet; None where nothing does, or what meets has no channels that could go."""
        sign = JOINS.get(step.name.rstrip("_"))
        ends = {self.sources.get(each, frozenset()) for each in data}
        if sign is None or len(ends) < 2 or not all(ends) or not any(self.keys[out] for out in step.outs):
            return None
        name = f"{sign}{len(self.joints) + 1}"
        self.joints[name] = sign
        return name

    def _read(self, node: str, data: list[int], come: frozenset[str]) -> None:
        self.nodes[node] = None
        read = frozenset[str]().union(*(self.keys.get(each, frozenset()) for each in data))
        for maker in sorted(come - {node}):
            self.arrows[Arrow(maker, node, self.made[maker] & read)] = None

    def _keys(self, units: Iterable[np.ndarray | None]) -> frozenset[str]:
        found = [self.key_of[each[each >= 0]] for each in units if each is not None]
        return (
            frozenset(self.names[number] for number in np.unique(np.concatenate(found)) if number >= 0)
            if found
            else frozenset()
        )
