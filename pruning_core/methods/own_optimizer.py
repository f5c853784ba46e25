"""Gates and discriminators that a hook trains by itself, with steps of another size or for another aim than weights.

What is in ``Hook.parameters()`` moves with the weights' optimizer, at their learning rate. A few epochs of fine-tuning
are too slow for gates, and an adversary minimises a loss of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pruning_core.training.hooks import Moment


class OwnAdam:
    """Adam on ``values``, kept in the state of a hook.

    It moves each value by about its rate in every step, whatever the scale of the gradient: so ``pace``, how far a
    value can move in the first epoch, says how long it takes. The rate falls in a straight line to the end.
    """

    def __init__(self, values: Sequence[Tensor], pace: float) -> None:
        self._values, self._pace = list(values), pace
        for value in self._values:
            value.requires_grad_(True)
        self._adam = torch.optim.Adam(self._values, lr=pace)

    def step(self, moment: Moment) -> None:
        """By the gradients that are there; they are gone afterwards."""
        for group in self._adam.param_groups:
            group["lr"] = self._pace * (1 - moment.done) / max(1, moment.steps)
        self._adam.step()
        self.forget()

    def forget(self) -> None:
        """No gradient."""
        self._adam.zero_grad(set_to_none=True)

    def state(self) -> Mapping[str, Any]:
        return {"values": [value.detach() for value in self._values], "adam": self._adam.state_dict()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        for value, stored in zip(self._values, state["values"], strict=True):
            value.copy_(stored)
        self._adam.load_state_dict(state["adam"])
