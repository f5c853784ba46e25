"""A pruning method as a run: its phases one after the other, measured after each, and both networks in the end."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.shortcuts import Coupled, Shortcuts
from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Cost, Proof
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.gates import counting, gated
from pruning_core.measuring.latency import LEAST, measuring_latency
from pruning_core.measuring.marks import Marks
from pruning_core.measuring.measures import Accuracy, AverageMacs, Latency
from pruning_core.measuring.registry import measure_of
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.perform import Broken, Done, perform
from pruning_core.methods.phases import Apply, Cut, Mask, Phase, Rebuild, settings
from pruning_core.methods.place import Keeper, Place
from pruning_core.methods.refusal import why_not, without_classes
from pruning_core.methods.state import Setup, State
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.sparsity.compressed import compressed
from pruning_core.sparsity.weights import Sparsity
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted, the_model
from pruning_core.studies.sensitivity import captured
from pruning_core.studies.several import Together
from pruning_core.studies.treated import PhaseDone, Standing, Treated
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Epoch, Step
from pruning_core.work import told
from pruning_core.zoo import LoadedModel, ModelRef, store_weights
from pruning_core.zoo.rebuilt import EDITS
from pruning_core.zoo.rebuilt import told as told_edits
from pruning_core.zoo.titles import called


@dataclass(frozen=True)
class MethodRun(RunSpec):
    """Bring ``model`` within ``budget`` by ``method``; ``config`` is shared out among its trainings.

    ``shortcuts`` says what becomes of channels that an addition couples.

    A ``PhaseDone`` after every phase, training events tagged with the number of their phase, one ``Treated`` in the
    end. Weights are chosen on the held-out split of ``data``, all values are those of its test split.
    """

    kind: ClassVar[str] = "method"
    version: ClassVar[int] = 2  # since constants of channels without a scale are handed on
    model: ModelRef
    data: DataRef
    method: Method = field(default_factory=CutAndTrain)
    budget: Budget = field(default_factory=lambda: Budget("macs", fraction=0.5))
    config: FineTune = field(default_factory=FineTune)
    shortcuts: Shortcuts = field(default_factory=Coupled)

    @property
    def title(self) -> str:
        return f"Pruning {called(self.model)}: {self.method.card.name}"

    def queue(self) -> str:
        return choose_device(self.config.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        if self.config.minutes:
            raise UserError("A method shares out epochs and counts the images that it saw. Set epochs, and no minutes.")
        loaded = yield from the_model(self.model, workspace)
        network = self.shortcuts.narrowed(captured(loaded))
        goal = Goal(network, self.budget)
        if obstacle := self.shortcuts.why_not(network) or why_not(self.method, goal, self.config, loaded.model):
            raise UserError(obstacle)
        phases = tuple(self.method.phases(goal))
        train, test = yield from both_splits(self.data, workspace)
        train.check_trainable()
        fit, held_out = hold_out(train, self.data)
        parts = tuple(fitted(part, self.data, loaded) for part in (fit, held_out, test))
        if obstacle := without_classes(phases, measure_of(parts[0])):
            raise UserError(obstacle)
        yield from _Attempt(
            self, workspace, loaded, State.of(loaded.model, network, self.shortcuts), phases, parts, past
        ).run()

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """What lies before the place where it stopped."""
        place = Place.load(self.file(workspace))

        def counts(event: Event) -> bool:
            match event:
                case PhaseDone(number=number):
                    return place is not None and number < place.number
                case Step(tag=tag, position=position):
                    return place is not None and position <= place.epochs(int(tag))
                case Epoch(tag=tag, epoch=epoch):
                    return place is not None and epoch <= place.epochs(int(tag))
            return False

        return tuple(event for event in past if counts(event))

    def file(self, workspace: Workspace) -> Path:
        return workspace.scratch(self.key) / "place.pt"


@dataclass
class _Attempt:
    """The inside of one attempt."""

    spec: MethodRun
    workspace: Workspace
    loaded: LoadedModel
    start: State
    phases: tuple[Phase, ...]
    parts: tuple[Dataset, ...]  # fit, held-out, test
    past: tuple[Event, ...]
    done: list[PhaseDone] = field(default_factory=list)
    proof: Proof | None = None
    since: float = field(default_factory=time.monotonic)
    together: Together | None = None

    def run(self) -> Iterator[Event]:
        self.done = [event for event in self.past if isinstance(event, PhaseDone)]
        fit, held_out, test = self.parts
        config = self.spec.config
        setup = Setup(fit, fit, held_out, test, config, config.seed, config.device)
        keeper = Keeper(self.spec.file(self.workspace))
        end = yield from told(perform(self.phases, self.start, setup, keeper), self._say)
        yield from self._ended(end)

    def _say(self, event: Event) -> Iterator[Event]:
        match event:
            case Done(state=state):
                self.proof = state.removal.proof if state.removal else self.proof
                yield (yield from self._measured(event))
            case Step():
                yield self._placed(event)
            case Checking() | Epoch():
                yield replace(event, tag=self._tag)
            case Broken():
                pass
            case _:
                yield event

    @property
    def _tag(self) -> str:
        return str(len(self.done))

    def _placed(self, event: Step) -> Step:
        """A training event whose share and time left are those of all trainings together."""
        epochs = {number: config.epochs for number, config in settings(self.phases, self.spec.config).items()}
        if len(epochs) == 1:  # it may be timed, and then no epochs are known
            return replace(event, tag=self._tag)
        before = sum(own for number, own in epochs.items() if number < len(self.done))
        self.together = self.together or Together(sum(epochs.values()))
        return replace(self.together.placed(event, before, epochs[len(self.done)]), tag=self._tag)

    def _measured(self, done: Done) -> Generator[Event, None, PhaseDone]:
        test = self.parts[2]
        if done.kept is not None:
            accuracy = done.kept.accuracy(f"{test.name} ({test.split})")
        else:
            yield Stage("measuring accuracy")
            accuracy = (yield from self._tallied(done.state.model))[1]
        cost = _cost(done.state)
        average = yield from self._average(done.state)
        now = time.monotonic()
        seconds, self.since = now - self.since, now
        images = done.outcome.epochs * len(self.parts[0]) if done.outcome else 0
        event = PhaseDone(
            done.number, accuracy, cost.macs, cost.parameters, done.state.plan.to_json(), seconds, images,
            self._sparsity(done.number, done.state), average,
        )  # fmt: skip
        self.done.append(event)
        return event

    def _ended(self, end: State) -> Iterator[Event]:
        network, spec = self.start.network, self.spec
        yield Stage("measuring both networks")
        before, was = yield from self._tallied(self.start.model)
        after, now = yield from self._tallied(end.model)
        then = yield from self._latency(self.start.model)
        later = yield from self._latency(end.model)
        removals = [e for e in self.done if isinstance(self.phases[e.number], Cut | Apply | Mask | Rebuild)]
        cost, sparsity = end.removal.cost if end.removal else _cost(end), self._sparsity(len(self.phases), end)
        skipping = (yield from self._compressed(end)) if sparsity else None
        before_average, average = (yield from self._average(self.start)), (yield from self._average(end))
        yield Treated(
            self._ref(end),
            Standing(was, then, network.cost(), average=before_average),
            Standing(now, later, cost, sparsity, skipping, average),
            removals[-1].accuracy if removals else None,
            before.drop(after),
            self.proof,
            sum(each.images for each in self.done),
            sum(each.seconds for each in self.done),
            tuple(config.seed for config in settings(self.phases, spec.config).values()),
        )

    def _tallied(self, model: nn.Module) -> Generator[Event, None, tuple[Marks, Accuracy]]:
        tally = Tally(self.parts[2])
        for batch in predicting(model, self.parts[2], device=self.spec.config.device):
            seen = tally.add(batch)
            yield Progress(seen.images, seen.total, "images")
        return tally.marks, seen

    def _ref(self, end: State) -> ModelRef:
        weights, base = store_weights(end.model.state_dict(), self.workspace), self.loaded.ref
        if end.edits:
            options = ((EDITS, told_edits(end.edits)),)
            return ModelRef(
                "rebuilt", base.name, weights, options=options, input_size=base.input_size, base=self.spec.model
            )
        plan, size = end.plan.to_json(), base.input_size
        return ModelRef("pruned", base.name, weights=weights, input_size=size, base=self.spec.model, plan=plan)

    def _sparsity(self, number: int, state: State) -> Sparsity | None:
        """Of the network after phase ``number``, once a phase has set weights to zero."""
        masks = any(isinstance(phase, Mask) for phase in self.phases[: number + 1])
        return Sparsity.of(state.model, state.network) if masks else None

    def _compressed(self, end: State) -> Generator[Event, None, Latency | None]:
        if choose_device(self.spec.config.device) == "cpu":
            model = compressed(end.model, end.network)
            if model is not None:
                return (yield from self._latency(model))
        return None

    def _average(self, state: State) -> Generator[Event, None, AverageMacs | None]:
        """What a test image needs where gates open image by image."""
        if not gated(state.model):
            return None
        test = self.parts[2]
        yield Stage("counting what images need")
        work = counting(state.model, state.network, test, device=self.spec.config.device)
        gates = yield from told(work, lambda seen: (Progress(seen, len(test), "images"),))
        return gates.average(test)

    def _latency(self, model: nn.Module) -> Generator[Event, None, Latency]:
        for latency in measuring_latency(model, self.loaded.input_size, device=self.spec.config.device):
            yield Progress(latency.runs, LEAST, "timed passes")
        return latency


def _cost(state: State) -> Cost:
    """Of the network as it stands: counted anew where its build was changed, else by what is gone of the first one."""
    return state.network.cost() if state.edits else state.origin.network.cost(state.plan)
