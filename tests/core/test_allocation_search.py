"""Searches keep to the budget, repeat from their seed, and go on where they stopped."""

from __future__ import annotations

import dataclasses
import random

import pytest

from pruning_core.allocation.annealing import Annealing
from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.by_sensitivity import drop_at
from pruning_core.allocation.candidates import Candidates
from pruning_core.allocation.greedy import Greedy
from pruning_core.allocation.latency import settle
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.sampled import Nsga2, RandomWidths, Tpe
from pruning_core.allocation.search import EXPLORERS, Search, foreseen, longest, searching
from pruning_core.allocation.trial import LatencyStep, Trial, best_of, on_front
from pruning_core.allocation.uniform import Uniform
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.storage.codec import Codec, dump
from tests.conftest import ROOT
from tests.core.allocation_nets import chain_network, random_scores, residual_network
from tests.core.export_nets import elsewhere

HALF = Budget("macs", 0.5)
TABLE = {"stem": [(0.3, 0.02), (0.9, 0.5)], "a1": [(0.5, 0.1), (0.9, 0.4)], "b1": [(0.5, 0.01), (0.9, 0.1)]}
MADE = [each(TABLE) if each is Candidates else each() for each in EXPLORERS]
NAMES = [each.__name__ for each in EXPLORERS]


@pytest.fixture(scope="module")
def pool() -> Pool:
    network = residual_network()
    return Pool.of(network, random_scores(network))


def smooth(pool: Pool):
    """An accuracy that is best when a1 keeps most and the stem little."""

    def accuracy(plan: Plan) -> float:
        kept = {key: 1 - pool.network.ratio(plan, key) for key in pool.size}
        return 0.5 + 0.4 * kept["a1"] - 0.1 * kept["stem"] ** 2

    return accuracy


def trials_of(generator) -> list[Trial]:
    return [event for event in generator if isinstance(event, Trial)]


@pytest.mark.parametrize("explorer", MADE, ids=NAMES)
def test_every_trial_keeps_to_the_budget_and_uses_it(explorer, pool):
    search = Search(explorer, trials=12, seed=3)
    found = trials_of(searching(search, pool, smooth(pool), (HALF,)))
    full = pool.network.cost().macs
    assert [trial.number for trial in found] == list(range(len(found)))
    for trial in found:
        cost = pool.network.cost(Plan(trial.plan))
        assert (trial.macs, trial.parameters) == (cost.macs, cost.parameters)
        assert trial.within == (trial.macs <= 0.5 * full)
        assert trial.accuracy == smooth(pool)(Plan(trial.plan))
        assert trial.ratios == {key: pool.network.ratio(Plan(trial.plan), key) for key in trial.plan}
        if not isinstance(explorer, Greedy):
            assert 0.44 * full < trial.macs <= 0.5 * full  # one channel is worth up to 4 % here
    if not isinstance(explorer, Greedy):
        assert Plan(found[0].plan) == allocate(Uniform(), pool, HALF).plan


@pytest.mark.parametrize("explorer", MADE, ids=NAMES)
def test_a_search_repeats_and_resumes_as_if_never_interrupted(explorer, pool):
    search = Search(explorer, trials=14, seed=5)

    def run(past=()):
        calls = []
        found = trials_of(
            searching(search, pool, lambda plan: calls.append(plan) or smooth(pool)(plan), (HALF,), past=past)
        )
        return [dataclasses.replace(t, seconds=0.0) for t in found], len(calls)

    whole, calls = run()
    assert calls == len(whole)
    again, _ = run()
    assert again == whole
    rest, calls = run(past=whole[:6])
    assert rest == whole[6:]
    assert calls == len(whole) - 6
    assert run(past=whole) == ([], 0)


@pytest.mark.parametrize("explorer", [RandomWidths, Tpe, Nsga2])
def test_another_seed_draws_other_networks(explorer, pool):
    one, two = (trials_of(searching(Search(explorer(), 5, seed=s), pool, smooth(pool), (HALF,))) for s in (0, 1))
    assert one[0].draw == two[0].draw
    assert one[1].draw != two[1].draw


def test_trials_of_another_search_are_not_taken_over(pool):
    past = trials_of(searching(Search(RandomWidths(), 4, seed=0), pool, smooth(pool), (HALF,)))
    with pytest.raises(UserError, match="another search"):
        list(searching(Search(RandomWidths(), 4, seed=1), pool, smooth(pool), (HALF,), past=past))


def test_tpe_beats_the_uniform_allocation_it_starts_from(pool):
    found = trials_of(searching(Search(Tpe(), 40), pool, smooth(pool), (HALF,)))
    best = best_of(found)
    assert best is not None
    assert best.accuracy > found[0].accuracy + 0.05
    assert best.accuracy == max(trial.accuracy for trial in found)


