"""Hooks: how a pruning method takes part in a training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, eq=False)
class Moment:
    """Where the training stands: ``epoch`` counts from 1, ``step`` of ``steps`` in this epoch; ``done`` in [0, 1]."""

    model: nn.Module
    epoch: int
    step: int
    steps: int
    done: float
    rate: float


class Hook:
    """Override what is needed. A hook edits gradients, masks and parameters, and nothing else.

    ``start`` and ``stop`` frame the training; ``stop`` is called exactly once for every ``start``, also after an error
    or a cancel, and takes away whatever ``start`` put on the model.
    """

    def start(self, model: nn.Module) -> None:
        """Before the first step; ``model`` is the training's own copy."""

    def epoch_start(self, moment: Moment) -> None:
        """Before the first batch of an epoch."""

    def after_backward(self, moment: Moment) -> None:
        """Gradients are there, the step is not yet made: add penalties, mask gradients."""

    def after_step(self, moment: Moment) -> None:
        """Parameters have moved: re-apply masks."""

    def epoch_end(self, moment: Moment) -> None:
        """After the last batch, before the epoch is evaluated: soft pruning, new masks."""

    def stop(self, model: nn.Module) -> None:
        """The training is over, however it ended."""
