"""Which memory layout a network trains faster in on this machine: measured before a training is set up, never in one.

A run that measured by itself could come out in either layout, and two runs of one spec would differ by rounding.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median

from torch import nn

from pruning_core.datasets.dataset import Dataset
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.registry import measure_of
from pruning_core.training.batches import shuffled
from pruning_core.training.begun import Company
from pruning_core.training.config import CHANNELS_LAST, CONTIGUOUS, LAYOUTS, FineTune
from pruning_core.training.hooks import Moment
from pruning_core.training.learner import Learner, Unviewable
from pruning_core.training.loss import usual
from pruning_core.training.memory import LOOKED_AT, check_memory

IMAGES = 32  # of a batch, where the training's own batches are not smaller
ROUNDS, WARM_UP, LEAST = 9, 2, 3
SECONDS = 3.0  # after which no further round begins
WORTH = 1.05  # channels-last must be that many times as fast: below it a busy machine decides


@dataclass(frozen=True)
class Layout:
    """``name`` as ``FineTune.layout`` takes it. ``gain``: how many times as fast as contiguous channels-last trained,
    the median of ``rounds`` in which both took turns; None where the network cannot be trained channels-last.
    """

    name: str
    gain: float | None
    rounds: int
    images: int


def measured_layout(model: nn.Module, data: Dataset, config: FineTune) -> Layout | None:
    """Steps on one batch of ``data`` by copies of ``model``, in turns; None where there is nothing to choose.

    That is on a GPU, in bfloat16, and where the inputs are no pictures. Raises UserError for what cannot be trained.
    """
    device = choose_device(config.device)
    if device != "cpu" or config.mixed(device) or not data.pictures:
        return None
    data.check_trainable()
    config = replace(config, batch_size=min(config.batch_size, IMAGES))
    check_memory(model, data.normalised(data.images[:LOOKED_AT]), config)
    with ExitStack() as stack:
        steps = {layout: _Steps(model, data, replace(config, layout=layout), stack) for layout in LAYOUTS}
        began, gains = time.perf_counter(), list[float]()
        try:
            for number in range(WARM_UP + ROUNDS):
                order = LAYOUTS if number % 2 else LAYOUTS[::-1]
                took = {layout: steps[layout].taken(number) for layout in order}
                if number >= WARM_UP:
                    gains.append(took[CONTIGUOUS] / took[CHANNELS_LAST])
                if len(gains) >= LEAST and time.perf_counter() - began > SECONDS:
                    break
        except Unviewable:
            return Layout(CONTIGUOUS, None, 0, config.batch_size)
    gain = median(gains)
    return Layout(CHANNELS_LAST if gain >= WORTH else CONTIGUOUS, gain, len(gains), config.batch_size)


class _Steps:
    """One copy of the network, which learns from the same batch again and again."""

    def __init__(self, model: nn.Module, data: Dataset, config: FineTune, stack: ExitStack) -> None:
        self.x, self.y = next(iter(shuffled(data, config.batch_size, "none", config.seed, 1, "cpu")))
        self.learner = Learner(model, config, "cpu")
        company = Company((), None, usual(measure_of(data), config.label_smoothing), {})
        self.learner.equip(*company.begin(self.learner.model, stack))
        self.moment = Moment(self.learner.model, 1, 0, 1, 0.0, config.rate(0.0))

    def taken(self, number: int) -> float:
        """Seconds of one step, the loss waited for."""
        began = time.perf_counter()
        loss, _ = self.learner.learn(self.x, self.y, self.moment, number)
        float(loss)
        return time.perf_counter() - began
