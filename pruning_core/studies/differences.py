"""Two networks of one family layer by layer as a run: how far weights and what layers answer are apart."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from pruning_core.analysis.differing import Family, Kept, LayerDifference, activations, composed
from pruning_core.datasets import DataRef, Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import precision, ready
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted, the_model, the_split
from pruning_core.studies.sensitivity import captured
from pruning_core.zoo import ModelRef
from pruning_core.zoo.titles import called

IMAGES, BATCH = 128, 16


@dataclass(frozen=True)
class DifferencesRun(RunSpec):
    """How far ``other`` is from ``model`` in each layer that both have: one ``LayerDifference`` for each, in order.

    Both were made from one network. Activations are those for ``images`` random images, by ``seed``, of the split that
    ``data`` names.
    """

    kind: ClassVar[str] = "differences"
    unasked: ClassVar[bool] = True
    model: ModelRef
    other: ModelRef
    data: DataRef
    images: int = IMAGES
    seed: int = 0
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"Differences between two networks made from {called(self.model.origin)}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        if self.model.origin != self.other.origin:
            raise UserError("These networks were not made from the same one. Choose two of one tree.")
        where = choose_device(self.device)
        loaded = yield from the_model(self.model, workspace)
        second = yield from the_model(self.other, workspace)
        kept = []
        for ref in (self.model, self.other):
            kept.append((yield from _kept(ref, workspace)))
        family = Family(ready(loaded.model, where), ready(second.model, where), *kept)
        data = yield from the_split(self.data, workspace)
        data = fitted(data.subset(self.images, self.seed), self.data, loaded, judged=False)
        layers = family.layers()
        yield Stage(f"comparing {len(layers)} layers")
        answers: dict[str, float | None] = dict.fromkeys(layers)
        start, batches = time.perf_counter(), -(-len(data) // BATCH)
        for done, found in enumerate(activations(family, layers, _batches(data, where, family)), 1):
            answers = found
            left = (time.perf_counter() - start) / done * (batches - done)
            yield Progress(min(len(data), done * BATCH), len(data), "images", left)
        for layer in layers:
            common, first, weights = family.weight(layer)
            yield LayerDifference(layer, common, first, weights, answers[layer])

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a few seconds of work: simpler to begin again


def _batches(data: Dataset, where: str, family: Family) -> Iterator[Tensor]:
    return (x for x, _ in data.batches(BATCH, where, precision(family.a)))


def _kept(ref: ModelRef, workspace: Workspace) -> Generator[Event, None, Kept]:
    """Which places of its origin's parameters are left in it."""
    steps = []
    while ref.base is not None:
        if ref.source == "pruned":
            base = yield from the_model(ref.base, workspace)
            steps.append(captured(base).kept(Plan.from_json(ref.plan)))
        ref = ref.base
    return composed(reversed(steps))
