"""The settings of a fine-tuning, each a typed knob."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Annotated

from pruning_core.errors import UserError
from pruning_core.knobs import Choice, Range, check_knobs

CONTIGUOUS, CHANNELS_LAST = LAYOUTS = ("contiguous", "channels-last")


@dataclass(frozen=True)
class FineTune:
    """Training ends after ``epochs`` or after ``minutes``, whichever comes first; 0 means no such limit.

    ``weight_decay`` is added to the gradient by SGD and decoupled in AdamW; ``momentum`` is for SGD. ``warm_up`` is a
    share of the training; its first step has a hundredth of the learning rate. ``precision`` is that of the products
    in the network; weights, batch-norm statistics and the optimizer stay in float32, and so does every measurement.
    ``layout`` is how pictures lie in memory: which one trains faster depends on network and machine
    (:func:`pruning_core.training.layout.measured_layout`), both give the same but for rounding, and for which
    values a dropout on feature maps draws.
    ``device`` is "auto", "cpu" or "cuda:0". Raises UserError for a value out of range, or when nothing would end the
    training.
    """

    epochs: Annotated[int, Range(0, 1000, "Epochs", step=1, help="0: no limit, the minutes decide")] = 5
    minutes: Annotated[float, Range(0, 1440, "Minutes", help="0: no limit, the epochs decide")] = 0.0
    lr: Annotated[float, Range(1e-6, 1.0, "Learning rate", log=True)] = 0.01
    optimizer: Annotated[str, Choice(("sgd", "adamw"), "Optimizer")] = "sgd"
    momentum: Annotated[float, Range(0.0, 0.99, "Momentum", help="of SGD (Nesterov's form)")] = 0.9
    weight_decay: Annotated[float, Range(0.0, 0.1, "Weight decay")] = 5e-4
    batch_size: Annotated[int, Range(2, 4096, "Batch size", step=1)] = 64
    schedule: Annotated[
        str,
        Choice(
            ("cosine", "constant", "step"),
            "Learning rate schedule",
            help="step: a tenth after one half and again after three quarters",
        ),
    ] = "cosine"
    label_smoothing: Annotated[float, Range(0.0, 0.5, "Label smoothing")] = 0.0
    augment: Annotated[
        str,
        Choice(
            ("none", "shift", "shift and flip"), "Augmentation", help="do not flip digits or text: a mirrored 2 is none"
        ),
    ] = "none"
    seed: Annotated[int, Range(0, 2**31 - 1, "Seed", step=1)] = 0
    warm_up: Annotated[
        float, Range(0.0, 0.5, "Warm-up", help="share of the training in which the learning rate rises")
    ] = 0.0
    precision: Annotated[
        str, Choice(("auto", "float32", "bfloat16"), "Precision", help="auto: bfloat16 on a GPU, float32 on a CPU")
    ] = "auto"
    layout: Annotated[str, Choice(LAYOUTS, "Memory layout", help="the same but for rounding")] = CONTIGUOUS
    device: str = "auto"

    def __post_init__(self) -> None:
        try:
            check_knobs(self)
        except ValueError as error:
            raise UserError(f"This training cannot be set up: {error}.") from error
        if self.epochs == 0 and self.minutes == 0:
            raise UserError("Nothing would end this training. Set a number of epochs or of minutes.")

    def mixed(self, device: str) -> bool:
        """Whether products are computed in bfloat16 on that device."""
        return self.precision == "bfloat16" or (self.precision == "auto" and device.startswith("cuda"))

    def channels_last(self, device: str) -> bool:
        """Whether pictures lie channels-last there: where that was asked for, and wherever products are bfloat16."""
        return self.layout == CHANNELS_LAST or self.mixed(device)

    def done(self, epochs: float, seconds: float) -> float:
        """The share of the training, in [0, 1], that is done after so many epochs and seconds."""
        by_epochs = epochs / self.epochs if self.epochs else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_epochs, by_time))

    def rate(self, done: float) -> float:
        """The learning rate at that share of the training."""
        if done < self.warm_up:
            return self.lr * (0.01 + 0.99 * done / self.warm_up)
        done = (done - self.warm_up) / (1 - self.warm_up)
        match self.schedule:
            case "cosine":
                return self.lr * 0.5 * (1 + cos(pi * done))
            case "step":
                return self.lr * (1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01)
            case _:
                return self.lr
