"""Searching the ratios of all groups for the most accurate network under a budget, or for the whole front."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

from pruning_core.allocation.annealing import Annealing
from pruning_core.allocation.budget import Budget, Kind, Reach, figure, keeping, limits_of, reach_of
from pruning_core.allocation.candidates import Candidates
from pruning_core.allocation.greedy import Greedy
from pruning_core.allocation.latency import Measure, Running, Stopwatch, settle
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.allocation.sampled import Nsga2, RandomWidths, Tpe
from pruning_core.allocation.space import Draw, Explorer, Space
from pruning_core.allocation.swarm import Swarm
from pruning_core.allocation.trial import Trial, on_front
from pruning_core.errors import UserError
from pruning_core.graph import Cost, Plan
from pruning_core.knobs import Knobbed, Range
from pruning_core.work import finished

EXPLORERS: tuple[type[Explorer], ...] = (Tpe, RandomWidths, Nsga2, Annealing, Swarm, Greedy, Candidates)
"""The registry of searches: a new one is its class and its line here."""
BASELINE: type[Explorer] = RandomWidths
"""What every search is compared with: as many trials without any cleverness."""

Objective = Callable[[Plan], float | Running[float]]
"""Plan -> accuracy, or another value of which more is better; a generator may yield events before it returns it."""
MOST = 1000  # trials
LATENCY_STEPS = 5  # timed plans per trial: the noise hides more


@dataclass(frozen=True)
class Search(Knobbed):
    """How to search: by which explorer, for how many trials, from which seed. ``least`` is the smallest share drawn.

    ``trials`` are as many as are made, but for an explorer that ends by itself.
    """

    explorer: Explorer = field(default_factory=Tpe)
    trials: Annotated[int, Range(1, MOST, "Trials")] = 50
    least: Annotated[float, Range(0.02, 1.0, "Smallest share kept of a layer", 0.02)] = 0.1
    seed: int = 0


def searching(
    search: Search,
    pool: Pool,
    objective: Objective,
    budgets: Sequence[Budget] = (),
    *,
    measures: Mapping[Kind, Measure] | None = None,
    past: Sequence[Trial] = (),
    whole: float = 1.0,
) -> Running[tuple[Trial, ...]]:
    """Yield one Trial per plan tried, among the events of ``objective`` and ``measures``; return all trials.

    With budgets every draw is scaled to use them up as far as all of them allow, never rejected, and accuracy alone
    decides; without one, accuracy and MACs do. ``measures`` time a plan, by the kinds of the budgets to be timed.
    ``past`` are the trials of an earlier attempt with the same arguments: they are not repeated, and the search goes on
    exactly as if never interrupted. ``whole`` is the difference between two values of ``objective`` that counts as one:
    of accuracies 1.

    Raises UserError for a budget out of reach (before any trial), an explorer that needs a budget, and for ``past``
    trials of another search.
    """
    if not budgets and not search.explorer.pareto:
        raise UserError(f"{search.explorer.card.name} needs a budget. Set one, or choose another search.")
    space = Space(pool, search.least, search.trials, tuple(budgets), whole)
    fitter = Fitter(space, measures or {})
    walk = search.explorer.walk(space, search.seed)
    most = search.explorer.longest(space)
    trials = list(past[:most])
    draw = next(walk)
    for trial in trials:
        if len(trial.draw) != len(draw.shares) or not _same(trial.draw, draw.shares):
            raise UserError(
                f"Trial {trial.number} was made by another search or another version. Start this search anew."
            )
        try:
            draw = walk.send(trial)
        except StopIteration:
            return tuple(trials)
    yield from fitter.prepare()
    while len(trials) < most:
        trial = yield from fitter.tried(draw, len(trials), objective)
        trial = dataclasses.replace(trial, front=on_front((*trials, trial))[-1])
        trials.append(trial)
        yield trial
        try:
            draw = walk.send(trial)
        except StopIteration:
            break
    walk.close()
    return tuple(trials)


def foreseen(
    search: Search, pool: Pool, budgets: Sequence[Budget], past: Sequence[Trial], ahead: int, whole: float = 1.0
) -> tuple[Plan, ...]:
    """The plans that :func:`searching` tries next whatever they turn out to be worth: at most ``ahead``, often none.

    Whoever measures them before they are asked for, several at once, changes nothing about the search.
    """
    space = Space(pool, search.least, search.trials, tuple(budgets), whole)
    number, most, explorer = len(past), search.explorer.longest(space), search.explorer
    if any(each.timed for each in budgets) or number >= most or not explorer.foresees(number + 1):
        return ()
    fitter, walk = Fitter(space, {}), explorer.walk(space, search.seed)
    finished(fitter.prepare())
    draw, plans = next(walk), list[Plan]()
    with suppress(StopIteration):
        for trial in past:
            draw = walk.send(trial)
        while len(plans) < min(ahead, most - number):
            counts, _ = finished(fitter.fit(draw))
            plans.append(pool.plan(counts))
            if not explorer.foresees(number + len(plans)):
                break
            draw = walk.send(Trial(number, draw.shares, {}, {}, 0, 0, None, 0.0, True, False, 0.0))  # any will do
    walk.close()
    return tuple(plans)


def longest(search: Search, pool: Pool, budgets: Sequence[Budget] = ()) -> int:
    """How many trials :func:`searching` makes at most."""
    return search.explorer.longest(Space(pool, search.least, search.trials, tuple(budgets)))


def reach(search: Search, pool: Pool, kind: Kind) -> Reach:
    """The budgets that any search of ``pool`` can keep to; for those that have closed forms."""
    space = Space(pool, search.least, search.trials)
    return reach_of(space.dial((1.0,) * len(space.keys)), pool, kind)


def _same(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(math.isclose(x, y, rel_tol=1e-9) for x, y in zip(a, b))


@dataclass
class Fitter:
    """Turns draws into counts that use up the budgets."""

    space: Space
    measures: Mapping[Kind, Measure]
    counted: dict[Kind, float] = field(default_factory=dict)
    timed: dict[Kind, float] = field(default_factory=dict)
    watch: Stopwatch = field(init=False)

    def __post_init__(self) -> None:
        if lacking := {each.kind for each in self.space.budgets if each.timed} - set(self.measures):
            raise ValueError(f"a budget of {', '.join(sorted(lacking))} needs a measure")
        self.watch = Stopwatch(self.space.pool, self.measures)

    def prepare(self) -> Running[None]:
        """Raises UserError when a budget is out of reach."""
        pool, whole = self.space.pool, self.space.dial((1.0,) * len(self.space.keys))
        self.counted = limits_of(whole, pool, [each for each in self.space.budgets if not each.timed])
        self.timed = yield from self.watch.limits(whole, [each for each in self.space.budgets if each.timed])

    def fit(self, draw: Draw) -> Running[tuple[Counts, dict[Kind, float]]]:
        """The counts, and their milliseconds where a budget is in them."""
        if not self.space.budgets or not draw.fit:
            counts = self.space.counts(draw.shares)
        else:
            dial = self.space.dial(draw.shares)
            counts, strength = keeping(dial, self.space.pool, self.counted)
            if self.timed:
                counts, _ = yield from self.watch.fit(dial, self.timed, LATENCY_STEPS, (counts, strength))
        times: dict[Kind, float] = {}
        for kind in self.timed:
            times[kind] = yield from self.watch.time(kind, counts)
        return counts, times

    def tried(self, draw: Draw, number: int, objective: Objective) -> Running[Trial]:
        """What becomes of a draw; whether it is on the front is not looked at here."""
        began, pool = time.perf_counter(), self.space.pool
        counts, times = yield from self.fit(draw)
        plan = pool.plan(counts)
        accuracy = yield from settle(objective(plan))
        if not math.isfinite(accuracy):
            raise UserError("The objective of the search is not a finite number. Check the network and the data.")
        cost = pool.network.cost(plan)
        return Trial(
            number=number,
            draw=draw.shares,
            ratios={key: count / pool.size[key] for key, count in counts.items()},
            plan=dict(plan),
            macs=cost.macs,
            parameters=cost.parameters,
            latency_ms=times.get("latency"),
            accuracy=float(accuracy),
            within=self.within(cost, times),
            front=False,
            seconds=time.perf_counter() - began,
            compiled_ms=times.get("compiled"),
        )

    def within(self, cost: Cost, times: Mapping[Kind, float]) -> bool:
        return all(figure(cost, kind) <= limit for kind, limit in self.counted.items()) and all(
            times[kind] <= limit for kind, limit in self.timed.items()
        )
