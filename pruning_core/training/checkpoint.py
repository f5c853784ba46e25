"""Where a training stands, complete enough to go on as if it had never stopped."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import inf, isnan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.storage.artifacts import replacing
from pruning_core.training.events import Epoch


@dataclass(frozen=True, eq=False)
class Best:
    """The weights that are kept so far (on the CPU), and the epoch they come from. ``loss`` breaks ties."""

    state: dict[str, Tensor]
    epoch: Epoch
    loss: float

    def beaten_by(self, score: float, loss: float) -> bool:
        """Accuracy decides, then the loss; the start is one of those to be beaten. A loss that is no number loses."""
        return (score, -_or_infinite(loss)) > (self.epoch.chosen_by, -_or_infinite(self.loss))


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """After ``step`` batches of ``epoch`` (counting from 1) and ``seconds`` of work. Hooks keep no state in it."""

    epoch: int
    step: int
    steps: int
    seconds: float
    start_top1: float
    loss_sum: float
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    best: Best

    @property
    def position(self) -> float:
        """Epochs done, with their fraction."""
        return self.epoch - 1 + self.step / self.steps

    def save(self, path: Path) -> None:
        """Completely or not at all."""
        with replacing(path) as file:
            torch.save(dataclasses.asdict(self), file)

    @staticmethod
    def load(path: Path) -> Checkpoint | None:
        """The checkpoint, or None where there is none that can be read."""
        try:
            fields = torch.load(path, map_location="cpu", weights_only=True)
            best = fields.pop("best")
            return Checkpoint(**fields, best=Best(best["state"], Epoch(**best["epoch"]), best["loss"]))
        except (OSError, RuntimeError, KeyError, TypeError, EOFError):
            return None


def _or_infinite(loss: float) -> float:
    return inf if isnan(loss) else loss


def copied(model: nn.Module) -> dict[str, Tensor]:
    """The state of ``model`` on the CPU, in tensors of its own."""
    state = {}
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor):
            state[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return state
