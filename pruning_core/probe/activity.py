"""What the layers of a network read, collected for all criteria in the same forward pass."""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.graph import Group, Member
from pruning_core.probe.moments import Moments
from pruning_core.probe.places import Tensors, index_of, members_at
from pruning_core.probe.readings import Reading, Readings, Seen, channel_maps
from pruning_core.probe.samples import Samples, draw, joined
from pruning_core.probe.site import Asking, Need, Place

Spot = tuple[str, str]  # group key, name of the weight that reads


@dataclass(eq=False)
class Average:
    """A running mean over images or batches."""

    total: Tensor
    count: int


class Activity:
    """Collects moments, per-image measures and samples at every weight that reads a group.

    An activation that several weights read (the sum of a residual stage) is measured once, at the first of them.
    """

    def __init__(self, groups: Sequence[Group], tensors: Tensors, criteria: Sequence[Asking], seed: int) -> None:
        self.wants_moments = any(Need.MOMENTS in c.needs for c in criteria)
        self.wants_samples = any(Need.SAMPLES in c.needs for c in criteria)
        self.measuring = [c for c in criteria if Need.MAPS in c.needs]
        self.seed = seed
        self.moments: dict[Spot, Moments] = {}
        self.measured: dict[Asking, dict[Spot, Average]] = {c: {} for c in self.measuring}
        self.seconds: dict[Asking | Need, float] = defaultdict(float)
        self._parts: dict[Spot, list[tuple[Samples, ...]]] = defaultdict(list)
        self._members: dict[str, list[tuple[str, Member]]] = defaultdict(list)
        for group in groups:
            for member in members_at(group, Place.CONSUMER, tensors):
                self._members[member.parameter].append((group.key, member))
        self.watched = {name: tensors[name] for name in self._members}
        self._repeats: dict[Spot, str] = {}  # where the same activation was first met
        self._seen = Seen()
        self._batch = 0

    def watch(self) -> Readings:
        """A context in which one batch is run."""
        self._seen = Seen()
        self._batch += 1
        return Readings(self.watched, self._read)

    def samples(self, spot: Spot) -> tuple[Samples, ...]:
        """One per convolution group of the weight; empty when nothing could be drawn."""
        parts = self._parts.get(spot, [])
        return tuple(joined(list(group)) for group in zip(*parts))

    def _read(self, name: str, reading: Reading) -> None:
        with torch.no_grad():
            for key, member in self._members[name]:
                self._take((key, name), member, reading)

    def _take(self, spot: Spot, member: Member, reading: Reading) -> None:
        weight = self.watched[spot[1]]
        index = index_of(member, weight.device)
        if self.wants_samples:
            began = time.perf_counter()
            generator = torch.Generator().manual_seed(zlib.crc32(f"{self.seed} {self._batch} {spot[1]}".encode()))
            self._parts[spot].append(draw(_detached(reading), weight.detach(), member.dim, index, generator))
            self.seconds[Need.SAMPLES] += time.perf_counter() - began
        if not self.wants_moments and not self.measuring:
            return
        channels = channels_read(index, reading, weight)
        first = self._seen.first(reading, channels, spot[1])
        if self._repeats.setdefault(spot, first) != spot[1]:
            return
        maps = channel_maps(_detached(reading), channels)
        if self.wants_moments:
            began = time.perf_counter()
            found = Moments.of(maps)
            self.moments[spot] = self.moments[spot].merge(found) if spot in self.moments else found
            self.seconds[Need.MOMENTS] += time.perf_counter() - began
        for criterion in self.measuring:
            began = time.perf_counter()
            total = criterion.per_image(maps).double().sum(0)
            known = self.measured[criterion].get(spot)
            if known is None:
                self.measured[criterion][spot] = Average(total, len(maps))
            else:
                known.total += total
                known.count += len(maps)
            self.seconds[criterion] += time.perf_counter() - began


def _detached(reading: Reading) -> Reading:
    return Reading(
        reading.source.detach(),
        reading.output.detach(),
        reading.axis,
        reading.stride,
        reading.padding,
        reading.dilation,
        reading.groups,
        reading.transposed,
    )


def channels_read(index: Tensor, reading: Reading, weight: Tensor) -> Tensor:
    """(C, k) entries of a weight's input dimension -> channels of the activation.

    A grouped convolution cut inside its groups reads the same position of every group.
    """
    if reading.groups == 1 or reading.transposed:
        return index
    per_group = weight.shape[1]
    offsets = torch.arange(reading.groups, device=index.device) * per_group
    return (index[:, None, :] + offsets[None, :, None]).flatten(1)
