"""Where a training stands, complete enough to go on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any

from torch import Tensor, nn

from pruning_core.training.events import Epoch
from pruning_core.training.watch import Watched


@dataclass(frozen=True, eq=False)
class Best:
    """The weights that are kept so far (on the CPU), and the epoch they come from. ``loss`` breaks ties.

    ``hooks`` are the states of the hooks at that moment.
    """

    state: dict[str, Tensor]
    epoch: Epoch
    loss: float
    hooks: list[dict[str, Any]] = field(default_factory=list)

    def beaten_by(self, score: float, loss: float) -> bool:
        """Accuracy decides, then the loss; the start is one of those to be beaten. A loss that is no number loses."""
        return (score, -_or_infinite(loss)) > (self.epoch.chosen_by, -_or_infinite(self.loss))


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """After ``step`` batches of ``epoch`` (counting from 1) and ``seconds`` of work.

    ``loss_sum`` and ``penalty_sum`` are over the steps of this epoch; ``hooks`` holds the state of every hook;
    ``ended``: they were told that this epoch is at its end.
    """

    epoch: int
    step: int
    steps: int
    seconds: float
    start_top1: float
    loss_sum: float
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    best: Best
    penalty_sum: float = 0.0
    hooks: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False

    @property
    def position(self) -> float:
        """Epochs done, with their fraction."""
        return self.epoch - 1 + self.step / self.steps

    def plain(self) -> dict[str, Any]:
        """As dictionaries, lists, numbers and tensors: ``torch.load`` reads them without running anything."""
        epoch = self.best.epoch
        watched = [vars(each) for each in epoch.watched]
        return {**vars(self), "best": {**vars(self.best), "epoch": {**vars(epoch), "watched": watched}}}

    @staticmethod
    def of(plain: Mapping[str, Any]) -> Checkpoint:
        """What :meth:`plain` gave. Raises TypeError or KeyError for what was written by another version."""
        best = plain["best"]
        watched = tuple(Watched(**each) for each in best["epoch"]["watched"])
        epoch = Epoch(**{**best["epoch"], "watched": watched})
        return Checkpoint(**{**plain, "best": Best(**{**best, "epoch": epoch})})


def _or_infinite(loss: float) -> float:
    return inf if isnan(loss) else loss


def copied(model: nn.Module) -> dict[str, Tensor]:
    """The state of ``model`` on the CPU, in tensors of its own."""
    state = {}
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor):
            state[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return state
