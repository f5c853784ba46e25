"""Trying widths, as a phase of a program: each network silenced, with new statistics, measured on held-out images."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pruning_core.allocation.budget import Budget, gauge
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.allocation.search import longest, searching
from pruning_core.allocation.trial import Trial, best_of
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Plan, silence
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.measures import Accuracy
from pruning_core.measuring.registry import measure_of, named
from pruning_core.methods.cutting import allowed, fair_by, ranks_of, staged_as
from pruning_core.methods.phases import FindWidths
from pruning_core.methods.state import Setup, State, needed
from pruning_core.methods.treatments import recalibrated
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.work import told

EVERY = 0.4  # seconds between two reports inside one trial
Found = dict[str, Tensor]


def figure(accuracy: Accuracy) -> float:
    """Of two networks the one with the better value is better; of equally accurate ones that with the smaller loss."""
    measure = named(accuracy.measure)
    if not measure.decides:  # such values are hardly ever equal
        return measure.better(accuracy.top1)
    return accuracy.top1 + 1 / ((1 + accuracy.loss) * (accuracy.images + 1))


def finding(phase: FindWidths, state: State, setup: Setup) -> Generator[Event, None, Found]:
    """(C,) by group key: 0 for a channel that the best network within the budget does without, 1 for the others.

    Raises UserError when no network that was tried keeps to the budget.
    """
    fit = needed(setup.fit, "images to fit")
    held_out = needed(setup.held_out, "held-out images to try widths on")
    held_out = held_out.subset(min(phase.images, len(held_out)), setup.seed)
    ranks = yield from ranks_of(phase.by, state, setup)
    pool = Pool.of(state.network, ranks, Limits(), fair_by(phase.by))
    budget, search = allowed(phase.budget, state), replace(phase.search, seed=setup.seed)
    clock = _Clock(longest(search, pool, (budget,)))

    def tried(plan: Plan) -> Generator[Event, None, float]:
        model = silence(state.model, state.network, plan) if plan else state.model
        work = recalibrated(model, fit, phase.statistics, setup.seed, setup.device)
        model = yield from told(work, lambda _: clock.now_and_then())
        return figure((yield from _measured(model, held_out, setup, clock)))

    def counted(event: Event) -> Iterator[Event]:
        yield clock.made(event.number + 1) if isinstance(event, Trial) else event

    measure = measure_of(held_out)
    whole = measure.whole(held_out.labels)
    trials = yield from told(searching(search, pool, tried, (budget,), whole=whole), counted)
    best = best_of(trials)
    if best is None:
        raise UserError("No width that was tried keeps to the budget. Try more widths, or choose a larger budget.")
    said = f"the best of {len(trials)} networks has {measure.name} {measure.better(best.accuracy):.4g}"
    if measure.decides:
        right = int(best.accuracy * len(held_out) + 1e-9)  # what settles ties is worth less than one image
        said = f"the best of {len(trials)} networks is right on {right} of {len(held_out)} held-out images"
    yield Stage(staged_as(phase, said))
    marks = {key: torch.ones(size, dtype=torch.float64) for key, size in pool.size.items()}
    counts = {key: len(units) for key, units in best.plan.items()}
    for key, units in pool.plan(given_back(pool, counts, budget)).items():
        marks[key][list(units)] = 0
    return marks


def given_back(pool: Pool, counts: Counts, budget: Budget) -> Counts:
    """``counts`` without the channels that the budget has room for: one at a time, where most of a group is gone.

    A search in parts of layers ends below its budget by up to a part.
    """
    cost = gauge(pool, budget.kind)
    limit, counts = budget.limit(cost({})), dict(counts)
    while True:
        fewer = [{k: n - (k == key) for k, n in counts.items() if n > (k == key)} for key in counts]
        fitting = [(counts[key] / pool.size[key], each) for key, each in zip(counts, fewer) if cost(each) <= limit]
        if not fitting:
            return counts
        counts = max(fitting, key=lambda found: found[0])[1]


@dataclass
class _Clock:
    """Says inside a long trial that it goes on: a place to be stopped at."""

    total: int
    done: int = 0
    told: float = field(default_factory=time.monotonic)

    def now_and_then(self) -> Iterator[Event]:
        if time.monotonic() - self.told > EVERY:
            yield self.made(self.done)

    def made(self, done: int) -> Progress:
        self.done, self.told = done, time.monotonic()
        return Progress(done, self.total, "trials")


def _measured(model: torch.nn.Module, data: Dataset, setup: Setup, clock: _Clock) -> Generator[Event, None, Accuracy]:
    tally, last = Tally(data), None
    for batch in predicting(model, data, device=setup.device):
        last = tally.add(batch)
        yield from clock.now_and_then()
    if last is None:
        raise UserError("There are no held-out images to try widths on. Choose a larger data set.")
    return last
