"""The time of one layer at many widths as a run: alone, or as a part of really smaller networks."""

from __future__ import annotations

import copy
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import nn

from pruning_core.analysis import one_layer, widths
from pruning_core.analysis.widths import Times
from pruning_core.errors import UserError
from pruning_core.graph import Group, Network, Plan, remove
from pruning_core.measuring.beside import latency_of, timing_in_turns
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import precision, ready
from pruning_core.measuring.latency import LEAST
from pruning_core.measuring.measures import Latency
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.narrate import EVERY
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import the_model
from pruning_core.studies.sensitivity import captured
from pruning_core.work import told
from pruning_core.zoo import LoadedModel, ModelRef
from pruning_core.zoo.titles import called

T = TypeVar("T")
COPIES = 2  # of every width
ROUNDS = 60
NETWORKS = 12  # really smaller ones, all held at once


@dataclass(frozen=True)
class Width:
    """The layer, or the network around it, with ``channels`` of it left: ``macs`` of one image, and its time.

    ``saved_low_ms`` to ``saved_high_ms`` less than with all channels (paired, 95 % for all widths together).
    ``copies_ms``: how far the medians of two equal copies are apart.
    """

    channels: int
    macs: int
    latency: Latency
    saved_low_ms: float
    saved_high_ms: float
    copies_ms: float

    @property
    def no_difference(self) -> bool:
        """Whether it may be that no time is saved."""
        return self.saved_low_ms <= 0.0


@dataclass(frozen=True)
class WidthsRun(RunSpec):
    """Times ``layer`` (a module's name) at many numbers of its output channels, ``batch_size`` random images in a pass.

    Alone: the layer's own weights, its first channels. With ``whole``: the network with channels of the layer's group
    really removed. Every width in two copies, all in turns, the order drawn anew each round by ``seed``. One ``Width``
    for each, ascending; then a ``Cliff`` for each step between neighbours that is outside the noise.
    """

    kind: ClassVar[str] = "widths"
    model: ModelRef
    layer: str
    batch_size: int = 1
    whole: bool = False
    rounds: int = ROUNDS
    seed: int = 0
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"Latency of {called(self.model)} against the channels of {self.layer}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        where = choose_device(self.device)
        loaded = yield from the_model(self.model, workspace)
        network = captured(loaded)
        yield Stage("cutting the network to each width" if self.whole else "cutting the layer to each width")
        shape: tuple[int, ...] = loaded.input_size
        if self.whole:
            built, macs = {}, {}
            for channels, model, cost in _networks(loaded, network, group_of(network, self.layer)):
                built[channels], macs[channels] = model, cost
                yield Stage(f"cut to {channels:,} channels")
        else:
            shape, built, macs = _layers(loaded, network, self.layer)
        modules = {
            (channels, number): ready(copy.deepcopy(model).eval(), where)
            for channels, model in built.items()
            for number in range(COPIES)
        }
        generator = torch.Generator().manual_seed(self.seed)
        x = torch.randn(self.batch_size, *shape, generator=generator).to(where, precision(next(iter(modules.values()))))
        turns = timing_in_turns(modules, x, max(LEAST, self.rounds), self.seed)
        times = yield from timing(turns, len(modules) * self.rounds, "passes")
        by_width = {channels: [times[channels, number] for number in range(COPIES)] for channels in built}
        yield from self._found(by_width, macs, x)

    def _found(self, times: Mapping[int, list[Times]], macs: Mapping[int, int], x: torch.Tensor) -> Iterator[Event]:
        everything = times[max(times)]
        for channels in sorted(times):
            own = times[channels]
            low, high = widths.difference(own, everything, len(times) - 1) if own is not everything else (0.0, 0.0)
            medians = [float(np.median(each)) for each in own]
            yield Width(
                channels, macs[channels], latency_of(np.concatenate(own), x), low, high, max(medians) - min(medians)
            )
        yield from widths.cliffs(times)

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # times of another moment are no part of the same turns


def group_of(network: Network, layer: str) -> Group:
    """The group whose units the layer makes. Raises UserError when its channels cannot be cut."""
    for group in network.groups:
        if any(member.layer == layer and member.dim == 0 for member in group.producers):
            return group
    raise UserError(f"The channels of {layer} cannot be cut by themselves. Choose another layer.")


def _networks(loaded: LoadedModel, network: Network, group: Group) -> Iterator[tuple[int, nn.Module, int]]:
    for channels in widths.evenly(group.size, NETWORKS):
        plan = Plan({group.key: range(channels, group.size)})
        model = remove(loaded.model, network, plan).model if plan else loaded.model
        yield channels, model, network.cost(plan).macs


def _layers(
    loaded: LoadedModel, network: Network, name: str
) -> tuple[tuple[int, ...], dict[int, nn.Module], dict[int, int]]:
    """Shape of one input, and by width the layer with its first channels and its MACs. Raises UserError."""
    row = next((each for each in network.layer_costs() if each.name == name), None)
    layer = dict(loaded.model.named_modules()).get(name)
    if row is None or layer is None or not one_layer.can_be_narrowed(layer):
        raise UserError(f"The layer {name} cannot be timed alone. Time the whole network instead.")
    channels = len(layer.get_parameter("weight"))
    built = {}
    for width in widths.widths(channels):
        built[width] = one_layer.narrowed(layer, torch.arange(channels) < width)
    return row.shape_in, built, {width: row.macs * width // channels for width in built}


def timing(
    work: Generator[float, None, T], of: int, unit: str, before: int = 0, after: int = 0
) -> Generator[Event, None, T]:
    """How far ``timing_in_turns`` is, several times a second, and how long it will take yet.

    It goes on from ``before`` to ``of`` units of this work; ``after`` of the same kind come after it.
    """
    start, last = time.perf_counter(), 0.0

    def say(share: float) -> Iterator[Event]:
        nonlocal last
        now = time.perf_counter()
        if now - last >= EVERY or share >= 1:
            last = now
            spent, whole = now - start, of - before
            left = spent * (1 / share - 1) + spent / share * after / whole
            yield Progress(before + int(share * whole), of + after, unit, left)

    return (yield from told(work, say))
