"""Zeros that stay: what of a network was masked takes part in no further training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.sparsity.weights import prunable
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch


@dataclass(frozen=True)
class ZerosStay(HookSpec):
    """Weights that are exactly zero when the training begins are zero after every step.

    The network is its own mask: nothing else has to be kept, stored or resumed.
    """

    watches: ClassVar = (Watch("sizes", "Sizes of the weights that are left", "absolute value"),)

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _ZerosStay(list(prunable(model, network).values()))


class _ZerosStay(Hook):
    def __init__(self, weights: list[Tensor]) -> None:
        self._every = weights
        self._weights = [weight for weight in weights if not bool(weight.all())]
        self._kept = [(weight != 0).to(weight.dtype) for weight in self._weights]

    @torch.no_grad()
    def after_step(self, moment: Moment) -> None:
        if self._weights:  # momentum would move them
            torch._foreach_mul_(self._weights, self._kept)

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"sizes": torch.cat([weight.detach()[weight != 0].abs() for weight in self._every])}
