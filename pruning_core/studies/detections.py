"""What a detector finds in a few images, as a run: a person sees whether its outputs are read as they are meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from pruning_core.datasets import DataRef, Dataset
from pruning_core.measuring.detecting import AveragePrecision
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import outputs_for, precision, ready
from pruning_core.measuring.registry import measure_of
from pruning_core.numeric.detections import Detections
from pruning_core.runs.events import Event, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted, the_model, the_split
from pruning_core.zoo import ModelRef
from pruning_core.zoo.titles import called

KEPT = 30  # of one image, by score


@dataclass(frozen=True)
class Detected:
    """In image ``image`` of the split, by falling score: corners as shares of the sides, scores in [0, 1], categories.

    Overlapping boxes of one category are left out, where the network gives any.
    """

    image: int
    boxes: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]
    categories: tuple[int, ...]


@dataclass(frozen=True)
class DetectionsRun(RunSpec):
    """What ``model`` finds in the first ``images`` images of the split that ``data`` names: one ``Detected`` each."""

    kind: ClassVar[str] = "detections"
    unasked: ClassVar[bool] = True
    model: ModelRef
    data: DataRef
    images: int = 4
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"What {called(self.model)} finds on {self.data.name}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.model, workspace)
        judged = dataclasses.replace(self.data, measure=AveragePrecision.key)
        split = first(self.images, (yield from the_split(judged, workspace)))
        data, where = fitted(split, judged, loaded), choose_device(self.device)
        measure = measure_of(data)
        assert isinstance(measure, AveragePrecision) and measure.decoder is not None
        yield Stage("what it finds in the images")
        network = ready(loaded.model, where)
        x = data.normalised(data.images.to(where), precision(network))
        found = measure.decoder.detections(outputs_for(network, x, measure.takes).float().cpu())
        yield from (_of(found, at) for at in range(len(data)))

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a second of work: simpler to begin again


def first(images: int, data: Dataset) -> Dataset:
    """A copy of the first ``images`` images of ``data``, or of all."""
    return dataclasses.replace(data, images=data.images[:images].clone(), labels=data.labels[:images].clone())


def _of(found: Detections, image: int) -> Detected:
    some = min(KEPT, int(torch.count_nonzero(found.classes[image] >= 0)))
    boxes = tuple(tuple(each) for each in found.boxes[image, :some].tolist())
    return Detected(
        image, boxes, tuple(found.scores[image, :some].tolist()), tuple(found.classes[image, :some].tolist())
    )
