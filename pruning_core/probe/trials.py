"""Trying other weights in front of a group, for criteria that select step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.graph import Member
from pruning_core.probe.objectives import CLASSES, TASK_LOSS, Task
from pruning_core.probe.places import put_rows, rows
from pruning_core.probe.readings import Reading, Readings
from pruning_core.probe.shadow import shadow
from pruning_core.probe.site import Trial

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]


class NetworkTrial(Trial):
    """Replaces the slices of the members' weights in a copy of the network.

    The loss is that of :meth:`loss`, plus for every layer concerned half the mean squared change of its output.
    """

    def __init__(self, model: nn.Module, members: Sequence[Member], batches: Batches, task: Task = CLASSES) -> None:
        names = {m.parameter for m in members}
        self.model = shadow(model, gradients=True, change=lambda name, value: value.clone() if name in names else value)
        tensors = dict(self.model.named_parameters())
        self.weights = {name: tensors[name] for name in names}
        self.members = members
        self.batches, self.task = batches, task
        self.before: list[dict[str, Tensor]] = []
        for x, _ in batches():
            with torch.no_grad():
                self.before.append(self._run(x)[1])

    def loss(self, output: object, labels: Tensor) -> Tensor:
        """The task's loss of what the network has just returned; a subclass may look elsewhere."""
        return TASK_LOSS.loss(output, labels, self.task)

    def _run(self, x: Tensor) -> tuple[object, dict[str, Tensor]]:
        outputs: dict[str, Tensor] = {}

        def note(name: str, reading: Reading) -> None:
            outputs[name] = reading.output

        with Readings(self.weights, note):
            return self.model(x), outputs

    def gradient(self, weight: Tensor) -> Tensor:
        with torch.no_grad():
            parts = weight.split([rows(self.weights[m.parameter], m).shape[1] for m in self.members], dim=1)
            for member, part in zip(self.members, parts):
                put_rows(self.weights[member.parameter].data, member, part)
        total: dict[str, Tensor] = {}
        images = 0
        for (x, labels), before in zip(self.batches(), self.before):
            with torch.enable_grad():
                output, outputs = self._run(x)
                loss = self.loss(output, labels)
                # in place operations may have changed what a layer wrote; the copy in ``before`` saw the same ones
                for name, now in outputs.items():
                    loss = loss + F.mse_loss(now, before[name]) / 2
                found = torch.autograd.grad(loss, list(self.weights.values()), allow_unused=True)
            for name, gradient in zip(self.weights, found):
                if gradient is not None:
                    total[name] = total.get(name, 0) + gradient * len(x)
            images += len(x)
        zero = {n: torch.zeros_like(w) for n, w in self.weights.items() if n not in total}
        return torch.cat([rows({**total, **zero}[m.parameter] / images, m) for m in self.members], 1).double()
