"""The comparison of criteria as a run: the same budgets, images and training for each, and chance as the control."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import Criterion
from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.latency import measure_latency
from pruning_core.measuring.marks import Marks
from pruning_core.measuring.measures import Accuracy, Drop
from pruning_core.methods.ranking import SCORED_ON
from pruning_core.methods.recoveries import Mending, NewStatistics
from pruning_core.methods.treatments import Treatment, cut, tuned
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted, the_model
from pruning_core.studies.points import ORIGIN, OutOfReach, Point, Scored, When
from pruning_core.studies.recovering import recovering
from pruning_core.studies.scores import Draw, draws, scored_all
from pruning_core.studies.sensitivity import captured
from pruning_core.training.config import FineTune
from pruning_core.work import told
from pruning_core.zoo import LoadedModel, ModelRef
from pruning_core.zoo.titles import called

BUDGETS = (0.8, 0.65, 0.5, 0.35)
EVERY = 0.4  # seconds between two reports inside one measurement


@dataclass(frozen=True)
class CompareRun(RunSpec):
    """Prune ``model`` by every criterion to every budget (share of the MACs kept), the same ratio in every layer.

    Each network is measured on ``images`` of the held-out or the test images, as ``data`` says, right after pruning,
    with ``recalibrate`` again with batch-norm statistics of its own (from ``calibration_images`` of the fitted part),
    with ``mend`` after it, and with ``tune`` after that training, the same for all; each of them begins with the
    network as it was cut. The unpruned network gets the same training: what it gains is not pruning's merit.
    Random criteria are drawn ``random_seeds`` times. With ``latency`` each width is timed once.

    One ``Scored`` per criterion and draw, then one ``Point`` per network and moment; budgets that a criterion cannot
    keep to are told by ``OutOfReach``.
    """

    kind: ClassVar[str] = "compare"
    version: ClassVar[int] = 3  # since it measures on held-out images where `data` says so
    model: ModelRef
    data: DataRef
    criteria: tuple[Criterion, ...]
    budgets: tuple[float, ...] = BUDGETS
    random_seeds: int = 5
    images: int | None = None
    recalibrate: bool = True
    mend: Mending | None = None
    tune: FineTune | None = None
    latency: bool = True
    score_images: int = SCORED_ON
    calibration_images: int = 512
    seed: int = 0
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"{len(self.criteria)} criteria compared on {called(self.model)}"

    def queue(self) -> str:
        return choose_device(self.device)

    @property
    def moments(self) -> tuple[When, ...]:
        return (
            When.PRUNED,
            *([When.RECALIBRATED] if self.recalibrate else []),
            *([When.MENDED] if self.mend is not None else []),
            *([When.TUNED] if self.tune is not None else []),
        )

    @property
    def points(self) -> int:
        """How many there are to measure, the unpruned network's among them."""
        per_network = len(self.moments)
        origin = 1 + (self.tune is not None)
        return len(draws(self.criteria, self.random_seeds)) * len(self.budgets) * per_network + origin

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        ground = yield from self.ground(workspace)
        wanted = draws(self.criteria, self.random_seeds)
        scores = yield from self.scored(ground, wanted, workspace, past)
        yield from Comparison(self, ground, scores, past).run()

    def ground(self, workspace: Workspace) -> Generator[Event, None, Ground]:
        """What all criteria stand on. Raises UserError where there is nothing to compare."""
        if not self.criteria or not self.budgets:
            raise UserError("There is nothing to compare. Choose at least one criterion and one budget.")
        for budget in self.budgets:
            Budget("macs", fraction=budget)
        loaded = yield from the_model(self.model, workspace)
        train, test = yield from both_splits(self.data, workspace)
        if self.tune is not None:
            train.check_trainable()
        fit, held_out = hold_out(train, self.data)
        if self.data.split == "held-out":  # whoever chooses by this comparison keeps the test images for the report
            test = held_out
        if self.images is not None:
            test = test.subset(min(self.images, len(test)), self.seed)
        parts = tuple(fitted(part, self.data, loaded) for part in (fit, held_out, test))
        return Ground(loaded, captured(loaded), parts)

    def scored(
        self, ground: Ground, wanted: Sequence[Draw], workspace: Workspace, past: tuple[Event, ...]
    ) -> Generator[Event, None, dict[Draw, dict[str, NDArray[np.float64]]]]:
        """Scores by group of every draw, read back where ``past`` tells of them."""
        return scored_all(
            ground.loaded, ground.network, wanted, workspace, self.data, self.score_images, self.seed, past
        )

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """Every point that was measured, and the scores behind them."""
        return tuple(event for event in past if isinstance(event, Scored | Point | OutOfReach))