def test_the_best_of_more_trials_is_never_worse(pool):
    """A longer search begins with the shorter one's trials."""
    found = trials_of(searching(Search(RandomWidths(), 20), pool, smooth(pool), (HALF,)))
    shorter = trials_of(searching(Search(RandomWidths(), 8), pool, smooth(pool), (HALF,)))
    assert [t.draw for t in shorter] == [t.draw for t in found[:8]]
    bests = [best_of(found[:n]).accuracy for n in range(1, 21)]
    assert bests == sorted(bests)


def test_random_widths_of_least_one_are_the_whole_network(pool):
    (trial,) = trials_of(searching(Search(RandomWidths(), trials=1, least=1.0), pool, smooth(pool)))
    assert not trial.plan
    assert trial.macs == pool.network.cost().macs


def test_without_a_budget_a_front_grows(pool):
    found = trials_of(searching(Search(Nsga2(population=8), 32), pool, smooth(pool)))
    macs = [trial.macs for trial in found]
    assert min(macs) < 0.5 * max(macs)
    for count, trial in enumerate(found, 1):
        dominated = any(
            o.macs <= trial.macs
            and o.accuracy >= trial.accuracy
            and (o.macs, o.accuracy) != (trial.macs, trial.accuracy)
            for o in found[:count]
        )
        assert trial.front == (not dominated)


def test_what_needs_a_budget_says_so(pool):
    for explorer in EXPLORERS:
        search = searching(Search(explorer(), 2), pool, smooth(pool))
        if explorer.pareto:
            assert len(trials_of(search)) == 2
        else:
            with pytest.raises(UserError, match="needs a budget"):
                next(search)


def test_a_budget_out_of_reach_is_refused_before_any_trial(pool):
    network = pool.network
    tight = Pool.of(network, random_scores(network), Limits(floor=0.9))
    calls = []
    with pytest.raises(UserError, match="cannot be reached"):
        list(searching(Search(trials=3), tight, lambda plan: calls.append(plan) or 0.5, (HALF,)))
    assert not calls


def test_an_objective_must_be_a_number(pool):
    with pytest.raises(UserError, match="not a finite number"):
        list(searching(Search(trials=1), pool, lambda plan: float("nan"), (HALF,)))


def test_events_of_the_objective_pass_through(pool):
    def objective(plan):
        yield "half-way"
        return 0.7

    events = list(searching(Search(trials=2), pool, objective, (HALF,)))
    assert [e if isinstance(e, str) else e.accuracy for e in events] == ["half-way", 0.7, "half-way", 0.7]
    assert list(settle(3)) == []


@pytest.mark.parametrize("explorer", [Tpe, RandomWidths])
def test_a_latency_budget_is_kept_by_measuring(explorer, pool):
    full = pool.network.cost().macs

    def clock(plan):
        return 8.0 * pool.network.cost(plan).macs / full

    budgets = (Budget("latency", amount=4.0),)
    events = list(searching(Search(explorer(), 6), pool, smooth(pool), budgets, measures={"latency": clock}))
    found = [e for e in events if isinstance(e, Trial)]
    assert any(isinstance(e, LatencyStep) for e in events)
    assert len(found) == 6
    for trial in found:
        assert trial.latency_ms == clock(Plan(trial.plan))
        assert trial.within
        assert trial.latency_ms <= 4.0


def test_greedy_shrinks_the_layer_that_hurts_least():
    """The sheet's oracle: from widths (2, 2), errors e(1,2) = .30 and e(2,1) = .20, so layer two shrinks first."""
    network = chain_network(2, 2)
    pool = Pool.of(network, random_scores(network))
    errors = {(2, 2): 0.1, (1, 2): 0.30, (2, 1): 0.20, (1, 1): 0.50}

    def accuracy(plan: Plan) -> float:
        return 1 - errors[tuple(2 - len(plan.get(key, ())) for key in ("0", "3"))]

    found = trials_of(
        searching(
            Search(Greedy(step=0.5), 10),
            pool,
            accuracy,
            (Budget("macs", amount=1 + network.cost(Plan({"0": [0]})).macs),),
        )
    )
    widths = [tuple(2 - len(trial.plan.get(key, ())) for key in ("0", "3")) for trial in found]
    assert widths == [(2, 2), (1, 2), (2, 1)] + ([(1, 1)] if not found[2].within else [])
    assert found[-1].within


def test_greedy_goes_on_until_the_budget_is_kept(pool):
    network = chain_network(4, 4)
    tight = Pool.of(network, random_scores(network), Limits(floor=0.5))
    budget = Budget("macs", amount=tight.cost(tight.most).macs)
    low = tight.cost(tight.most).macs
    search = Search(Greedy(step=0.25), trials=2)
    found = trials_of(searching(search, tight, lambda plan: 0.5, (budget,)))
    assert found[-1].within
    assert 2 < len(found) <= longest(search, tight, (budget,)) == 1 + 2 * (2 + 2)
    assert found[-1].macs == low


