"""Pruning in steps as a run: cut a little, train a little; and, as the control, everything at once."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from torch import nn

from pruning_core.allocation.course import course, share_of, steps_of
from pruning_core.allocation.pool import Counts
from pruning_core.allocation.schedule import Linear, OneShot, Schedule
from pruning_core.criteria import Criterion, L1Norm
from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.marks import Marks
from pruning_core.methods.perform import Broken, Done, perform
from pruning_core.methods.phases import Cut, Train, shared_out
from pruning_core.methods.place import Keeper, Place
from pruning_core.methods.programs import Numbers, in_steps
from pruning_core.methods.recoveries import JustCut, Recovery
from pruning_core.methods.state import Setup, State
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted, the_model
from pruning_core.studies.reached import AT_ONCE, SCHEDULED, Reached, Shrunk, tag_of, way_of
from pruning_core.studies.sensitivity import captured
from pruning_core.studies.several import Together
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Epoch, Step
from pruning_core.work import told
from pruning_core.zoo import ModelRef, store_weights
from pruning_core.zoo.titles import called


@dataclass(frozen=True)
class GradualRun(RunSpec):
    """Bring ``model`` to the widths of ``plan`` (JSON) in ``steps`` steps of ``schedule``, training after each.

    ``config.epochs`` are shared out among the steps. At every step ``criterion`` ranks the channels of the network as
    it is then, so the channels that go need not be those of ``plan``; their numbers are. ``recovery`` follows every
    cut, before its training; mending aims at the network as it was before that cut. Each step begins with the full
    learning rate.
    With ``control`` the same is done at once with as many epochs in all. One ``Shrunk`` and one ``Reached`` per step;
    training events are tagged ``tag_of(way, step)``; in the end a ``Drop`` of the steps against the control.
    """

    kind: ClassVar[str] = "gradual"
    version: ClassVar[int] = 4  # since a Reached holds whole accuracies
    model: ModelRef
    data: DataRef
    plan: str
    criterion: Criterion = field(default_factory=L1Norm)
    schedule: Schedule = field(default_factory=Linear)
    steps: int = 5
    config: FineTune = field(default_factory=FineTune)
    control: bool = True
    recovery: Recovery = field(default_factory=JustCut)

    @property
    def title(self) -> str:
        return f"{self.schedule.card.name} pruning of {called(self.model)}"

    def queue(self) -> str:
        return choose_device(self.config.device)

    @property
    def ways(self) -> dict[str, Schedule]:
        """What is done, the control last; pruning at once is its own control."""
        own: dict[str, Schedule] = {SCHEDULED: self.schedule}
        return own | ({AT_ONCE: OneShot()} if self.control and not isinstance(self.schedule, OneShot) else {})

    def reference(self, shrunk: Shrunk, reached: Reached) -> ModelRef:
        """The network that a step ended with."""
        name, size = self.model.name, self.model.input_size
        return ModelRef("pruned", name, weights=reached.weights, input_size=size, base=self.model, plan=shrunk.plan)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        plan = Plan.from_json(self.plan)
        if not plan:
            raise UserError("The plan removes nothing yet. Make one on What-if or by a search first.")
        if self.recovery.trains:
            raise UserError("Every cut is followed by a training anyway. Choose a recovery that does not train.")
        loaded = yield from the_model(self.model, workspace)
        network = captured(loaded)
        network.validate(plan)
        ways = []
        for name, schedule in self.ways.items():
            steps = 1 if isinstance(schedule, OneShot) else steps_of(schedule, network, plan, self.steps)
            epochs = shared_out(self.config, [1.0] * steps)
            ways.append(_Way(name, course(schedule, network, plan, steps), epochs))
        train, test = yield from both_splits(self.data, workspace)
        train.check_trainable()
        fit, held_out = hold_out(train, self.data)
        parts = tuple(fitted(part, self.data, loaded) for part in (fit, held_out, test))
        yield from _Steps(self, workspace, State.of(loaded.model, network), parts, tuple(ways), past).run()

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """What lies before the place where each way stopped."""
        places = {way: Place.load(self.file(workspace, way)) for way in self.ways}
        numbers = Numbers(self.recovery)
        lengths = {(e.way, e.step): e.epochs for e in past if isinstance(e, Shrunk)}

        def done(way: str, step: int) -> float:
            """Epochs of a step's training that need not be repeated; -1 before it begins."""
            place = places.get(way)
            return place.epochs(numbers.training(step)) if place else -1.0

        def counts(event: Event) -> bool:
            match event:
                case Reached(way=way, step=step):
                    return done(way, step) >= lengths.get((way, step), math.inf)
                case Shrunk(way=way, step=step):
                    place = places.get(way)
                    return place is not None and place.number > numbers.cut(step)
                case Step(tag=tag, position=position):
                    return position <= done(*way_of(tag))
                case Epoch(tag=tag, epoch=epoch):
                    return epoch <= done(*way_of(tag))
            return False

        return tuple(event for event in past if counts(event))

    def file(self, workspace: Workspace, way: str) -> Path:
        """Where the place of one way is kept."""
        return workspace.scratch(self.key) / f"{way.replace(' ', '-')}.pt"


