"""The search as a run, on the real demo network: its trials are what pruning by hand gives, and none is made twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.greedy import Greedy
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.sampled import Nsga2, RandomWidths, Tpe
from pruning_core.allocation.search import BASELINE, Search, reach
from pruning_core.allocation.trial import LatencyStep, best_of
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import L1Norm, score
from pruning_core.datasets import DIGITS, hold_out, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods.recoveries import NewStatistics
from pruning_core.runs.events import Event, Progress
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.studies.points import ORIGIN
from pruning_core.studies.search import SearchRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.studies.tried import UNIFORM, Finalist, Tried
from pruning_core.training.recalibrate import recalibrate
from pruning_core.zoo import DEMOS, load_model

DEMO = DEMOS[0].ref
HALF = Budget("macs", fraction=0.5)


pytestmark = pytest.mark.usefixtures("one_thread")


def quick(explorer=None, trials: int = 3, **given) -> SearchRun:
    settings = {"budgets": (HALF,), "images": 80, "recovery": NewStatistics(images=64), "device": "cpu", **given}
    return SearchRun(DEMO, DIGITS, search=Search(explorer or Tpe(), trials=trials), **settings)


def tried(events) -> list[Tried]:
    return [event for event in events if isinstance(event, Tried)]


def made(events) -> list[tuple]:
    return [(e.by, replace(e.trial, seconds=0.0), e.low, e.high, e.images) for e in tried(events)]


def test_a_trial_is_what_pruning_recalibrating_and_evaluating_by_hand_give(workspace: Workspace) -> None:
    events = list(quick(trials=1, control=False).run(workspace))
    (found,) = tried(events)
    loaded = load_model(DEMO, workspace)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    pool = Pool.of(network, score(loaded.model, network, (L1Norm(),))[L1Norm()].values)
    plan = allocate(Uniform(), pool, HALF).plan
    fit, held_out = (fitted(part, DIGITS, loaded) for part in hold_out(load_splits(DIGITS)[0], DIGITS))
    seen = fit.subset(64, 0)
    by_hand = recalibrate(remove(loaded.model, network, plan).model, [seen.normalised(seen.images)])
    there = evaluate(by_hand, held_out.subset(80, 0), device="cpu")
    assert Plan(found.trial.plan) == plan, "the first trial is the uniform allocation"
    assert found.trial.accuracy == there.top1 and (found.low, found.high, found.images) == (there.low, there.high, 80)
    assert (found.trial.macs, found.trial.parameters) == (network.cost(plan).macs, network.cost(plan).parameters)
    whole = next(event for event in events if isinstance(event, Accuracy))
    assert whole.top1 == evaluate(loaded.model, held_out.subset(80, 0), device="cpu").top1


def test_chance_takes_turns_and_the_winners_are_tested_on_unseen_images(workspace: Workspace) -> None:
    events = list(quick(Nsga2(population=4), trials=4).run(workspace))
    names = ("nsga2", BASELINE.card.key)
    assert [e.by for e in tried(events)] == [*names] * 4
    own = [e.trial for e in tried(events) if e.by == "nsga2"]
    tests = {e.by: e for e in events if isinstance(e, Finalist)}
    assert list(tests) == [ORIGIN, UNIFORM, BASELINE.card.key, "nsga2"]
    assert tests["nsga2"].number == best_of(own).number and tests["nsga2"].behind is not None
    assert all(e.accuracy.images == 450 and "test" in e.accuracy.dataset for e in tests.values())
    unpruned = tests[ORIGIN].accuracy.top1
    assert all(e.drop.drop == pytest.approx(unpruned - e.accuracy.top1) for e in tests.values() if e.drop is not None)
    last = events[-1]
    assert isinstance(last, Progress) and last.done == last.total == 8
    assert [PRODUCT.event(dump(event)) for event in events] == events


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_stopped_search_goes_on_with_the_same_trials_and_makes_none_twice(stop_after, workspace, tmp_path) -> None:
    spec = quick(Tpe(startup=2), trials=4)
    whole = list(spec.run(Workspace(tmp_path / "other")))
    events: list[Event] = []
    run = spec.run(workspace)
    for event in run:
        events.append(event)
        if len(tried(events)) == stop_after:
            break
    run.close()
    kept = spec.keep(workspace, tuple(events))
    assert len(kept) == stop_after + 1, "the trials, and the unpruned network's accuracy"
    after = list(spec.run(workspace, tuple(PRODUCT.event(dump(event)) for event in kept)))
    assert not [event for event in after if isinstance(event, Accuracy)]
    assert made(kept) + made(after) == made(whole)
    tests = [[(e.by, e.number, e.accuracy.top1) for e in part if isinstance(e, Finalist)] for part in (after, whole)]
    assert tests[0] == tests[1] and len(tests[0]) == 4


def test_without_a_budget_a_front_is_searched_and_nothing_is_tested(workspace: Workspace) -> None:
    events = list(quick(RandomWidths(), trials=3, budgets=()).run(workspace))
    assert {e.by for e in tried(events)} == {BASELINE.card.key}, "chance is its own control"
    assert not tried(events)[0].trial.plan, "it begins with the whole network"
    assert not [event for event in events if isinstance(event, Finalist)], "the front is chosen from, not one network"


def test_a_budget_out_of_reach_is_refused_before_any_trial_with_the_range(workspace: Workspace) -> None:
    spec = quick(limits=Limits(floor=0.8), budgets=(Budget("parameters", fraction=0.3),))
    events: list[Event] = []
    with pytest.raises(UserError, match="cannot be reached: within the limits this network can have between"):
        events.extend(spec.run(workspace))
    assert not tried(events)
    loaded = load_model(DEMO, workspace)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    level = {group.key: torch.zeros(group.size) for group in network.groups}
    found = reach(spec.search, Pool.of(network, level, spec.limits), "parameters")
    assert 0.3 < found.low / found.high < 0.9 and found.high == network.cost().parameters


def test_limits_hold_in_every_trial(workspace: Workspace) -> None:
    key = "layer3.0.conv1"
    events = list(quick(trials=4, limits=Limits(multiple=8, protected=(key,))).run(workspace))
    loaded = load_model(DEMO, workspace)
    sizes = {g.key: g.size for g in capture(loaded.model, torch.zeros(1, *loaded.input_size)).groups}
    for each in tried(events):
        assert key not in each.trial.plan
        assert all((sizes[name] - len(units)) % 8 == 0 for name, units in each.trial.plan.items())


def test_a_latency_budget_is_kept_by_timing_every_trial(workspace: Workspace) -> None:
    events = list(quick(trials=2, control=False, budgets=(Budget("latency", amount=1e6),)).run(workspace))
    assert all(e.trial.latency_ms is not None and 0 < e.trial.latency_ms <= 1e6 for e in tried(events))
    assert len(tried(events)) == 2
    with pytest.raises(UserError, match=r"between .* ms"):
        list(quick(budgets=(Budget("latency", amount=1e-6),)).run(workspace))


def test_a_greedy_search_ends_by_itself_and_chance_gets_as_many_trials(workspace: Workspace) -> None:
    events = list(quick(Greedy(step=0.5), trials=2, budgets=(Budget("macs", fraction=0.8),)).run(workspace))
    own, chance = ([e for e in tried(events) if e.by == key] for key in ("autoslim", BASELINE.card.key))
    assert len(own) > 2 and len(chance) in (len(own), len(own) - 1) and own[-1].trial.within
    assert all(e.seconds_left is None for e in events[:-1] if isinstance(e, Progress)), "nobody knows how long it takes"


def test_a_search_run_survives_the_store() -> None:
    spec = quick(Greedy(step=0.3), limits=Limits(multiple=4, protected=("conv1",), caps=(("conv1", 0.5),)))
    assert PRODUCT.spec(dump(spec)) == spec
    assert replace(spec, control=False).key != spec.key
    assert LatencyStep(1.0, 2, 3, 4.0, True) == PRODUCT.event(dump(LatencyStep(1.0, 2, 3, 4.0, True)))