def test_the_front_of_trials_worked_by_hand():
    def trial(macs, accuracy, latency=None):
        return Trial(0, (), {}, {}, macs, 0, latency, accuracy, True, False, 0.0)

    assert on_front([trial(10, 0.5), trial(20, 0.5), trial(20, 0.7), trial(5, 0.1)]) == (True, False, True, True)
    assert on_front([trial(10, 0.5), trial(10, 0.5)]) == (True, True)  # equals do not dominate each other
    assert on_front([trial(1, 0.5, 3.0), trial(9, 0.5, 2.0)]) == (False, True)  # by latency where it was measured
    assert on_front([]) == ()
    assert best_of([]) is None


def test_a_trial_survives_the_store(pool):
    (first, *_) = trials_of(searching(Search(trials=1), pool, smooth(pool), (HALF,)))
    assert Codec((Trial,)).load(dump(first)) == first


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_a_search_survives_the_store(explorer):
    search = Search(explorer(), trials=7, least=0.2, seed=3)
    assert Codec((Search, *EXPLORERS)).load(dump(search)) == search


def test_what_stored_runs_are_read_with_does_without_torch():
    code = "import sys, pruning_core.allocation.trial; print('torch' in sys.modules)"
    assert elsewhere(["-c", code], ROOT, path=ROOT).strip() == "False"


def test_every_explorer_says_what_it_is():
    assert len({cls.card.key for cls in EXPLORERS}) == len(EXPLORERS)
    for cls in EXPLORERS:
        assert cls.__doc__
        assert all((cls.card.name, cls.card.idea, cls.card.formula, cls.card.cost, cls.card.fails))


def test_candidates_come_from_stored_drops_alone_in_the_order_of_their_sums(pool):
    """b1 bears most in the table, so the best candidate takes more of it than the uniform plan does."""
    counted = []
    explorer = Candidates(TABLE, candidates=5)
    search = Search(explorer, trials=50)
    found = trials_of(searching(search, pool, lambda plan: counted.append(plan) or 0.5, (HALF, Budget("bytes", 0.9))))
    assert len(found) == len(counted) == longest(search, pool, (HALF,)) == 6
    assert Plan(found[0].plan) == allocate(Uniform(), pool, HALF, Budget("bytes", 0.9)).plan

    def summed(trial):
        return sum(drop_at(dict(explorer.table)[key], ratio) for key, ratio in trial.ratios.items())

    assert all(trial.within for trial in found)
    own = [summed(trial) for trial in found[1:]]
    assert own == sorted(own) and own[0] < summed(found[0])
    assert found[1].ratios["b1"] > found[0].ratios["b1"]
    assert len({tuple(sorted(trial.ratios.items())) for trial in found[1:]}) == 5, "no candidate twice"


def test_candidates_for_a_latency_are_fitted_by_timing(pool):
    full = pool.network.cost().macs
    clock = {"latency": lambda plan: 8.0 * pool.network.cost(plan).macs / full}
    search = Search(Candidates(TABLE, candidates=2), trials=3)
    found = trials_of(searching(search, pool, smooth(pool), (Budget("latency", 0.4),), measures=clock))
    assert len(found) == 3 and all(trial.latency_ms <= 3.2 for trial in found)


def test_candidates_need_a_table_that_reaches_the_budget(pool):
    for table, words in (({}, "Run a sensitivity sweep"), ({"stem": [(0.1, 0.0)]}, "cannot be reached")):
        with pytest.raises(UserError, match=words):
            list(searching(Search(Candidates(table), trials=3), pool, smooth(pool), (HALF,)))


def test_a_drop_between_measured_ratios_lies_on_a_line():
    curve = ((0.2, 0.1), (0.6, 0.5))
    assert [round(drop_at(curve, r), 6) for r in (0.0, 0.1, 0.2, 0.4, 0.6, 0.9)] == [0.0, 0.05, 0.1, 0.3, 0.5, 0.5]


@pytest.mark.parametrize("explorer", [*MADE, Tpe(startup=4), Nsga2(population=4)], ids=[*NAMES, "Tpe4", "Nsga4"])
def test_what_is_foreseen_comes_whatever_it_turns_out_to_be_worth(explorer, pool):
    search, luck = Search(explorer, trials=14, seed=5), random.Random(2)

    def guess(plan: Plan) -> float:
        return luck.random()

    found = trials_of(searching(search, pool, guess, (HALF,)))
    told = [foreseen(search, pool, (HALF,), found[:number], ahead=5) for number in range(len(found))]
    for number, plans in enumerate(told):
        assert [Plan(each.plan) for each in found[number : number + len(plans)]] == list(plans)
    alone = {Greedy: 0, Annealing: 0}.get(type(explorer))
    assert (sum(map(len, told)) == 0) is (alone == 0), "some are foreseen but where every draw follows from the last"
