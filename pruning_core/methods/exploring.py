"""Pruning and regrowing while a network trains: what the methods that explore have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import cos, pi
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.allocation.lowest import lowest
from pruning_core.allocation.pool import Pool
from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.closing import Stepwise, closable
from pruning_core.methods.units import Slices, joined, producers, scales
from pruning_core.training.hooks import HookSpec, Moment
from pruning_core.training.watch import Watch


def regrowth(share: float, done: float) -> float:
    """The share of channels that are opened again after ``done`` of the exploration: ``share`` at first, 0 at last."""
    return 0.5 * (1 + cos(pi * done)) * share


def widths(network: Network, found: Mapping[str, list[Slices]], budget: Budget) -> Mapping[str, int]:
    """How many channels each group loses by one threshold for all batch-norm scales; of coupled norms their mean."""
    values = {key: torch.cat([each.rows().detach().abs() for each in own], 1).mean(1) for key, own in found.items()}
    return allocate(GlobalThreshold(normalise="none"), Pool.of(network, values), budget).counts()


def unexplained(rows: Tensor, kept: list[int]) -> Tensor:
    """(C,) how long each row is outside of what the kept rows span."""
    basis, sizes, _ = torch.linalg.svd(rows[kept].double().T, full_matrices=False)
    basis = basis[:, sizes > sizes.max() * 1e-7]
    return (rows.double() - (rows.double() @ basis) @ basis.T).norm(dim=1)


@dataclass(frozen=True)
class Exploration(HookSpec):
    """In ``rounds`` equal parts of the training channels are chosen anew within ``budget`` of the network.

    A subclass says which are kept; ``regrown`` is the share of channels that are opened again at first.
    """

    watches: ClassVar = (
        Watch("open", "Channels that are open", "share"),
        Watch("regrown", "Channels opened again in the last round", "share"),
        Watch("scales", "Batch-norm scales", "absolute value"),
    )
    budget: Budget = field(default_factory=lambda: Budget("macs", fraction=0.5))
    rounds: Annotated[int, Range(1, 100, "Rounds", step=1)] = 6
    regrown: Annotated[float, Range(0.0, 0.9, "Share regrown at first")] = 0.3


class Exploring(Stepwise):
    """A subclass says how important channels are when ``keep`` of them stay."""

    def __init__(self, spec: Exploration, model: nn.Module, network: Network) -> None:
        self.filters = producers(model, network)
        able = {group.key for group in closable(network)} & self.filters.keys()
        self._scales = {key: own for key, own in scales(model, network).items() if key in able}
        super().__init__(model, network, self._scales, spec.rounds)
        self._spec = spec
        self._regrown = 0.0

    @abstractmethod
    def importance(self, key: str, keep: int) -> Tensor:
        """(C,), higher = keep."""

    @torch.no_grad()
    def round(self, number: int) -> None:
        counts = widths(self.network, self._scales, self._spec.budget)
        share = regrowth(self._spec.regrown, number / self.rounds)
        closed, opened = {}, 0
        for key in self._scales:
            count = counts.get(key, 0)
            size = len(self.opened[key])
            gone = list(lowest(self.importance(key, size - count), count)) if count else []
            back = self._drawn(key, gone, min(count, round(share * size)))
            closed[key] = [unit for unit in gone if unit not in back]
            opened += len(back)
        self.close(closed)
        self._regrown = opened / sum(len(each) for each in self.opened.values())

    def _drawn(self, key: str, gone: list[int], count: int) -> set[int]:
        """Which of the channels that go are opened again: the likelier, the less the kept ones can replace them."""
        if not count:
            return set()
        rows = joined(self.filters[key])
        kept = [unit for unit in range(len(rows)) if unit not in set(gone)]
        chances = unexplained(rows, kept)[gone].softmax(0)
        return {gone[place] for place in chances.multinomial(count, replacement=False).tolist()}

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        values = torch.cat([each.rows().detach().abs().flatten() for own in self._scales.values() for each in own])
        return {"open": self.share_open, "regrown": torch.tensor(self._regrown), "scales": values}

    def state(self) -> Mapping[str, Any]:
        return {**super().state(), "regrown": self._regrown}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        self._regrown = state["regrown"]
