"""Everything the probe found out about a network: weights, activations, gradients."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.graph import Network
from pruning_core.probe.activity import Activity, Spot
from pruning_core.probe.differentiation import Slopes
from pruning_core.probe.flow import positive_flow
from pruning_core.probe.objectives import CLASSES, Objective, Task
from pruning_core.probe.shadow import shadow
from pruning_core.probe.site import Asking, Need

ACTIVITY = Need.MOMENTS | Need.MAPS | Need.SAMPLES


class Evidence:
    """Runs a stand-in of the model once over the images, and a second time only where curvature is asked for."""

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        criteria: Sequence[Asking],
        data: Dataset | None,
        batch_size: int,
        seed: int,
        task: Task = CLASSES,
    ) -> None:
        self.model, self.network, self.data = model, network, data
        self.batch_size, self.seed, self.task = batch_size, seed, task
        self.images = len(data) if data is not None else 0
        self.gradients = any(c.needs.gradients and c.objective.reads_images for c in criteria)
        self.stand_in = shadow(model, gradients=self.gradients)
        self.tensors: dict[str, Tensor] = {
            **dict(self.stand_in.named_parameters()),
            **dict(self.stand_in.named_buffers()),
        }
        self.activity = Activity(network.groups, self.tensors, criteria, seed)
        objectives = dict.fromkeys(c.objective for c in criteria if c.needs.gradients)
        self.slopes: dict[Objective, Slopes] = {
            o: Slopes(o, network.groups, self.tensors, criteria, task) for o in objectives if o.reads_images
        }
        self._flows = [o for o in objectives if not o.reads_images]
        self._active = [c for c in criteria if c.needs & ACTIVITY]
        self._network_seconds = 0.0
        self._flow_seconds = 0.0
        weight = next((p for p in self.stand_in.parameters() if p.is_floating_point()), torch.empty(0))
        self.device, self.dtype = weight.device, weight.dtype

    def batches(self, images: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """(x, labels) on the model's device, the same every time; only the first ``images`` where that is not 0."""
        assert self.data is not None
        indices = range(min(images, self.images)) if images else None
        return self.data.batches(self.batch_size, self.device, self.dtype, indices)

    def gather(self) -> Iterator[tuple[int, int]]:
        """Run the passes; yields (batches done, batches in all) after each."""
        for objective in self._flows:
            began = time.perf_counter()
            self.slopes[objective] = positive_flow(self.model, self.network, objective)
            self._flow_seconds += time.perf_counter() - began
        if self.data is None or not (self._active or self.slopes.keys() - set(self._flows)):
            return
        bending = [s for s in self.slopes.values() if s.needs & (Need.CURVATURE | Need.PUSH)]
        count = -(-self.images // self.batch_size)
        total = count * (2 if bending else 1)
        for done, (x, labels) in enumerate(self.batches(), 1):
            self._probe(x, labels)
            yield done, total
        for done, (x, labels) in enumerate(self.batches() if bending else (), count + 1):
            for slopes in bending:
                slopes.bend(self.stand_in, x, labels, len(x) / self.images, self.seed + 1009 * done)
            yield done, total

    def _probe(self, x: Tensor, labels: Tensor) -> None:
        began, inside = time.perf_counter(), sum(self.activity.seconds.values())
        with (
            torch.set_grad_enabled(self.gradients),
            self.activity.watch() if self._active else contextlib.nullcontext(),
        ):
            output = self.stand_in(x)
        self._network_seconds += time.perf_counter() - began - (sum(self.activity.seconds.values()) - inside)
        reading = [s for o, s in self.slopes.items() if o.reads_images]
        for n, slopes in enumerate(reading, 1):
            slopes.differentiate(output, labels, len(x) / self.images, keep_graph=n < len(reading))

    def observed(self, criterion: Asking, spot: Spot) -> Tensor | None:
        """(C,) what the criterion measured there, averaged over images or batches."""
        if Need.MAPS in criterion.needs:
            found = self.activity.measured[criterion].get(spot)
        elif Need.BATCH_GRADIENTS in criterion.needs:
            found = self.slopes[criterion.objective].per_batch[criterion].get(spot)
        else:
            return None
        return None if found is None else found.total / found.count

    def seconds(self, criterion: Asking) -> float:
        """What the passes would have cost for this criterion alone."""
        needs, spent = criterion.needs, 0.0
        if needs & ACTIVITY or (needs.gradients and criterion.objective.reads_images):
            spent += self._network_seconds
        spent += sum(self.activity.seconds[n] for n in (Need.MOMENTS, Need.SAMPLES) if n in needs)
        spent += self.activity.seconds[criterion]
        if needs.gradients and criterion.objective.reads_images:
            slopes = self.slopes[criterion.objective]
            spent += slopes.seconds[Need.GRADIENT] + slopes.seconds[criterion]
            spent += sum(slopes.seconds[n] for n in (Need.CURVATURE, Need.PUSH) if n in needs)
        elif needs.gradients:
            spent += self._flow_seconds
        return spent
