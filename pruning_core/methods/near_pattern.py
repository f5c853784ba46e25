"""A hook that draws the weights to the nearest network with the zeros of a pattern (ADMM)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.sparsity.fitting import kept, share_within
from pruning_core.sparsity.patterns import Elements, Pattern
from pruning_core.sparsity.weights import Bill, prunable
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch


@dataclass(frozen=True)
class NearPattern(HookSpec):
    """rho / 2 times the squared distance of the weights from Z - U; Z and U are renewed after each epoch.

    Z is the nearest network with the zeros of ``pattern`` that keeps to ``budget`` (of the network as training begins).
    rho is multiplied by ``growth`` after each epoch.
    """

    watches: ClassVar = (Watch("residual", "Distance from the sparse network", "share of the weights' norm"),)
    pattern: Pattern = field(default_factory=Elements)
    budget: Budget = field(default_factory=lambda: Budget("parameters", fraction=0.5))
    rho: Annotated[float, Range(1e-5, 10.0, "Penalty rho", log=True)] = 1e-2
    growth: Annotated[float, Range(1.0, 10.0, "Growth of rho per epoch")] = 1.5

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _NearPattern(self, model, network)


class _NearPattern(Hook):
    def __init__(self, spec: NearPattern, model: nn.Module, network: Network) -> None:
        self._spec, self._weights, self._bill = spec, prunable(model, network), Bill.of(model, network)
        self._limit = spec.budget.allowed(network.cost())
        self._rho = spec.rho
        self._dual = {name: torch.zeros_like(weight) for name, weight in self._weights.items()}
        self._sparse = self._projected()

    @torch.no_grad()
    def _projected(self) -> dict[str, Tensor]:
        """W + U with the zeros that cost least of its norm."""
        shifted = {name: weight.detach() + self._dual[name] for name, weight in self._weights.items()}
        levels = self._spec.pattern.levels({name: tensor.abs() for name, tensor in shifted.items()})
        share = 1.0
        if self._spec.pattern.shares:
            share = share_within(levels, self._bill, self._spec.budget, self._limit)
        return {name: shifted[name] * mask.to(shifted[name]) for name, mask in kept(levels, share).items()}

    def penalty(self, moment: Moment) -> Tensor:
        parts = [(w - self._sparse[name] + self._dual[name]).square().sum() for name, w in self._weights.items()]
        return 0.5 * self._rho * torch.stack(parts).sum()

    @torch.no_grad()
    def epoch_end(self, moment: Moment) -> None:
        self._sparse = self._projected()
        for name, weight in self._weights.items():
            self._dual[name] += weight - self._sparse[name]
        self._rho *= self._spec.growth

    @torch.no_grad()
    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        off = torch.stack([(w - self._sparse[name]).square().sum() for name, w in self._weights.items()]).sum()
        whole = torch.stack([weight.square().sum() for weight in self._weights.values()]).sum()
        return {"residual": (off / whole).sqrt()}

    def state(self) -> Mapping[str, Any]:
        return {"rho": self._rho, "sparse": self._sparse, "dual": self._dual}

    def load(self, state: Mapping[str, Any]) -> None:
        self._rho = state["rho"]
        for own, stored in ((self._sparse, state["sparse"]), (self._dual, state["dual"])):
            for name, tensor in stored.items():
                own[name] = tensor.to(own[name].device).clone()
