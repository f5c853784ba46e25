"""The loss of a training, and the penalty beside it: summed over an epoch, and as moving averages."""

from __future__ import annotations

import torch
from torch import Tensor

MEMORY = 0.98  # how much of the moving average a step keeps: about the last fifty steps count


class Meter:
    """Adds up on the device and waits for it only when it is read."""

    def __init__(self, total: float = 0.0) -> None:
        self._sum = torch.tensor(total)
        self._average, self._averaged = torch.tensor(0.0), 0

    def add(self, value: Tensor) -> None:
        """``value`` is a scalar without gradients."""
        self._sum = self._sum.to(value.device) + value
        self._average = MEMORY * self._average.to(value.device) + (1 - MEMORY) * value
        self._averaged += 1

    def begin_epoch(self) -> None:
        """The sum begins anew; the moving average goes on."""
        self._sum = torch.tensor(0.0)

    @property
    def total(self) -> Tensor:
        """The sum over this epoch."""
        return self._sum

    @property
    def average(self) -> float:
        """The moving average, as if nothing had been there before the first value; 0 before that."""
        return float(self._average) / (1 - MEMORY**self._averaged) if self._averaged else 0.0
