"""What a network says of every image, as a run: what that is worth, and what it says of each of them as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.measuring.answers import Answers, compared
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.marks import Marks
from pruning_core.measuring.measures import TOP1, Accuracy, Drop
from pruning_core.measuring.registry import named
from pruning_core.runs.events import Event, Stage
from pruning_core.runs.narrate import throttled
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.arrays import put_arrays, stored_arrays
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted, the_model, the_split
from pruning_core.zoo import ModelRef
from pruning_core.zoo.titles import called

UNREADABLE = "The stored answers cannot be read. Measure them again."


@dataclass(frozen=True)
class Answered:
    """All images were seen; ``digest`` names the file of the answers.

    Where they are right or wrong ``read_answers`` reads it, elsewhere ``read_marks``.
    """

    accuracy: Accuracy
    digest: str

    @property
    def of_classes(self) -> bool:
        """Whether each answer names a class and is right or wrong."""
        return self.accuracy.measure == TOP1


@dataclass(frozen=True)
class AnswersRun(RunSpec):
    """What ``model`` says of the split that ``data`` names: partial Accuracy events, then one ``Answered``."""

    kind: ClassVar[str] = "answers"
    unasked: ClassVar[bool] = True
    model: ModelRef
    data: DataRef
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"Answers of {called(self.model)} on {self.data.name}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.model, workspace)
        data = yield from the_split(self.data, workspace)
        data = fitted(data, self.data, loaded)
        yield Stage("evaluating")
        tally, accuracy = Tally(data), None
        for accuracy in throttled(tally.add(batch) for batch in predicting(loaded.model, data, device=self.device)):
            yield accuracy
        assert accuracy is not None  # no data set is empty
        if accuracy.measure != TOP1:
            yield Answered(accuracy, write_marks(workspace, tally.marks))
            return
        best = tally.scores.softmax(1).max(1)
        predicted, labels = best.indices.int().numpy(), data.labels.cpu().int().numpy()
        yield Answered(accuracy, write_answers(workspace, Answers(predicted, best.values.float().numpy(), labels)))

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a few seconds of work: simpler to begin again


def write_answers(workspace: Workspace, answers: Answers) -> str:
    """The digest of the stored file."""
    return put_arrays(workspace.artifacts, vars(answers))


def read_answers(workspace: Workspace, digest: str, classes: int) -> Answers:
    """Raises UserError when the file is gone or damaged, or names a class beyond ``classes``: a child wrote it."""
    with stored_arrays(workspace.artifacts, digest, UNREADABLE) as file:
        predicted, confidence, labels = (file[name] for name in ("predicted", "confidence", "labels"))
        for numbers in (predicted, labels):
            if numbers.dtype != np.int32 or numbers.ndim != 1 or numbers.min() < 0 or numbers.max() >= classes:
                raise ValueError("no class numbers")
        if confidence.dtype != np.float32 or confidence.ndim != 1:
            raise ValueError("no shares")
        return Answers(predicted, confidence, labels)


def write_marks(workspace: Workspace, marks: Marks) -> str:
    """The digest of the stored file."""
    return put_arrays(workspace.artifacts, {"rows": marks.rows.double().numpy()})


def read_marks(workspace: Workspace, answered: Answered) -> Marks:
    """What each image adds to the measure. Raises UserError when the file is gone or damaged: a child wrote it."""
    with stored_arrays(workspace.artifacts, answered.digest, UNREADABLE) as file:
        (rows,) = file.values()
        if rows.dtype != np.float64 or rows.ndim != 2 or len(rows) != answered.accuracy.images:
            raise ValueError("no row for each image")
        return Marks(named(answered.accuracy.measure), torch.from_numpy(rows))


def worse(workspace: Workspace, before: Answered, after: Answered, classes: int) -> Drop:
    """How much worse ``after`` is, paired, image by image. Raises UserError where a file of answers cannot be read, or
    the two were measured by something else."""
    if before.accuracy.measure != after.accuracy.measure:
        raise UserError("The two networks were judged by different measures. Measure both again.")
    if before.of_classes:
        return compared(*(read_answers(workspace, each.digest, classes) for each in (before, after)))
    return read_marks(workspace, before).drop(read_marks(workspace, after))
