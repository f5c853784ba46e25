"""Runs that measure a network as it is: its accuracy and its latency."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pruning_core.datasets import DataRef
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.latency import LEAST, measuring_latency
from pruning_core.runs.events import Artifact, Event, Stage
from pruning_core.runs.narrate import throttled
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted, the_model, the_split
from pruning_core.zoo import ModelRef

CORRECT = "correct.npy"


@dataclass(frozen=True)
class EvaluateRun(RunSpec):
    """The accuracy of ``model`` on the split that ``data`` names: partial Accuracy events, the last one complete.

    ``images`` random ones by ``seed`` (default: all). Which images were right is kept as the artifact "correct.npy"
    (``read_correct``), so that two networks can be compared image by image (``paired_drop``).
    """

    kind: ClassVar[str] = "evaluate"
    unasked: ClassVar[bool] = True
    model: ModelRef
    data: DataRef
    images: int | None = None
    seed: int = 0
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"Accuracy of {self.model.name} on {self.data.name}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.model, workspace)
        data = yield from the_split(self.data, workspace)
        if self.images is not None:
            data = data.subset(self.images, self.seed)  # before resizing, which takes memory for every image
        data = fitted(data, self.data, loaded)
        yield Stage("evaluating")
        tally = Tally(data)
        batches = predicting(loaded.model, data, device=self.device, seed=self.seed)
        yield from throttled(tally.add(batch) for batch in batches)
        yield Artifact(CORRECT, workspace.artifacts.put(_packed(tally.correct)), "application/octet-stream")

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a few seconds of work: simpler to begin again


@dataclass(frozen=True)
class LatencyRun(RunSpec):
    """The latency of ``model``: partial Latency events, the last one over all ``passes``."""

    kind: ClassVar[str] = "latency"
    unasked: ClassVar[bool] = True
    model: ModelRef
    batch_size: int = 1
    passes: int = LEAST
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"Latency of {self.model.name}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.model, workspace)
        yield Stage("timing")
        passes = measuring_latency(
            loaded.model, loaded.input_size, batch_size=self.batch_size, runs=self.passes, device=self.device
        )
        yield from throttled(passes)

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()


def read_correct(workspace: Workspace, digest: str) -> Tensor:
    """bool (N,): which images were right, in the order of the evaluated images. Raises UserError when it is gone."""
    return torch.from_numpy(np.load(io.BytesIO(workspace.artifacts.read(digest)), allow_pickle=False))


def _packed(correct: Tensor) -> bytes:
    file = io.BytesIO()
    np.save(file, correct.numpy())
    return file.getvalue()
