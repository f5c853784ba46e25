"""What a network's tensors are replaced by while a witness watches it: silenced, shaken, nudged.

Nothing here copies a network. The original with columns of zeros is the original, run while whoever reads a weight is
given one with columns of zeros; so it does not matter which object's code does the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from zlib import crc32

import torch
from torch import Tensor, nn

from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.silence import silenced_members

Slices = Mapping[str, tuple[tuple[int, Tensor], ...]]  # tensor -> dimensions, and positions along each
Reading = tuple[str, int, Tensor]  # a tensor, a dimension, and for every unit its positions there: (units, each)
SAMPLE = 4096  # elements of a tensor that say how large its values are


@dataclass(frozen=True)
class Shaking:
    """Every parameter with something added, the same for the channel whichever network it stands in.

    A trained network hides mistakes: channels that died, scales that are zero. Added is the product of one random
    vector per dimension (for vectors a positive one: scales and shifts become alive), as large as the parameter's own
    values make its products.
    """

    sizes: Mapping[str, tuple[int, ...]]
    scales: Mapping[str, float]

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Shaking:
        found = {n: t for n, t in tensors.items() if isinstance(t, nn.Parameter) and t.is_floating_point()}
        return Shaking({n: tuple(t.shape) for n, t in found.items()}, {n: _scale(t) for n, t in found.items()})

    def added(self, name: str, kept: Mapping[int, Tensor]) -> list[Tensor]:
        """Factors that broadcast to the tensor's (cut) shape, in float64."""
        sizes = self.sizes[name]
        factors = []
        for dim, size in enumerate(sizes):
            if size == 1 and len(sizes) > 1:
                continue
            wave = self._wave(name, dim, size)
            wave = wave[kept[dim]] if dim in kept else wave
            factors.append(wave.reshape([-1 if d == dim else 1 for d in range(len(sizes))]))
        return factors

    @cached_property
    def _waves(self) -> dict[tuple[str, int], Tensor]:
        return {}

    def _wave(self, name: str, dim: int, size: int) -> Tensor:
        if (name, dim) not in self._waves:
            random = torch.Generator().manual_seed(crc32(f"{name}.{dim}".encode()))
            if len(self.sizes[name]) <= 1:
                wave = self.scales[name] * (0.5 + torch.rand(size, generator=random, dtype=torch.float64))
            else:
                wave = torch.randn(size, generator=random, dtype=torch.float64)
                wave = wave * self.scales[name] if dim == 0 else wave
            self._waves[name, dim] = wave
        return self._waves[name, dim]


def _scale(tensor: Tensor) -> float:
    sample = tensor.detach().flatten()[:SAMPLE].double()
    size = float(sample.abs().mean()) if len(sample) else 0.0
    if tensor.dim() < 2:
        return size if 1e-3 < size < 1e3 else 0.5
    rows, columns = tensor.shape[0], max(1, tensor[0].numel())
    size = size if 1e-6 < size < 1e6 else columns**-0.5
    return 0.5 * size * (rows**-0.5 + columns**-0.5)


@dataclass(frozen=True)
class StandIns:
    """Called with the name of a tensor and the tensor; gives what is to be read in its place."""

    silenced: Slices = field(default_factory=dict)
    shaking: Shaking | None = None
    kept: Mapping[str, Mapping[int, Tensor]] = field(default_factory=dict)  # of a cut network: what it has kept
    nudged: Reading | None = None
    nudge: float = 0.0  # which share of another unit's values each unit gets, more or less

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        shaken = self.shaking is not None and name in self.shaking.scales
        nudged = self.nudged is not None and name == self.nudged[0]
        if not shaken and not nudged and name not in self.silenced:
            return tensor
        new = tensor.detach().to(torch.float64 if shaken else tensor.dtype, copy=True)
        if shaken and self.shaking is not None:
            first, *others = self.shaking.added(name, self.kept.get(name, {})) or [new.new_zeros(())]
            rest = others[0] if others else new.new_ones(())
            for factor in others[1:]:
                rest = rest * factor
            new.addcmul_(first.to(new.device), rest.to(new.device))
        for dim, positions in self.silenced.get(name, ()):
            new.index_fill_(dim, positions.to(new.device), 0)
        if nudged and self.nudged is not None:
            _nudge(new, *self.nudged[1:], self.nudge)
        return new

    def nudging(self, reading: Reading, nudge: float) -> StandIns:
        return replace(self, nudged=reading, nudge=nudge)

    @cached_property
    def steady(self) -> StandIns:
        """The same without shaking."""
        return replace(self, shaking=None)

    @property
    def changes_nothing(self) -> bool:
        return not self.silenced and self.nudged is None and self.shaking is None


def _nudge(values: Tensor, dim: int, at: Tensor, share: float) -> None:
    """In pairs of units, each gets some of the other's values: the beginning of reading one in the other's place.

    ``at`` is (units, each). A unit without another grows.
    """
    units = len(at)
    other = torch.arange(units) ^ 1
    other = torch.where(other < units, other, torch.arange(units))
    here, there = at.reshape(-1).to(values.device), at[other].reshape(-1).to(values.device)
    change = values.index_select(dim, there) - values.index_select(dim, here)
    if units == 1:
        change = values.index_select(dim, here)
    pairs = torch.linspace(0.5, 1.5, (units + 1) // 2, dtype=values.dtype, device=values.device)
    by_unit = pairs.repeat_interleave(2)[:units].repeat_interleave(at.shape[1])
    change = change * (share * by_unit).reshape([-1 if d == dim else 1 for d in range(values.dim())])
    values.index_add_(dim, here, change)


def silenced_slices(network: Network, plan: Plan) -> Slices:
    """Where the plan's units are silenced in the original."""
    found: dict[str, list[tuple[int, Tensor]]] = {}
    for key, units in plan.items():
        for member in silenced_members(network, key):
            gone = torch.as_tensor(member.index[list(units)].reshape(-1))
            found.setdefault(member.parameter, []).append((member.dim, gone))
    return {name: tuple(slices) for name, slices in found.items()}
