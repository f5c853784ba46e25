"""Runs that measure a network as it is: its accuracy and its latency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pruning_core.datasets import DataRef
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.latency import LEAST, measuring_latency
from pruning_core.runs.events import Event, Stage
from pruning_core.runs.narrate import throttled
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted, the_model, the_split
from pruning_core.zoo import ModelRef
from pruning_core.zoo.titles import called


@dataclass(frozen=True)
class EvaluateRun(RunSpec):
    """The accuracy of ``model`` on the split that ``data`` names: partial Accuracy events, the last one complete.

    ``images`` random ones by ``seed`` (default: all).
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
        return f"How good {called(self.model)} is on {self.data.name}"

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

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a few seconds of work: simpler to begin again


@dataclass(frozen=True)
class LatencyRun(RunSpec):
    """The latency of ``model``, with ``compile`` as torch.compile makes it: the last event is over all ``passes``."""

    kind: ClassVar[str] = "latency"
    unasked: ClassVar[bool] = True
    model: ModelRef
    batch_size: int = 1
    passes: int = LEAST
    device: str = "auto"
    compile: bool = False

    @property
    def title(self) -> str:
        if self.compile:
            return f"Latency, compiled, of {called(self.model)}"
        return f"Latency of {called(self.model)}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.model, workspace)
        yield Stage("compiling and timing" if self.compile else "timing")
        passes = measuring_latency(
            loaded.model,
            loaded.input_size,
            batch_size=self.batch_size,
            runs=self.passes,
            device=self.device,
            compile=self.compile,
        )
        yield from throttled(passes)

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()
