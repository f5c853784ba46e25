"""Fine-tuning as a run: the pruned network and, as a control, the unpruned one with the same settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.measuring.device import choose_device
from pruning_core.runs.events import Artifact, Event, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted, the_model
from pruning_core.training.checkpoint import Checkpoint
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch, Step, TrainOutcome
from pruning_core.training.loop import Training, fine_tune
from pruning_core.zoo import ModelRef, store_weights

PRUNED, CONTROL = "pruned", "control"
SAFETENSORS = "application/x-safetensors"
CHECKPOINT_EVERY = 30.0  # seconds; a crash loses no more


@dataclass(frozen=True)
class FineTuneRun(RunSpec):
    """Train ``model``; with ``control`` also the network it was cut from, with the same settings and images.

    Training events are tagged "pruned" or "control" (a network that was not pruned is a control). For each of them one
    TrainOutcome, and the artifact "<tag> weights": the best weights as safetensors, also when the run was stopped.
    Weights are chosen on the held-out split of ``data``; accuracies are those of its test split.
    """

    kind: ClassVar[str] = "fine-tune"
    version: ClassVar[int] = 2  # since the weights from before training are kept where no epoch beats them
    model: ModelRef
    data: DataRef
    config: FineTune = field(default_factory=FineTune)
    control: bool = False

    @property
    def title(self) -> str:
        return f"Fine-tuning of {self.model.name} on {self.data.name}"

    def queue(self) -> str:
        return choose_device(self.config.device)

    @property
    def networks(self) -> tuple[tuple[str, ModelRef], ...]:
        """(tag, network) in the order they are trained."""
        origin = self.model
        while origin.base is not None:
            origin = origin.base
        if origin is self.model:
            return ((CONTROL, origin),)
        return ((PRUNED, self.model), (CONTROL, origin))[: 1 + self.control]

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        finished = _finished(past)
        train, test = yield from both_splits(self.data, workspace)
        fit, held_out = hold_out(train, self.data)
        for tag, ref in self.networks:
            if tag not in finished:
                yield from self._train(tag, ref, (fit, held_out, test), workspace)

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """Everything of a network that is finished, and of the other what its checkpoint has seen."""
        finished = _finished(past)
        positions = {}
        for tag, _ in self.networks:
            checkpoint = Checkpoint.load(self._file(workspace, tag))
            positions[tag] = checkpoint.position if checkpoint else -1.0

        def counts(event: Event) -> bool:
            match event:
                case Artifact(name=name):
                    return any(name == _weights(tag) for tag in finished)
                case TrainOutcome():
                    return True
                case Step(tag=tag, position=position):
                    return tag in finished or position <= positions.get(tag, -1.0)
                case Epoch(tag=tag, epoch=epoch):
                    return tag in finished or epoch <= positions.get(tag, -1.0)
            return False

        return tuple(event for event in past if counts(event))

    def salvage(self, workspace: Workspace, past: tuple[Event, ...]) -> Iterator[Event]:
        """The best weights of a training that was stopped."""
        for tag, _ in self.networks:
            checkpoint = Checkpoint.load(self._file(workspace, tag)) if tag not in _finished(past) else None
            if checkpoint is not None:
                yield _artifact(tag, checkpoint.best.state, workspace)

    def _train(
        self, tag: str, ref: ModelRef, data: tuple[Dataset, Dataset, Dataset], workspace: Workspace
    ) -> Iterator[Event]:
        loaded = yield from the_model(ref, workspace)
        fit, held_out, test = (fitted(part, self.data, loaded) for part in data)
        yield Stage(f"training the {tag} network" if self.control else "training")
        file = self._file(workspace, tag)
        training = fine_tune(loaded.model, fit, test, self.config, held_out=held_out, start=Checkpoint.load(file))
        saved = time.monotonic()
        try:
            for event in training:
                if isinstance(event, TrainOutcome):
                    yield from _kept(tag, training, workspace)
                yield replace(event, tag=tag)
                if time.monotonic() - saved > CHECKPOINT_EVERY:
                    _save(training, file)
                    saved = time.monotonic()
        except GeneratorExit:
            training.close()
            _save(training, file)  # for the resumption, and for ``salvage``
            raise
        except Exception:
            yield from _kept(tag, training, workspace)
            raise

    def _file(self, workspace: Workspace, tag: str) -> Path:
        return workspace.scratch(self.key) / f"{tag}.pt"


def _finished(past: tuple[Event, ...]) -> frozenset[str]:
    """Tags of the trainings that came to their end."""
    return frozenset(event.tag for event in past if isinstance(event, TrainOutcome))


def _save(training: Training, file: Path) -> None:
    checkpoint = training.checkpoint()
    if checkpoint is not None:
        checkpoint.save(file)


def _kept(tag: str, training: Training, workspace: Workspace) -> Iterator[Event]:
    if training.best is not None:
        yield _artifact(tag, training.best.state, workspace)


def _artifact(tag: str, state: dict[str, Tensor], workspace: Workspace) -> Artifact:
    return Artifact(_weights(tag), store_weights(state, workspace), SAFETENSORS)


def _weights(tag: str) -> str:
    return f"{tag} weights"
