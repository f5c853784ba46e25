"""What a training reports while it runs. ``tag`` tells several trainings of one run apart. Without torch."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.measuring.measures import TOP1, Accuracy
from pruning_core.training.watch import Watched


@dataclass(frozen=True)
class Step:
    """Inside an epoch, several times a second.

    ``loss`` is the moving average of the training loss (nats), ``position`` counts epochs with their fraction (1.5 is
    half-way through the second), ``done`` is the share of the whole training in [0, 1]. ``penalty`` is what hooks add
    to the loss, averaged alike; None where no hook adds anything.
    """

    epoch: int
    position: float
    done: float
    loss: float
    rate: float
    images_per_s: float
    seconds_left: float
    tag: str = ""
    penalty: float | None = None


@dataclass(frozen=True)
class Checking:
    """While an epoch is evaluated: ``images`` of ``total`` seen."""

    epoch: int
    images: int
    total: int
    tag: str = ""


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch; epoch 0 is the network before training, which has no training loss.

    ``top1`` (the value of ``measure``), ``top5``, ``low``, ``high``, ``loss`` were measured on ``images`` test images.
    ``chosen_by`` is the figure that decides which weights are kept, higher is better (minus the value of a measure of
    which less is better), measured on the data named by the outcome; ``improved`` says that these weights
    are the ones to keep so far. ``penalty`` is the mean of what hooks added to the loss; None where none added any.
    ``watched`` is what they let a person see.
    """

    epoch: int
    train_loss: float | None
    top1: float
    top5: float | None
    low: float
    high: float
    loss: float
    images: int
    chosen_by: float
    improved: bool
    rate: float
    images_per_s: float
    seconds: float
    tag: str = ""
    penalty: float | None = None
    watched: tuple[Watched, ...] = ()
    measure: str = TOP1

    def accuracy(self, dataset: str) -> Accuracy:
        """What was measured on the test images, which are called ``dataset``; ``seconds`` are those since the start."""
        return Accuracy(
            self.top1, self.top5, self.loss, self.images, self.low, self.high, self.images, dataset, self.seconds,
            self.measure,
        )  # fmt: skip


@dataclass(frozen=True)
class TrainOutcome:
    """The end of a training: which weights were kept, and what they do on the test images.

    ``chosen_on`` says in words which data decided. ``start_top1`` is the test accuracy before training.
    """

    epoch: int
    epochs: int
    top1: float
    top5: float | None
    low: float
    high: float
    images: int
    start_top1: float
    chosen_on: str
    seconds: float
    device: str
    seed: int
    tag: str = ""
    measure: str = TOP1


TrainEvent = Step | Checking | Epoch | TrainOutcome
