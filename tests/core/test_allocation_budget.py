"""A budget is kept, used up, and refused when it is out of reach."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.allocation.base import Allocation
from pruning_core.allocation.budget import Budget, allocate, figure, kept, least, load, reachable
from pruning_core.allocation.by_hand import ByHand
from pruning_core.allocation.by_sensitivity import BySensitivity
from pruning_core.allocation.global_threshold import NORMALISE, GlobalThreshold
from pruning_core.allocation.latency import fitting
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.lowest import lowest
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.strategies import ALLOCATIONS
from pruning_core.allocation.trial import LatencyStep
from pruning_core.allocation.uniform import Uniform
from pruning_core.errors import UserError
from tests.core.allocation_nets import chain_network, random_scores, residual_network

KEYS = ("stem", "a1", "b1")
curves = st.lists(st.tuples(st.floats(0.01, 0.9), st.floats(-0.05, 0.9)), min_size=1, max_size=5)
allocations: dict[type[Allocation], st.SearchStrategy[Allocation]] = {
    Uniform: st.just(Uniform()),
    ByHand: st.builds(ByHand, st.fixed_dictionaries(dict.fromkeys(KEYS, st.floats(0.01, 0.9)))),
    GlobalThreshold: st.builds(
        GlobalThreshold,
        normalise=st.sampled_from(sorted(NORMALISE)),
        penalty=st.floats(0, 1),
        floor=st.floats(0, 0.5),
        isomorphic=st.booleans(),
    ),
    BySensitivity: st.builds(
        BySensitivity, st.fixed_dictionaries(dict.fromkeys(KEYS, curves)), interpolate=st.booleans()
    ),
}
limits = st.builds(
    Limits,
    multiple=st.sampled_from([1, 4]),
    floor=st.floats(0, 0.5),
    protected=st.sampled_from([(), ("b1",), ("stem",)]),
    caps=st.sampled_from([{}, {"a1": 0.5}]),
)


def test_the_properties_below_hold_for_the_whole_registry():
    assert set(allocations) == set(ALLOCATIONS)


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", ["macs", "parameters"])
@pytest.mark.parametrize("cls", ALLOCATIONS)
def test_a_plan_keeps_to_its_budget_and_its_limits(cls, kind, data):
    network = residual_network()
    bounds = data.draw(limits)
    pool = Pool.of(network, random_scores(network, data.draw(st.integers(0, 9))), bounds)
    allocation = data.draw(allocations[cls])
    reach = reachable(allocation, pool, kind)
    assert reach.low <= reach.high == getattr(network.cost(), kind)
    share = data.draw(st.floats(0, 1))
    limit = reach.low + share * (reach.high - reach.low)
    done = allocate(allocation, pool, Budget(kind, amount=limit))
    assert getattr(network.cost(done.plan), kind) <= limit
    assert not set(done.plan) & set(bounds.protected)
    for key, units in done.plan.items():
        size = network.group(key).size
        kept = size - len(units)
        assert kept >= max(1, bounds.floor * size)
        assert kept % bounds.multiple == 0
        assert len(units) / size <= dict(bounds.caps).get(key, 1.0)
        assert units == lowest(torch.as_tensor(pool.values[key]), len(units))


@settings(max_examples=30, deadline=None)
@given(st.data())
@pytest.mark.parametrize("cls", ALLOCATIONS)
def test_a_larger_budget_never_gives_a_cheaper_plan(cls, data):
    network = residual_network()
    pool = Pool.of(network, random_scores(network, data.draw(st.integers(0, 9))), data.draw(limits))
    allocation = data.draw(allocations[cls])
    reach = reachable(allocation, pool)
    shares = sorted(data.draw(st.lists(st.floats(0, 1), min_size=4, max_size=4)))
    amounts = [reach.low + share * (reach.high - reach.low) for share in shares]
    costs = [allocate(allocation, pool, Budget("macs", amount=amount)).cost.macs for amount in amounts]
    assert costs == sorted(costs)


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.8, 0.95])
def test_the_bisection_finds_the_first_threshold_that_fits(share):
    """Against every threshold tried in turn: one channel less would exceed the budget."""
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    allocation = GlobalThreshold()
    limit = share * network.cost().macs
    total = sum(pool.size.values())
    dial = allocation.dial(pool)
    costs = [pool.cost(dial.at(n / total)).macs for n in range(total + 1)]
    assert costs == sorted(costs, reverse=True)
    first = next(n for n, cost in enumerate(costs) if cost <= limit)
    done = allocate(allocation, pool, Budget("macs", share))
    assert done.counts() == {key: n for key, n in dial.at(first / total).items() if n}


def test_groups_that_would_lose_a_channel_together_are_given_back_while_the_budget_holds():
    """Three groups of eight fall at the same ratios; a uniform cut alone would leave a fifth of this budget unused."""
    network = chain_network(8, 8, 8)
    pool = Pool.of(network, random_scores(network))
    limit = 0.7 * network.cost().macs
    done = allocate(Uniform(), pool, Budget("macs", 0.7))
    plain = pool.cost(Uniform().dial(pool).at(done.strength)).macs
    assert plain < done.cost.macs <= limit
    assert max(done.counts().values()) - min(done.counts().get(key, 0) for key in pool.size) == 1
    for key in done.plan:  # nothing more fits
        more = {**done.counts(), key: done.counts()[key] - 1}
        if more[key] >= min(done.counts().values()):
            assert pool.cost(more).macs > limit


def test_a_budget_of_the_whole_network_removes_nothing():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    for budget in (Budget("macs", 1.0), Budget("parameters", amount=1e12)):
        done = allocate(Uniform(), pool, budget)
        assert not done.plan
        assert done.strength == 0


def test_a_budget_out_of_reach_is_refused_with_the_range():
    network = residual_network()
    pool = Pool.of(network, random_scores(network), Limits(floor=0.5))
    reach = reachable(Uniform(), pool)
    assert reach.low == pool.cost({"stem": 8, "a1": 12, "b1": 4}).macs
    allocate(Uniform(), pool, Budget("macs", amount=reach.low))
    with pytest.raises(UserError, match=rf"cannot be reached.*between {int(reach.low):,} and {int(reach.high):,} MACs"):
        allocate(Uniform(), pool, Budget("macs", amount=reach.low - 1))


@pytest.mark.parametrize(
    "wrong", [{}, {"fraction": 0.5, "amount": 3.0}, {"fraction": 0.0}, {"fraction": 1.5}, {"amount": -1.0}]
)
def test_a_budget_is_one_positive_number(wrong):
    with pytest.raises(UserError):
        Budget("macs", **wrong)
    with pytest.raises(UserError, match="none of them"):
        Budget("watts", fraction=0.5)  # type: ignore[arg-type]  # what a stored budget might say


def test_rounded_widths_are_what_the_budget_counts():
    network = residual_network()
    pool = Pool.of(network, random_scores(network), Limits(multiple=4))
    done = allocate(Uniform(), pool, Budget("macs", 0.5))
    assert done.cost.macs <= 0.5 * network.cost().macs
    assert all((network.group(key).size - count) % 4 == 0 for key, count in done.counts().items())


def run(generator):
    """The events and the result of a generator."""
    events = []
    try:
        while True:
            events.append(next(generator))
    except StopIteration as stop:
        return events, stop.value


def test_a_latency_budget_is_fitted_by_measuring():
    """With a clock that follows the MACs exactly, the fit ends just below the budget."""
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    full = network.cost().macs
    asked = []

    def measure(plan):
        asked.append(plan)
        return 10.0 * network.cost(plan).macs / full

    steps, done = run(fitting(Uniform(), pool, (Budget("latency", 0.5),), {"latency": measure}))
    assert all(isinstance(step, LatencyStep) for step in steps)
    assert len(asked) == len(set(asked)) <= len(steps) + 2  # nothing is timed twice
    assert 4.2 < 10.0 * done.cost.macs / full <= 5.0
    assert "Measured" in done.notes[-1] and not [step for step in steps if step.kind != "latency"]


def test_a_latency_fit_returns_a_plan_that_was_measured_within_the_budget():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    noise = torch.Generator().manual_seed(1)
    seen = {}

    def measure(plan):
        yield "a heartbeat"
        seen[plan] = 10.0 * network.cost(plan).macs / network.cost().macs + float(torch.rand((), generator=noise))
        return seen[plan]

    events, done = run(fitting(Uniform(), pool, (Budget("latency", amount=6.0),), {"latency": measure}))
    assert "a heartbeat" in events
    assert seen[done.plan] <= 6.0


def test_an_unreachable_latency_is_refused_after_two_measurements():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    count = []
    with pytest.raises(UserError, match=r"between 5.00 and 5.00 ms"):
        measures = {"latency": lambda plan: count.append(plan) or 5.0}
        run(fitting(Uniform(), pool, (Budget("latency", amount=1.0),), measures))
    assert len(count) == 2


def test_least_costs_few_evaluations():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    count = []
    least(Uniform().dial(pool), pool, lambda c: count.append(c) or pool.cost(c).macs, 0.5 * network.cost().macs)
    assert len(count) <= 25


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("cls", ALLOCATIONS)
def test_a_plan_keeps_to_every_one_of_several_budgets_and_the_tightest_is_used_up(cls, data):
    network = residual_network()
    pool = Pool.of(network, random_scores(network, data.draw(st.integers(0, 9))), data.draw(limits))
    allocation = data.draw(allocations[cls])
    budgets = []
    for kind in ("macs", "parameters", "bytes"):
        reach = reachable(allocation, pool, kind)
        budgets.append(Budget(kind, amount=reach.low + data.draw(st.floats(0, 1)) * (reach.high - reach.low)))
    done = allocate(allocation, pool, *budgets)
    found = kept(budgets, network.cost(), done.cost)
    assert [(each.budget, each.limit) for each in found] == [(each, each.amount) for each in budgets]
    assert all(each.met and each.found == figure(done.cost, each.budget.kind) for each in found)
    single = [allocate(allocation, pool, each).strength for each in budgets]
    assert done.strength == max(single), "no more is removed than the tightest one asks for"


def test_of_two_budgets_of_one_kind_the_tighter_rules_and_the_order_does_not_matter():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    two = (Budget("macs", 0.7), Budget("macs", 0.4), Budget("bytes", 0.9))
    assert allocate(Uniform(), pool, *two) == allocate(Uniform(), pool, *two[::-1])
    assert allocate(Uniform(), pool, *two).plan == allocate(Uniform(), pool, Budget("macs", 0.4)).plan


def test_how_a_plan_stands_to_budgets_it_was_not_made_for():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    cost = allocate(Uniform(), pool, Budget("macs", 0.5)).cost
    half, tiny, timed = Budget("macs", 0.5), Budget("bytes", amount=100.0), Budget("latency", 0.5)
    first, second = kept((half, tiny, timed), network.cost(), cost)
    assert first.met and first.spare == 1 - cost.macs / (0.5 * network.cost().macs) >= 0
    assert not second.met and second.spare == 1 - cost.size_bytes / 100 < 0
    assert (half.text, tiny.text) == ("50 % of the MACs", "100 bytes")


def test_a_latency_beside_other_budgets_is_fitted_from_where_they_end():
    """A clock that is content leaves the plan of the others alone; one that is not goes on from there."""
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    full = network.cost().macs
    clock = {"latency": lambda plan: 10.0 * network.cost(plan).macs / full, "compiled": lambda plan: 3.0}
    half = allocate(Uniform(), pool, Budget("macs", 0.5)).plan
    budgets = (Budget("macs", 0.5), Budget("latency", 0.9), Budget("compiled", amount=4.0))
    steps, done = run(fitting(Uniform(), pool, budgets, clock))
    assert done.plan == half and not steps, "nothing but the ends and the plan is timed"
    steps, done = run(fitting(Uniform(), pool, (Budget("macs", 0.5), Budget("latency", 0.3)), clock))
    assert 0.2 < done.cost.macs / full <= 0.3
    assert all(step.macs <= 0.5 * full for step in steps), "no plan over the MACs is timed"
    with pytest.raises(ValueError, match="closed forms"):
        run(fitting(Uniform(), pool, (Budget("macs", 0.5),), clock))


def test_what_exceeds_a_limit_never_rounds_to_what_keeps_to_it():
    assert load(3.0, 3.0) == 1.0 and load(1.0, 4.0) == 0.25
    assert all(load(math.nextafter(x, 9e9), x) > 1 for x in (1.0, 1.9999999999999998, 3.0, 1e9 - 1, 1 / 3))
