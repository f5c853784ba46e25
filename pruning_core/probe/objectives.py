"""The functions whose gradients criteria read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from pruning_core.errors import UserError


def logits_of(output: Any) -> Tensor:
    """The (N, classes) tensor of a classifier's output: itself, or the first entry of a tuple or mapping.

    Raises UserError for anything else.
    """
    if isinstance(output, Mapping):
        output = next((output[k] for k in ("logits", "out") if k in output), next(iter(output.values()), None))
    elif isinstance(output, Sequence) and len(output):
        output = output[0]
    if not isinstance(output, Tensor) or output.ndim != 2:
        raise UserError("This criterion needs a classifier whose output is (images, classes). Choose one without data.")
    return output


@dataclass(frozen=True)
class Objective(ABC):
    """A scalar function of the network; equal objectives share one pass."""

    reads_images = True

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over the batch of what is differentiated."""


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """The classification loss; ``temperature`` divides the logits."""

    temperature: float = 1.0

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if int(labels.max()) >= logits.shape[1]:
            raise UserError(
                f"The labels name class {int(labels.max())}, but the model tells {logits.shape[1]} classes apart. "
                "Choose data with the model's classes, or a criterion without labels."
            )
        return F.cross_entropy(logits / self.temperature, labels)


@dataclass(frozen=True)
class SynapticFlow(Objective):
    """Sum of the outputs of the network made positive, for an input of ones: no image is read."""

    reads_images = False

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return logits.sum()


CROSS_ENTROPY = CrossEntropy()
