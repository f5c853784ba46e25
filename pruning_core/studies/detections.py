"""What a detector finds in a few images, as a run: a person sees whether its outputs are read as they are meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from pruning_core.datasets import DataRef, Dataset
from pruning_core.errors import UserError
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
    """In the image numbered ``image`` of the split, by falling score: corners as shares of the sides, scores in [0, 1],
    and categories.

    Overlapping boxes of one category are left out, where the network gives any.
    """

    image: int
    boxes: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]
    categories: tuple[int, ...]


@dataclass(frozen=True)
class DetectionsRun(RunSpec):
    """What ``model`` finds in the images of these numbers, of the split that ``data`` names: one ``Detected`` each."""

    kind: ClassVar[str] = "detections"
    unasked: ClassVar[bool] = True
    model: ModelRef
    data: DataRef
    images: tuple[int, ...] = (0, 1, 2, 3)
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"What {called(self.model)} finds on {self.data.name}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.model, workspace)
        judged = dataclasses.replace(self.data, measure=AveragePrecision.key)
        split = yield from the_split(judged, workspace)
        numbers = [each for each in self.images if 0 <= each < len(split)]
        if not numbers:
            raise UserError(f"{split.name!r} has no images of these numbers. Look at it again.")
        data, where = fitted(taken_out(split, numbers), judged, loaded), choose_device(self.device)
        measure = measure_of(data)
        assert isinstance(measure, AveragePrecision) and measure.decoder is not None
        yield Stage("what it finds in the images")
        network = ready(loaded.model, where)
        x = data.normalised(data.images.to(where), precision(network))
        found = measure.decoder.detections(outputs_for(network, x, measure.takes).float().cpu())
        yield from (_of(found, at, number) for at, number in enumerate(numbers))

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a second of work: simpler to begin again


def taken_out(data: Dataset, numbers: Sequence[int]) -> Dataset:
    """A copy of the images with these ``numbers``."""
    return dataclasses.replace(data, images=data.images[list(numbers)], labels=data.labels[list(numbers)])


def _of(found: Detections, at: int, number: int) -> Detected:
    some = min(KEPT, int(torch.count_nonzero(found.classes[at] >= 0)))
    boxes = tuple(tuple(each) for each in found.boxes[at, :some].tolist())
    return Detected(number, boxes, tuple(found.scores[at, :some].tolist()), tuple(found.classes[at, :some].tolist()))
