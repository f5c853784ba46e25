"""Pruning in steps as a run: cut a little, train a little; and, as the control, everything at once."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from pruning_core.allocation.course import course, share_of, steps_of
from pruning_core.allocation.lowest import lowest
from pruning_core.allocation.pool import Counts
from pruning_core.allocation.schedule import Linear, OneShot, Schedule
from pruning_core.criteria import Criterion, L1Norm
from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, remove
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.intervals import paired_drop
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.weights import stored_weights
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted, the_model
from pruning_core.studies.reached import AT_ONCE, SCHEDULED, Reached, Shrunk, tag_of
from pruning_core.studies.sensitivity import captured, scored
from pruning_core.studies.treatments import cut
from pruning_core.training.checkpoint import Checkpoint
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch, Step, TrainOutcome
from pruning_core.training.loop import fine_tune
from pruning_core.work import told
from pruning_core.zoo import LoadedModel, ModelRef, store_weights

CHECKPOINT_EVERY = 30.0  # seconds; a crash loses no more
RECONSTRUCTION_IMAGES = 128


@dataclass(frozen=True)
class GradualRun(RunSpec):
    """Bring ``model`` to the widths of ``plan`` (JSON) in ``steps`` steps of ``schedule``, training after each.

    ``config.epochs`` are shared out among the steps. At every step ``criterion`` ranks the channels of the network as
    it is then, so the channels that go need not be those of ``plan``; their numbers are. Each step begins with the full
    learning rate.
    With ``control`` the same is done at once with as many epochs in all. One ``Shrunk`` and one ``Reached`` per step;
    training events are tagged ``tag_of(way, step)``; in the end a ``Drop`` of the steps against the control.
    """

    kind: ClassVar[str] = "gradual"
    version: ClassVar[int] = 3  # since the weights from before training are kept where no epoch beats them
    model: ModelRef
    data: DataRef
    plan: str
    criterion: Criterion = field(default_factory=L1Norm)
    schedule: Schedule = field(default_factory=Linear)
    steps: int = 5
    config: FineTune = field(default_factory=FineTune)
    control: bool = True

    @property
    def title(self) -> str:
        return f"{self.schedule.card.name} pruning of {self.model.name}"

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
        loaded = yield from the_model(self.model, workspace)
        network = captured(loaded)
        network.validate(plan)
        courses = {}
        for way, schedule in self.ways.items():
            steps = 1 if isinstance(schedule, OneShot) else steps_of(schedule, network, plan, self.steps)
            shared_out(self.config, steps)
            courses[way] = course(schedule, network, plan, steps)
        train, test = yield from both_splits(self.data, workspace)
        fit, held_out = hold_out(train, self.data)
        parts = tuple(fitted(part, self.data, loaded) for part in (fit, held_out, test))
        yield from _Steps(self, workspace, loaded, network, parts, courses, past).run()

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """Every finished step, and of the one that was stopped what its checkpoint has seen."""
        finished = {tag_of(e.way, e.step) for e in past if isinstance(e, Reached)}
        positions: dict[str, float] = {}

        def seen(tag: str) -> float:
            if tag not in positions:
                checkpoint = Checkpoint.load(self.checkpoint(workspace, tag))
                positions[tag] = checkpoint.position if checkpoint else -1.0
            return positions[tag]

        def counts(event: Event) -> bool:
            match event:
                case Reached():
                    return True
                case Shrunk(way=way, step=step):
                    return (tag := tag_of(way, step)) in finished or seen(tag) >= 0
                case Step(tag=tag, position=position):
                    return tag in finished or position <= seen(tag)
                case Epoch(tag=tag, epoch=epoch):
                    return tag in finished or epoch <= seen(tag)
            return False

        return tuple(event for event in past if counts(event))

    def checkpoint(self, workspace: Workspace, tag: str) -> Path:
        return workspace.scratch(self.key) / f"{tag.replace(' ', '-')}.pt"


def shared_out(config: FineTune, steps: int) -> tuple[int, ...]:
    """The epochs of each step; what cannot be divided goes to the last ones, where the cuts hurt most.

    Raises UserError when there is not one for each.
    """
    if config.minutes or not config.epochs:
        raise UserError("Pruning in steps shares out epochs. Set a number of epochs, and no minutes.")
    if config.epochs < steps:
        raise UserError(
            f"{config.epochs} epochs cannot be shared out among {steps} steps. Choose at least {steps} epochs, "
            "or fewer steps."
        )
    whole, rest = divmod(config.epochs, steps)
    return tuple(whole + (step >= steps - rest) for step in range(steps))


@dataclass
class _Steps:
    """The inside of one attempt."""

    spec: GradualRun
    workspace: Workspace
    loaded: LoadedModel
    network: Network
    parts: tuple[Dataset, ...]  # fit, held-out, test
    courses: dict[str, tuple[Counts, ...]]
    past: tuple[Event, ...]
    ends: dict[str, nn.Module] = field(default_factory=dict)

    def run(self) -> Iterator[Event]:
        for way in self.courses:
            yield from self._way(way)
        if len(self.ends) == 2:
            yield Stage("comparing both on the test images")
            correct = {}
            for way, model in self.ends.items():
                correct[way] = yield from self._correct(model)
            yield paired_drop(correct[AT_ONCE], correct[SCHEDULED])
        total = self.spec.config.epochs * len(self.courses)
        yield Progress(total, total, "epochs", 0.0)

    def _way(self, way: str) -> Iterator[Event]:
        steps = len(self.courses[way]) - 1
        epochs = shared_out(self.spec.config, steps)
        shrunk = {e.step: e for e in self.past if isinstance(e, Shrunk) and e.way == way}
        reached = {e.step: e for e in self.past if isinstance(e, Reached) and e.way == way}
        first = 1 + max(reached, default=0)
        model, plan = self.loaded.model, Plan()
        if reached:
            plan = Plan.from_json(shrunk[first - 1].plan)
            model = self._restored(plan, reached[first - 1].weights)
        for step in range(first, steps + 1):
            checkpoint = Checkpoint.load(self.spec.checkpoint(self.workspace, tag_of(way, step)))
            if step in shrunk and checkpoint is not None:
                plan = Plan.from_json(shrunk[step].plan)
                model = self._restored(plan, None)  # the checkpoint brings the weights
            else:
                checkpoint = None
                model, plan = yield from self._smaller(way, step, model, plan)
                cost, ratio = self.network.cost(plan), share_of(self.network, self.courses[way][step])
                yield Shrunk(way, step, steps, ratio, cost.macs, cost.parameters, epochs[step - 1], plan.to_json())
            config = replace(self.spec.config, epochs=epochs[step - 1], seed=self.spec.config.seed + step - 1)
            model = yield from self._trained(way, step, model, config, checkpoint)
        self.ends[way] = model

    def _smaller(
        self, way: str, step: int, model: nn.Module, plan: Plan
    ) -> Generator[Event, None, tuple[nn.Module, Plan]]:
        """The network without the channels of this step, and all that is gone by then."""
        network = self.network if not plan else captured(replace(self.loaded, model=model))
        alive = self.network.after(plan)
        sizes = {group.key: group.size for group in network.groups}
        lost = [key for key in self.courses[way][step] if sizes.get(key) != len(alive[key])]
        if lost:
            raise UserError(
                f"{lost[0]} cannot be followed through several cuts: once cut, this network is a recorded program. "
                "Cut it at once instead."
            )
        ranks = yield from self._ranks(network, model)
        now: dict[str, list[int]] = {}
        for key, count in self.courses[way][step].items():
            more = count - len(plan.get(key, ()))
            if more > 0 and key not in ranks:
                raise UserError(f"{self.spec.criterion.card.name} cannot rank {key}. Choose another criterion.")
            if more > 0:
                now[key] = list(lowest(ranks[key], more))
        whole = {group.key: group.size for group in self.network.groups}
        stage = Stage(f"{way}, step {step}: removing channels")
        yield stage
        treatment = cut(model, network, Plan(now), self.spec.criterion, self.parts[0], RECONSTRUCTION_IMAGES)
        smaller = yield from told(treatment, lambda _: (stage,))
        return smaller, plan.then(Plan(now), whole)

    def _ranks(self, network: Network, model: nn.Module) -> Generator[Event, None, dict[str, Tensor]]:
        """By the weights as they are now."""
        spec, now = self.spec, replace(self.loaded, model=model)
        return (yield from scored(now, network, spec.criterion, self.workspace, spec.data, spec.config.seed))

    def _trained(
        self, way: str, step: int, model: nn.Module, config: FineTune, start: Checkpoint | None
    ) -> Generator[Event, None, nn.Module]:
        fit, held_out, test = self.parts
        tag = tag_of(way, step)
        file = self.spec.checkpoint(self.workspace, tag)
        yield Stage(f"{way}, step {step} of {len(self.courses[way]) - 1}: training")
        training = fine_tune(model, fit, test, config, held_out=held_out, start=start)
        outcome = None
        before = next((e for e in self.past if isinstance(e, Epoch) and e.tag == tag and e.epoch == 0), None)
        saved = time.monotonic()
        try:
            for event in training:
                if isinstance(event, TrainOutcome):
                    outcome = event
                    continue
                if isinstance(event, Epoch) and event.epoch == 0:
                    before = event
                yield self._placed(event, way, step, config) if isinstance(event, Step) else replace(event, tag=tag)
                if time.monotonic() - saved > CHECKPOINT_EVERY:
                    self._save(training.checkpoint(), file)
                    saved = time.monotonic()
        except GeneratorExit:
            training.close()
            self._save(training.checkpoint(), file)
            raise
        assert training.best is not None and before is not None and outcome is not None  # it came to its end
        weights = store_weights(training.best.state, self.workspace)
        yield Reached(
            way, step, before.top1, before.low, before.high, outcome.top1, outcome.low, outcome.high, outcome.images,
            outcome.seconds, weights,
        )  # fmt: skip
        return training.best_model()

    def _placed(self, event: Step, way: str, step: int, config: FineTune) -> Step:
        """A training event whose share and time left are those of the whole run, both ways together."""
        per_way = self.spec.config.epochs
        before = list(self.courses).index(way) * per_way
        before += sum(shared_out(self.spec.config, len(self.courses[way]) - 1)[: step - 1])
        whole = per_way * len(self.courses)
        here = max(event.done, 1e-9) * config.epochs
        pace = event.seconds_left / max(1e-9, config.epochs - here)
        return replace(
            event, tag=tag_of(way, step), done=(before + here) / whole, seconds_left=pace * (whole - before - here)
        )

    def _restored(self, plan: Plan, weights: str | None) -> nn.Module:
        model = remove(self.loaded.model, self.network, plan).model
        if weights is not None:
            model.load_state_dict(stored_weights(self.workspace.artifacts.path(weights))[0])
        return model

    def _correct(self, model: nn.Module) -> Generator[Event, None, Tensor]:
        tally = Tally(self.parts[2])
        for batch in predicting(model, self.parts[2], device=self.spec.config.device):
            seen = tally.add(batch)
            yield Progress(seen.images, seen.total, "images")
        return tally.correct

    @staticmethod
    def _save(checkpoint: Checkpoint | None, file: Path) -> None:
        if checkpoint is not None:
            checkpoint.save(file)
