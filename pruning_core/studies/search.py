"""The search for ratios as a run: every trial really pruned, recovered and measured on held-out images."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from pruning_core.allocation.budget import TIMED, Budget, Kind
from pruning_core.allocation.latency import Measure, Running
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.sampled import Sampled
from pruning_core.allocation.search import BASELINE, MOST, Search, longest, searching
from pruning_core.allocation.together import Table, Waiting, searching_together
from pruning_core.allocation.trial import Trial, best_of
from pruning_core.criteria import Criterion, L1Norm
from pruning_core.datasets import DataRef, Dataset, hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.latency import measuring_latency
from pruning_core.measuring.marks import Marks
from pruning_core.measuring.measures import Accuracy
from pruning_core.measuring.registry import named
from pruning_core.methods.recoveries import NewStatistics, Recovery
from pruning_core.methods.treatments import Treatment, cut
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.codec import Codec, dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted, the_model
from pruning_core.studies.points import ORIGIN
from pruning_core.studies.recovering import recovering
from pruning_core.studies.sensitivity import captured, scored
from pruning_core.studies.tried import UNIFORM, Finalist, Tried
from pruning_core.work import told
from pruning_core.zoo import LoadedModel, ModelRef
from pruning_core.zoo.titles import called

STORAGE = "PRUNESCOPE_SEARCH_STORAGE"  # the variable that names a database for trials
EVERY = 0.4  # seconds between two reports inside one trial
RECONSTRUCTION_IMAGES = 128  # of the fitted part, for criteria whose paper mends the next layers


@dataclass(frozen=True)
class SearchRun(RunSpec):
    """Search the ratios of all groups of ``model``; ``criterion`` says which channels go, ``limits`` which may not.

    Each trial's network is measured after ``recovery`` on ``images`` held-out images: one ``Tried`` per trial. With
    ``control`` random widths take turns with the search, so that both have had as many trials at any moment. An
    ``Accuracy`` tells the unpruned network's.

    With budgets the best of each, the uniform allocation and the unpruned network are measured on the test images in
    the end (``Finalist``): the best of many trials is partly luck on the images that chose it.
    """

    kind: ClassVar[str] = "search"
    version: ClassVar[int] = 3  # since there may be several budgets
    model: ModelRef
    data: DataRef
    criterion: Criterion = field(default_factory=L1Norm)
    search: Search = field(default_factory=Search)
    budgets: tuple[Budget, ...] = field(kw_only=True)  # required: an older run, of one budget, is not read as of none
    limits: Limits = field(default_factory=Limits)
    control: bool = True
    images: int | None = None
    recovery: Recovery = field(default_factory=lambda: NewStatistics(images=256))
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"{self.search.explorer.card.name} over the widths of {called(self.model)}"

    def queue(self) -> str:
        return choose_device(self.device)

    @property
    def explorers(self) -> tuple[str, ...]:
        """Keys of the cards of those who take turns, the control last."""
        own = self.search.explorer.card.key
        return (own, BASELINE.card.key) if self.control and own != BASELINE.card.key else (own,)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        ground = yield from self.ground(workspace)
        yield from Contest(self, ground, past).run()

    def ground(
        self, workspace: Workspace, scores: Mapping[str, Tensor] | None = None
    ) -> Generator[Event, None, Ground]:
        """What all trials stand on; ``scores`` by group where the criterion has spoken before."""
        loaded = yield from the_model(self.model, workspace)
        train, test = yield from both_splits(self.data, workspace)
        fit, held_out = hold_out(train, self.data)
        if self.images is not None:
            held_out = held_out.subset(min(self.images, len(held_out)), self.search.seed)
        network = captured(loaded)
        if scores is None:
            scores = yield from scored(loaded, network, self.criterion, workspace, self.data, self.search.seed)
        pool = Pool.of(network, scores, self.limits)
        fit, held_out, test = (fitted(part, self.data, loaded) for part in (fit, held_out, test))
        return Ground(loaded, pool, fit, held_out, test)

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """Every trial: they are told to the search again, not made again."""
        return tuple(event for event in past if isinstance(event, Tried | Accuracy))


@dataclass(frozen=True)
class Ground:
    """The network, what of it may go, and three parts of the images."""

    loaded: LoadedModel
    pool: Pool
    fit: Dataset
    held_out: Dataset
    test: Dataset


@dataclass
class Contest:
    """The inside of one attempt."""

    spec: SearchRun
    ground: Ground
    past: tuple[Event, ...]
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    latest: Accuracy | None = None  # of the trial being made
    whole: float = 1.0  # the difference that counts as one by the measure
    began: float = field(default_factory=time.monotonic)
    told: float = 0.0
    fresh: int = 0

    def __post_init__(self) -> None:
        self.loaded, self.pool, self.fit = self.ground.loaded, self.ground.pool, self.ground.fit
        self.held_out, self.test = self.ground.held_out, self.ground.test

    def run(self) -> Iterator[Event]:
        self.trials = {key: [] for key in self.spec.explorers}
        for event in self.past:
            if isinstance(event, Tried):
                self.trials[event.by].append(event.trial)
        known = [event for event in self.past if isinstance(event, Accuracy)]
        if not known:
            yield Stage("measuring the unpruned network")
            known = [(yield from self._measured(self.loaded.model, self.held_out))[0]]
            yield known[0]
        self.whole = known[0].whole
        yield Stage("trying widths")
        yield from self._tries()
        if self.spec.budgets:
            yield Stage("measuring the best on the test images")
            yield from self._tests()
        done = sum(map(len, self.trials.values()))
        yield Progress(done, max(1, done), "trials", 0.0)

    def _tries(self) -> Iterator[Event]:
        """The search and its control in turns, until the search has ended."""
        walks = {key: self._walk(key) for key in self.trials}
        try:
            while True:
                turn = min(walks, key=lambda key: len(self.trials[key]))  # a tie goes to the search itself
                found = yield from _next(walks[turn])
                if found is None and turn == self.spec.explorers[0]:
                    return
                if found is None:
                    del walks[turn]
                    continue
                assert self.latest is not None  # the objective has just set it
                self.trials[turn].append(found)
                self.fresh += 1
                latest = self.latest
                yield Tried(turn, found, latest.low, latest.high, latest.images, latest.measure)
                yield self._progress()
        finally:
            for walk in walks.values():
                walk.close()

    def _search(self, key: str) -> Search:
        search = self.spec.search
        if key != search.explorer.card.key:
            # Another seed: some searches begin with draws of their own at random, which would be the same ones.
            search = replace(search, explorer=BASELINE(), trials=min(self._most, MOST), seed=search.seed + 1)
        return search

    def _walk(self, key: str) -> Running[tuple[Trial, ...]]:
        search = self._search(key)
        past = tuple(self.trials[key])
        url = shared(self.spec)
        measures: dict[Kind, Measure] = {kind: partial(self._latency, kind) for kind in TIMED}
        budgets, whole = self.spec.budgets, self.whole
        if url and isinstance(search.explorer, Sampled):
            table = Table(url, f"{self.spec.key[:32]} {key}")
            return searching_together(
                search, self.pool, self._judged, budgets, table, measures=measures, past=past, whole=whole,
                note=lambda: dump(self.latest), heard=self._heard,
            )  # fmt: skip
        return searching(search, self.pool, self._judged, budgets, measures=measures, past=past, whole=whole)

    def _heard(self, note: str) -> None:
        """What another process measured."""
        self.latest = Codec((Accuracy,)).load(note)

    @property
    def _most(self) -> int:
        return longest(self.spec.search, self.pool, self.spec.budgets)

    def _judged(self, plan: Plan) -> Running[float]:
        """Removal, recovery, and the value of the measure on the held-out images, so that more is better."""
        self.latest = yield from self.judged(plan)
        return named(self.latest.measure).better(self.latest.top1)

    def judged(self, plan: Plan) -> Generator[Event, None, Accuracy]:
        """On the held-out images."""
        model = yield from self._prepared(plan)
        return (yield from self._measured(model, self.held_out))[0]

    def _latency(self, kind: Kind, plan: Plan) -> Running[float]:
        model, median = (yield from self._shown(self._cut(plan))), 0.0
        compile = kind == "compiled"
        for latency in measuring_latency(model, self.loaded.input_size, device=self.spec.device, compile=compile):
            median = latency.median_ms
            yield from self._alive()
        return median

    def _cut(self, plan: Plan) -> Treatment:
        network, criterion = self.pool.network, self.spec.criterion
        return cut(self.loaded.model, network, plan, criterion, self.fit, RECONSTRUCTION_IMAGES)

    def _prepared(self, plan: Plan) -> Generator[Event, None, nn.Module]:
        spec = self.spec
        pruned = yield from self._shown(self._cut(plan))
        whole, network, seed = self.loaded.model, self.pool.network, spec.search.seed
        work = recovering(whole, network, plan, pruned, spec.recovery, self.fit, seed=seed, device=spec.device)
        return (yield from told(work, lambda _: self._alive()))

    def _measured(self, model: nn.Module, data: Dataset) -> Generator[Event, None, tuple[Accuracy, Marks]]:
        """The accuracy, and which images were right."""
        tally, accuracy = Tally(data), None
        for batch in predicting(model, data, device=self.spec.device, seed=self.spec.search.seed):
            accuracy = tally.add(batch)
            yield from self._alive()
        if accuracy is None:
            raise UserError("There are no images to measure on. Choose another data set.")
        return accuracy, tally.marks

    def _shown(self, treatment: Treatment) -> Generator[Event, None, nn.Module]:
        return (yield from told(treatment, lambda _: self._alive()))

    def _alive(self) -> Iterator[Event]:
        """Inside a long trial: that it goes on, and a place to be cancelled at."""
        if time.monotonic() - self.told > EVERY:
            yield self._progress()

    def _progress(self) -> Progress:
        """No time left is told where nobody knows how many trials it takes."""
        self.told = time.monotonic()
        done, total, left = sum(map(len, self.trials.values())), self._most * len(self.trials), None
        if self.fresh and self._most == self.spec.search.trials:
            left = (self.told - self.began) / self.fresh * (total - done)
        return Progress(done, total, "trials", left)

    def _tests(self) -> Iterator[Event]:
        """The best of each on images that nobody has chosen by, all compared on the same ones."""
        whole, right = yield from self._measured(self.loaded.model, self.test)
        yield Finalist(ORIGIN, 0, whole)
        starts = [min(trials, key=lambda trial: trial.number) for trials in self.trials.values() if trials]
        firsts = [trial for trial in starts if trial.within]
        finals = [(UNIFORM, firsts[-1])] if firsts else []
        finals += [(key, best) for key in reversed(self.trials) if (best := best_of(self.trials[key]))]
        rival: Marks | None = None
        for by, trial in finals:
            model = yield from self._prepared(Plan(trial.plan))
            accuracy, correct = yield from self._measured(model, self.test)
            behind = rival.drop(correct) if rival is not None else None
            yield Finalist(by, trial.number, accuracy, right.drop(correct), behind)
            rival = correct if by == BASELINE.card.key else None


def shared(spec: SearchRun) -> str:
    """Address of the database where its trials lie beside those of other processes; "" for a search by one.

    A stranger's program is shut in, where it reaches no database and must not read the address of one.
    """
    return "" if spec.model.foreign else os.environ.get(STORAGE, "").strip()


def _next(walk: Running[tuple[Trial, ...]]) -> Generator[Event, None, Trial | None]:
    """The next trial among the events of a search; None when it has ended."""
    for event in walk:
        if isinstance(event, Trial):
            return event
        yield Progress(event.done, 0, "trials") if isinstance(event, Waiting) else event
    return None
