"""The functions whose gradients criteria read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor

from pruning_core.errors import UserError


class Task(Protocol):
    """What the network is there for, as a loss."""

    def loss(self, output: Any, targets: Tensor, temperature: float) -> Tensor:
        """The mean over the batch, of what the network returned and the (n, …) targets; class scores are divided by
        ``temperature``."""


def main_one(output: Any) -> Tensor:
    """What a network returned: itself, or the first entry of a tuple or mapping. Raises UserError for anything else."""
    if isinstance(output, Mapping):
        output = next((output[k] for k in ("logits", "out") if k in output), next(iter(output.values()), None))
    elif isinstance(output, Sequence) and len(output):
        output = output[0]
    if not isinstance(output, Tensor):
        raise UserError("The network returns no tensor that could be differentiated. Choose a criterion without data.")
    return output


@dataclass(frozen=True)
class Classes:
    """Telling the classes of images apart: cross-entropy of the (n, classes) scores."""

    def loss(self, output: Any, targets: Tensor, temperature: float) -> Tensor:
        """Raises UserError for outputs that are no class scores, and for labels that name no class of them."""
        logits = main_one(output)
        if logits.ndim != 2 or targets.ndim != 1 or targets.is_floating_point():
            raise UserError(
                "The images are judged by their classes, and this network gives no (images, classes) scores for them. "
                "Choose another measure on the Load page, or a criterion without data."
            )
        if int(targets.max()) >= logits.shape[1]:
            raise UserError(
                f"The labels name class {int(targets.max())}, but the model tells {logits.shape[1]} classes apart. "
                "Choose data with the model's classes, or a criterion without labels."
            )
        return F.cross_entropy(logits / temperature, targets)


CLASSES = Classes()


@dataclass(frozen=True)
class Objective(ABC):
    """A scalar function of the network; equal objectives share one pass."""

    reads_images = True

    @abstractmethod
    def loss(self, output: Any, targets: Tensor, task: Task) -> Tensor:
        """The mean over the batch of what is differentiated."""


@dataclass(frozen=True)
class TaskLoss(Objective):
    """The loss of what the network is there for; ``temperature`` divides class scores, and nothing else."""

    temperature: float = 1.0

    def loss(self, output: Any, targets: Tensor, task: Task) -> Tensor:
        return task.loss(output, targets, self.temperature)


@dataclass(frozen=True)
class SynapticFlow(Objective):
    """Sum of the outputs of the network made positive, for an input of ones: no image is read."""

    reads_images = False

    def loss(self, output: Any, targets: Tensor, task: Task) -> Tensor:
        return main_one(output).sum()


TASK_LOSS = TaskLoss()
