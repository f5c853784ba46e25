"""Fine-tuning as a run: the pruned network and, as a control, the unpruned one with the same settings."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.measuring.device import choose_device
from pruning_core.methods.perform import Broken, Done, perform
from pruning_core.methods.phases import Phase, Train
from pruning_core.methods.place import Keeper, Place
from pruning_core.methods.recoveries import Recovery, Tuning, phases_of
from pruning_core.methods.state import Origin, Setup, Snap, State
from pruning_core.methods.zeros import ZerosStay
from pruning_core.runs.events import Artifact, Event, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted, the_model
from pruning_core.studies.sensitivity import captured
from pruning_core.studies.several import Together
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Epoch, Step, TrainOutcome
from pruning_core.work import told
from pruning_core.zoo import LoadedModel, ModelRef, load_model, store_weights
from pruning_core.zoo.rebuilt import EDITS, edits_of
from pruning_core.zoo.titles import called

PRUNED, CONTROL = "pruned", "control"
SAFETENSORS = "application/x-safetensors"


@dataclass(frozen=True)
class FineTuneRun(RunSpec):
    """Train ``model``; with ``control`` also the network it was cut from, with the same settings and images.

    Training events are tagged "pruned" or "control" (a network that was not pruned is a control). For each of them one
    TrainOutcome, and the artifact "<tag> weights": the best weights as safetensors, also when the run was stopped.
    Weights are chosen on the held-out split of ``data``; accuracies are those of its test split.

    ``recoveries`` is what is done to the pruned network, the last of them a training. Mending begins with the weights
    of the network it was cut from, whatever was trained since; that network is also whom a distillation follows. The
    control is trained with labels in any case. With ``zeros`` the weights of the pruned network that are exactly zero
    stay zero, as a method left them.
    """

    kind: ClassVar[str] = "fine-tune"
    version: ClassVar[int] = 2  # since the weights from before training are kept where no epoch beats them
    model: ModelRef
    data: DataRef
    config: FineTune = field(default_factory=FineTune)
    control: bool = False
    recoveries: tuple[Recovery, ...] = (Tuning(),)
    zeros: bool = False

    @property
    def title(self) -> str:
        return f"Fine-tuning of {called(self.model)} on {self.data.name}"

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

    def phases(self, tag: str) -> tuple[Phase, ...]:
        """What is done to the network called ``tag``. Raises UserError when that does not end in its only training."""
        if tag == CONTROL:
            return (Train(),)
        if [each.trains for each in self.recoveries] != [False] * (len(self.recoveries) - 1) + [True]:
            raise UserError("A fine-tuning is one training, after what mends the network. Choose one training.")
        found = phases_of(self.recoveries)
        if self.zeros:
            found = tuple(replace(p, hooks=(*p.hooks, ZerosStay())) if isinstance(p, Train) else p for p in found)
        return tuple(replace(phase, name=f"the {tag} network" if len(found) > 1 else "") for phase in found)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        finished = _finished(past)
        train, test = yield from both_splits(self.data, workspace)
        train.check_trainable()
        fit, held_out = hold_out(train, self.data)
        for tag, ref in self.networks:
            if tag not in finished:
                yield from self._train(tag, ref, (fit, held_out, test), workspace)

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """Everything of a network that is finished, and of the other what its checkpoint has seen."""
        finished = _finished(past)
        positions = {}
        for tag, _ in self.networks:
            place = Place.load(self._file(workspace, tag))
            positions[tag] = place.epochs(len(self.phases(tag)) - 1) if place else -1.0

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
            place = Place.load(self._file(workspace, tag)) if tag not in _finished(past) else None
            if place is not None and place.training is not None:
                yield _artifact(tag, place.training.best.state, workspace)

    def _train(
        self, tag: str, ref: ModelRef, data: tuple[Dataset, Dataset, Dataset], workspace: Workspace
    ) -> Iterator[Event]:
        loaded = yield from the_model(ref, workspace)
        fit, held_out, test = (fitted(part, self.data, loaded) for part in data)
        yield Stage(f"training the {tag} network" if self.control else "training")

        def say(event: Event) -> Iterator[Event]:
            match event:
                case Done(state=state, outcome=TrainOutcome() as outcome):
                    yield _artifact(tag, state.model.state_dict(), workspace)
                    yield replace(outcome, tag=tag)
                case Broken(best=best):
                    yield _artifact(tag, best.state, workspace)
                case Step():
                    yield replace(together.placed(event, before, own), tag=tag)
                case Checking() | Epoch():
                    yield replace(event, tag=tag)
                case _:
                    yield event

        control = self._control_in_proportion(loaded, workspace) if len(self.networks) > 1 else 0.0
        before, own = (1.0, control) if control and tag == CONTROL else (0.0, 1.0)
        together = Together(1.0 + control)
        phases = self.phases(tag)
        state = yield from self._begun(ref, loaded, phases, workspace)
        setup = Setup(fit, fit, held_out, test, self.config, self.config.seed, self.config.device)
        keeper = Keeper(self._file(workspace, tag))
        yield from told(perform(phases, state, setup, keeper), say)

    def _begun(
        self, ref: ModelRef, loaded: LoadedModel, phases: tuple[Phase, ...], workspace: Workspace
    ) -> Generator[Event, None, State]:
        """The network itself; with whom it was cut from where that is looked at."""
        example = torch.zeros(1, *loaded.input_size)
        if ref.base is None or phases == (Train(),):
            return State.begun(loaded.model, example)
        whole = yield from the_model(ref.base, workspace)
        if ref.source == "rebuilt":
            return State(Origin(whole.model, example), loaded.model, edits=edits_of(dict(ref.options)[EDITS]))
        plan, uncut = Plan.from_json(ref.plan), Snap(whole.model, Plan())
        return State(Origin(whole.model, example), loaded.model, plan, uncut=uncut)

    def _control_in_proportion(self, loaded: LoadedModel, workspace: Workspace) -> float:
        """How long the control takes, as a multiple of the pruned network: by MACs, or as long under a time limit."""
        if not self.config.epochs:
            return 1.0
        (_, pruned), (_, control) = self.networks
        first, second = (loaded if ref == loaded.ref else load_model(ref, workspace) for ref in (pruned, control))
        return captured(second).cost().macs / max(1, captured(first).cost().macs)

    def _file(self, workspace: Workspace, tag: str) -> Path:
        return workspace.scratch(self.key) / f"{tag}.pt"


def _finished(past: tuple[Event, ...]) -> frozenset[str]:
    """Tags of the trainings that came to their end."""
    return frozenset(event.tag for event in past if isinstance(event, TrainOutcome))


def _artifact(tag: str, state: dict[str, Tensor], workspace: Workspace) -> Artifact:
    return Artifact(_weights(tag), store_weights(state, workspace), SAFETENSORS)


def _weights(tag: str) -> str:
    return f"{tag} weights"