@dataclass(frozen=True)
class Ground:
    """``parts``: fit, held-out, and what is measured on. ``base``: marks of the unpruned network, by moment."""

    loaded: LoadedModel
    network: Network
    parts: tuple[Dataset, ...]
    base: dict[str, Marks] = field(default_factory=dict)


@dataclass
class Comparison:
    """The inside of one attempt."""

    spec: CompareRun
    ground: Ground
    scores: dict[Draw, dict[str, NDArray[np.float64]]]
    past: tuple[Event, ...]
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    fresh: int = 0
    told: float = 0.0

    def __post_init__(self) -> None:
        self.loaded, self.network = self.ground.loaded, self.ground.network
        self.parts, self.base = self.ground.parts, self.ground.base

    def run(self) -> Iterator[Event]:
        known = {event.place for event in self.past if isinstance(event, Point)}
        self.done = len(known)
        yield from self._origin(known)
        for moments in self._passes():
            for budget in sorted(self.spec.budgets, reverse=True):
                for draw in self.scores:
                    missing = [w for w in moments if (draw.label, draw.number, budget, str(w)) not in known]
                    if missing:
                        yield from self._network(draw, budget, missing)
        yield self._progress(final=True)

    def _passes(self) -> list[list[When]]:
        """What is quick for all networks first, so that the figure fills up before the training begins."""
        quick: list[When] = [when for when in self.spec.moments if when is not When.TUNED]
        tuned_last: list[When] = [When.TUNED]
        return [quick, tuned_last] if self.spec.tune is not None else [quick]

    def _origin(self, known: set[tuple[str, int, float, str]]) -> Iterator[Event]:
        """The unpruned network, before and after the training that all get; measured again when resumed."""
        for when in (When.PRUNED, When.TUNED):
            if when in self.base:
                continue
            who = (ORIGIN, ORIGIN, 0, 1.0)
            old = (ORIGIN, 0, 1.0, str(when)) in known
            if when not in self.spec.moments or (old and when is When.TUNED and not self._tuning_left(known)):
                continue
            began, model = time.perf_counter(), self.loaded.model
            yield Stage(f"the unpruned network, {'as it is' if when is When.PRUNED else when}")
            if when is When.TUNED:
                model = yield from self._shown(self._tuned(model))
            seconds = time.perf_counter() - began
            accuracy, self.base[when] = yield from self._measured(model)
            if not old:
                latency = self._latency(model) if when is When.PRUNED else None
                yield self._point(who, when, Plan(), accuracy, seconds, latency, None)
                yield self._progress()
        self.base[When.RECALIBRATED] = self.base[When.MENDED] = self.base[When.PRUNED]

    def _tuning_left(self, known: set[tuple[str, int, float, str]]) -> bool:
        return any(
            (draw.label, draw.number, budget, str(When.TUNED)) not in known
            for draw in self.scores
            for budget in self.spec.budgets
        )

    def _network(self, draw: Draw, budget: float, moments: list[When]) -> Iterator[Event]:
        """One plan, its network and those of its ``moments`` that are not known yet."""
        name = f"{draw.label}, {budget:.0%} of the MACs"
        try:
            plan = self._plan(draw, budget)
        except UserError as error:
            if When.TUNED not in moments:  # said once, in the first pass
                yield OutOfReach(draw.label, draw.number, budget, str(error))
            return
        spec, latency, began = self.spec, None, time.perf_counter()
        yield Stage(f"{name}: removing channels")
        treatment = cut(self.loaded.model, self.network, plan, draw.criterion, self.parts[0], spec.score_images)
        pruned = yield from self._shown(treatment)
        for when in moments:
            model = pruned
            if when is not When.PRUNED:
                began = time.perf_counter()
                yield Stage(f"{name}: {when}")
                model = yield from self._after(pruned, when, plan)
            seconds = time.perf_counter() - began
            accuracy, correct = yield from self._measured(model)
            if when is When.PRUNED and draw.number == 0:
                latency = self._latency(model)
            who = (draw.label, draw.base.card.key, draw.number, budget)
            drop = self.base[when].drop(correct)
            yield self._point(who, when, plan, accuracy, seconds, latency, drop)
            yield self._progress()

    def _after(self, pruned: nn.Module, when: When, plan: Plan) -> Generator[Event, None, nn.Module]:
        spec = self.spec
        if when is When.TUNED:
            return (yield from self._shown(self._tuned(pruned)))
        recovery = spec.mend if when is When.MENDED else NewStatistics(spec.calibration_images)
        assert recovery is not None
        whole, fit = self.loaded.model, self.parts[0]
        work = recovering(whole, self.network, plan, pruned, recovery, fit, seed=spec.seed, device=spec.device)
        return (yield from told(work, lambda _: self._alive(0.0)))

    def _tuned(self, model: nn.Module) -> Treatment:
        assert self.spec.tune is not None
        fit, held_out, test = self.parts
        return tuned(model, fit, held_out, test, self.spec.tune)

    def _shown(self, treatment: Treatment) -> Generator[Event, None, nn.Module]:
        """The events of a treatment: how far the whole comparison has come with it."""

        return (yield from told(treatment, self._alive))

    def _alive(self, part: float) -> Iterator[Event]:
        """``part`` of the next point is done: said now and then."""
        if time.monotonic() - self.told > EVERY:
            yield self._progress(part)

    def _plan(self, draw: Draw, budget: float) -> Plan:
        values = {key: torch.as_tensor(value) for key, value in self.scores[draw].items()}
        if not values:
            raise UserError(f"{draw.label} can judge no group of channels of this network. Choose another criterion.")
        return allocate(Uniform(), Pool.of(self.network, values), Budget("macs", fraction=budget)).plan

    def _measured(self, model: nn.Module) -> Generator[Event, None, tuple[Accuracy, Marks]]:
        """The value of the measure on the test images, and what it makes of each of them."""
        test = self.parts[2]
        tally, accuracy = Tally(test), None
        for batch in predicting(model, test, device=self.spec.device, seed=self.spec.seed):
            accuracy = tally.add(batch)
            if time.monotonic() - self.told > EVERY:
                yield self._progress()
        if accuracy is None:
            raise UserError("There are no test images to measure on. Choose another data set.")
        return accuracy, tally.marks

    def _latency(self, model: nn.Module) -> float | None:
        if not self.spec.latency:
            return None
        return measure_latency(model, self.loaded.input_size, device=self.spec.device).median_ms

    def _point(
        self,
        who: tuple[str, str, int, float],
        when: When,
        plan: Plan,
        accuracy: Accuracy,
        seconds: float,
        latency: float | None,
        drop: Drop | None,
    ) -> Point:
        self.done, self.fresh = self.done + 1, self.fresh + 1
        cost = self.network.cost(plan)
        return Point(
            *who,
            when=str(when),
            macs=cost.macs,
            parameters=cost.parameters,
            top1=accuracy.top1,
            top5=accuracy.top5,
            low=accuracy.low,
            high=accuracy.high,
            images=accuracy.images,
            seconds=seconds,
            drop=drop.drop if drop else None,
            drop_low=drop.low if drop else None,
            drop_high=drop.high if drop else None,
            latency_ms=latency,
            measure=accuracy.measure,
        )

    def _progress(self, part: float = 0.0, final: bool = False) -> Progress:
        """``part`` of the next point is done. Where training follows, the time left cannot be told from the first."""
        self.told, total = time.monotonic(), self.spec.points
        left = None
        if self.fresh and not self.spec.tune:
            left = (self.told - self.began) / self.fresh * max(0.0, total - self.done - part)
        return Progress(total if final else self.done, total, "measurements", 0.0 if final else left)