@dataclass(frozen=True)
class _Way:
    """``course``: what every group has lost after each step, 0 first; ``epochs`` of each step."""

    name: str
    course: tuple[Counts, ...]
    epochs: tuple[int, ...]

    @property
    def steps(self) -> int:
        return len(self.epochs)


@dataclass
class _Steps:
    """The inside of one attempt."""

    spec: GradualRun
    workspace: Workspace
    start: State
    parts: tuple[Dataset, ...]  # fit, held-out, test
    ways: tuple[_Way, ...]
    past: tuple[Event, ...]
    ends: dict[str, nn.Module] = field(default_factory=dict)
    before: dict[str, Epoch] = field(default_factory=dict)  # by tag, the network as its training begins

    def __post_init__(self) -> None:
        self.together = Together(self.spec.config.epochs * len(self.ways))

    def run(self) -> Iterator[Event]:
        self.before = {e.tag: e for e in self.past if isinstance(e, Epoch) and e.epoch == 0}
        for way in self.ways:
            self.ends[way.name] = yield from self._end(way)
        if len(self.ends) == 2:
            yield Stage("comparing both on the test images")
            correct = {}
            for name, model in self.ends.items():
                correct[name] = yield from self._correct(model)
            yield correct[AT_ONCE].drop(correct[SCHEDULED])
        total = self.spec.config.epochs * len(self.ways)
        yield Progress(total, total, "epochs", 0.0)

    def _end(self, way: _Way) -> Generator[Event, None, nn.Module]:
        """The network that one way ends with."""
        fit, held_out, test = self.parts
        setup = Setup(fit, fit, held_out, test, self.spec.config, self.spec.config.seed, self.spec.config.device)
        keeper = Keeper(self.spec.file(self.workspace, way.name))
        phases = in_steps(way.course, self.spec.criterion, way.name, self.spec.recovery)
        standing = keeper.load()
        step = Numbers(self.spec.recovery).step(standing.number if standing else 0)

        def say(event: Event) -> Iterator[Event]:
            nonlocal step
            match event:
                case Done(phase=Cut(), state=state):
                    yield self._shrunk(way, step, state)
                case Done(phase=Train()):
                    if not any(isinstance(e, Reached) and (e.way, e.step) == (way.name, step) for e in self.past):
                        yield self._reached(way, step, event)
                    step += 1
                case Step():
                    yield self._placed(event, way, step)
                case Checking() | Epoch():
                    tagged = replace(event, tag=tag_of(way.name, step))
                    if isinstance(tagged, Epoch) and tagged.epoch == 0:
                        self.before[tagged.tag] = tagged
                    yield tagged
                case Broken() | Done():
                    pass
                case _:
                    yield event

        return (yield from told(perform(phases, self.start, setup, keeper), say)).model

    def _shrunk(self, way: _Way, step: int, state: State) -> Shrunk:
        network = self.start.network
        cost, ratio = network.cost(state.plan), share_of(network, way.course[step])
        epochs = way.epochs[step - 1]
        return Shrunk(way.name, step, way.steps, ratio, cost.macs, cost.parameters, epochs, state.plan.to_json())

    def _reached(self, way: _Way, step: int, done: Done) -> Reached:
        assert done.outcome is not None and done.kept is not None  # a training is done
        test = self.parts[2]
        before, after = (
            epoch.accuracy(f"{test.name} ({test.split})") for epoch in (self.before[tag_of(way.name, step)], done.kept)
        )
        weights = store_weights(done.state.model.state_dict(), self.workspace)
        return Reached(way.name, step, before, after, done.outcome.seconds, weights)

    def _placed(self, event: Step, way: _Way, step: int) -> Step:
        """A training event whose share and time left are those of the whole run, both ways together."""
        per_way = self.spec.config.epochs
        before = self.ways.index(way) * per_way + sum(way.epochs[: step - 1])
        return replace(self.together.placed(event, before, way.epochs[step - 1]), tag=tag_of(way.name, step))

    def _correct(self, model: nn.Module) -> Generator[Event, None, Marks]:
        tally = Tally(self.parts[2])
        for batch in predicting(model, self.parts[2], device=self.spec.config.device):
            seen = tally.add(batch)
            yield Progress(seen.images, seen.total, "images")
        return tally.marks
