"""What criteria differentiate: the loss that goes with what the images are judged by."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pruning_core.datasets import Dataset
from pruning_core.measuring.forward import taken
from pruning_core.measuring.measure import Against, Measure
from pruning_core.measuring.registry import named
from pruning_core.probe.objectives import CLASSES, Task

AROUND = 0.1  # how far targets are drawn around a network's own outputs, in deviations of those


@dataclass(frozen=True)
class Towards:
    """The loss of a training towards ``measure``."""

    measure: Measure

    def loss(self, output: Any, targets: Tensor, temperature: float) -> Tensor:
        found = taken(output, self.measure.takes)
        return self.measure.loss(found if found.dtype == torch.float64 else found.float(), targets)


def task_of(data: Dataset | None) -> Task:
    """By what ``data`` are judged by; telling classes apart where that decides for one, or where there are no data."""
    measure = None if data is None else named(data.measure).read_by(data.decoder)
    return CLASSES if measure is None or measure.decides else Towards(measure)


def sloped(data: Dataset, seed: int) -> Dataset:
    """``data``, with targets around the outputs of the network that was cut first, where they are these outputs.

    Towards its own outputs a network has no slope at all. Targets drawn around them, as Fisher's information has it
    (Martens, JMLR 21, 2020), give gradients J'e whose squares are, in expectation, how far the outputs move with a
    weight: the distance to the unpruned network, to second order, and without a label.
    """
    measure = named(data.measure)
    if measure.against is not Against.NETWORK or not data.labels.is_floating_point():
        return data
    noise = torch.randn(data.labels.shape, generator=torch.Generator().manual_seed(seed))
    spread = AROUND * float(data.labels.std())
    return dataclasses.replace(data, labels=data.labels + spread * noise.to(data.labels))
