"""The loss of networks with one or several outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from pruning_core.measuring.forward import main_output

AUXILIARY = 0.3  # weight of an auxiliary classifier (Szegedy et al., Going deeper with convolutions, 2015)


def training_loss(output: Any, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """(what is minimised, the loss of the main output alone), both scalars in nats.

    Further outputs of the main one's shape are auxiliary classifiers that exist in training mode only.
    """
    main = main_output(output)
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else ()
    others = [part for part in parts if isinstance(part, Tensor) and part is not main and part.shape == main.shape]
    loss = F.cross_entropy(main.float(), labels, label_smoothing=smoothing)
    total = loss
    for part in others:
        total = total + AUXILIARY * F.cross_entropy(part.float(), labels, label_smoothing=smoothing)
    return total, loss
