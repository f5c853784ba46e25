"""What a training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.knobs import Knobbed
from pruning_core.measuring.forward import main_output, taken
from pruning_core.measuring.measure import Measure

AUXILIARY = 0.3  # weight of an auxiliary classifier (Szegedy et al., Going deeper with convolutions, 2015)


class Forward(Protocol):
    """The network in training mode, with what hooks exchange and, on top of that, ``overrides`` (name -> tensor)."""

    def __call__(self, x: Tensor, overrides: Mapping[str, Tensor] | None = None) -> Any: ...


class Objective(ABC):
    """What one training minimises."""

    @abstractmethod
    def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(what is minimised, the main loss that events report), both scalars in nats, of one batch.

        x (n, C, H, W), y (n,) int64. ``forward`` may be called several times: a distillation reads the same images
        with a teacher too, a sandwich of widths reads them at each width. It keeps no state from batch to batch.
        """


@dataclass(frozen=True)
class ObjectiveSpec(Knobbed, ABC):
    """A subclass is a frozen dataclass of plain values whose annotated fields are its knobs."""

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return False

    def judged_by(self, measure: Measure) -> ObjectiveSpec:
        """The same for a training whose result ``measure`` judges; itself where that changes nothing."""
        return self

    @abstractmethod
    def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
        """Called when a training begins. ``model`` is its own copy, on its device.

        ``others`` are networks by name (a program's snapshots), on the CPU in evaluation mode and not to be changed: an
        objective that follows one of them, such as a teacher, takes a copy to the device of ``model``.
        """

    def begin_on(self, model: nn.Module, network: Network | None, others: Mapping[str, nn.Module]) -> Objective:
        """As :meth:`begin`, for an objective that asks for the capture of ``model`` too; there is one beside hooks."""
        return self.begin(model, others)


@dataclass(frozen=True)
class CrossEntropy(ObjectiveSpec, Objective):
    """With auxiliary classifiers where the network has them. ``smoothing`` of the labels lies in [0, 1)."""

    smoothing: float = 0.0

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return True

    def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
        return self

    def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return training_loss(forward(x), y, self.smoothing)


@dataclass(frozen=True)
class Towards(ObjectiveSpec, Objective):
    """Towards ``measure``, by the loss that goes with it."""

    measure: Measure

    def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
        return self

    def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        measure, output = self.measure, forward(x)
        loss = measure.loss(taken(output, measure.takes).float(), y)
        return loss, loss


def usual(measure: Measure, smoothing: float) -> ObjectiveSpec:
    """What a training minimises where nothing else is said, when its result is judged by ``measure``."""
    return CrossEntropy(smoothing) if measure.decides else Towards(measure)


def training_loss(output: Any, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """(what is minimised, the loss of the main output alone), both scalars in nats.

    Further outputs of the main one's shape are auxiliary classifiers that exist in training mode only. Raises UserError
    where the labels are no classes of images.
    """
    main = main_output(output)
    if labels.is_floating_point() or labels.ndim != 1 or main.ndim != 2:
        raise UserError(
            "This trains with the classes of images, and these images have none. Choose fine-tuning, or distillation "
            "without labels."
        )
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    others = [part for part in parts if isinstance(part, Tensor) and part is not main and part.shape == main.shape]
    loss = F.cross_entropy(main.float(), labels, label_smoothing=smoothing)
    total = loss
    for part in others:
        total = total + AUXILIARY * F.cross_entropy(part.float(), labels, label_smoothing=smoothing)
    return total, loss
