"""The comparison of criteria on the real demo network: what it measures is what measuring by hand gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import GreedyReconstruction, L1Norm, Random, Site, TaylorGate, score
from pruning_core.criteria.base import Criterion
from pruning_core.datasets import DIGITS, load_data, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.events import Event, Progress
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies import inputs
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.points import ORIGIN, OutOfReach, Point, Scored, When
from pruning_core.studies.scores import ScoresRun, draws, read_scores
from pruning_core.studies.specs import PRODUCT
from pruning_core.taxonomy import Card, Data, Family
from pruning_core.training.config import FineTune
from pruning_core.zoo import DEMOS, load_model

DEMO = DEMOS[0].ref
IMAGES = 120
QUICK = {"budgets": (0.5,), "images": IMAGES, "recalibrate": False, "latency": False, "device": "cpu"}


pytestmark = pytest.mark.usefixtures("one_thread")


def points(events: list[Event] | tuple[Event, ...]) -> list[Point]:
    return [event for event in events if isinstance(event, Point)]


def test_a_point_is_what_pruning_and_evaluating_by_hand_give(workspace: Workspace) -> None:
    events = list(CompareRun(DEMO, DIGITS, (L1Norm(),), **QUICK).run(workspace))
    origin, found = points(events)
    loaded = load_model(DEMO, workspace)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    scores = score(loaded.model, network, (L1Norm(),))[L1Norm()].values
    chosen = allocate(Uniform(), Pool.of(network, scores), Budget("macs", fraction=0.5))
    _, test = load_splits(DIGITS)
    test = inputs.fitted(test.subset(IMAGES, 0), DIGITS, loaded)
    by_hand = evaluate(remove(loaded.model, network, chosen.plan).model, test, device="cpu")
    whole = evaluate(loaded.model, test, device="cpu")
    assert (found.top1, found.top5, found.low, found.images) == (by_hand.top1, by_hand.top5, by_hand.low, IMAGES)
    assert (found.macs, found.parameters) == (chosen.cost.macs, chosen.cost.parameters)
    assert 0.4 < found.macs / origin.macs <= 0.5
    assert origin.criterion == ORIGIN and origin.top1 == whole.top1 and origin.drop is None
    assert found.drop == pytest.approx(whole.top1 - by_hand.top1) and found.drop_low < found.drop < found.drop_high
    (scored,) = (event for event in events if isinstance(event, Scored))
    stored = read_scores(workspace, scored.digest)
    assert set(stored) == set(scores) and all(torch.equal(torch.from_numpy(stored[k]), scores[k]) for k in scores)
    assert isinstance(events[-1], Progress) and events[-1].done == events[-1].total == 2


def test_chance_is_drawn_several_times_and_all_get_every_moment(workspace: Workspace) -> None:
    tune = FineTune(epochs=1, batch_size=256, device="cpu")
    quick = {**QUICK, "recalibrate": True, "latency": True, "mend": Mending(images=64)}
    spec = CompareRun(DEMO, DIGITS, (L1Norm(), Random()), **quick, random_seeds=2, tune=tune)
    found = points(list(spec.run(workspace)))
    assert len(found) == spec.points == len({point.place for point in found}) == 3 * 4 + 2
    assert {point.draw for point in found if point.key == "random"} == {0, 1}
    pruned = {p.place: p for p in found}
    l1 = [pruned[L1Norm().label, 0, 0.5, str(when)] for when in When]
    assert len({p.macs for p in l1}) == 1 and l1[1].top1 > l1[0].top1, "statistics of its own help"
    assert l1[2].when == When.MENDED and l1[2].top1 > l1[1].top1, "and refitted weights more"
    assert l1[0].latency_ms is not None and l1[0].latency_ms > 0
    assert {p.when for p in found if p.criterion == ORIGIN} == {str(When.PRUNED), str(When.TUNED)}
    assert all(p.low <= p.top1 <= p.high for p in found)


def test_a_resumed_comparison_repeats_nothing_and_ends_the_same(workspace: Workspace, tmp_path: Path) -> None:
    spec = CompareRun(DEMO, DIGITS, (L1Norm(), TaylorGate()), **QUICK)
    whole = {p.place: (p.top1, p.macs, p.drop) for p in points(list(spec.run(Workspace(tmp_path / "other"))))}
    events: list[Event] = []
    run = spec.run(workspace)
    for event in run:
        events.append(event)
        if len(points(events)) == 2:
            break
    run.close()
    kept = spec.keep(workspace, tuple(events))
    assert len(kept) == 4, "two scores and two points"
    after = list(spec.run(workspace, kept))
    assert len(points(after)) == 1 and not [event for event in after if isinstance(event, Scored)]
    assert {p.place: (p.top1, p.macs, p.drop) for p in [*points(kept), *points(after)]} == whole


def test_a_paper_that_mends_the_next_layers_has_them_mended(workspace: Workspace) -> None:
    greedy = GreedyReconstruction()
    spec = CompareRun(DEMO, DIGITS, (greedy,), **QUICK, score_images=64)
    found = points(list(spec.run(workspace)))[-1]
    loaded = load_model(DEMO, workspace)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    fit = inputs.fitted(load_data(replace(DIGITS, split="fit")), DIGITS, loaded)
    scores = score(loaded.model, network, (greedy,), fit, images=64)[greedy].values
    plan = allocate(Uniform(), Pool.of(network, scores), Budget("macs", fraction=0.5)).plan
    _, test = load_splits(DIGITS)
    test = inputs.fitted(test.subset(IMAGES, 0), DIGITS, loaded)
    plain = evaluate(remove(loaded.model, network, plan).model, test, device="cpu")
    assert found.macs == network.cost(plan).macs and found.top1 > plain.top1 + 0.2


def test_a_budget_out_of_reach_is_said_with_the_range(workspace: Workspace) -> None:
    spec = CompareRun(DEMO, DIGITS, (L1Norm(),), **{**QUICK, "budgets": (0.0001,)})
    (told,) = (event for event in spec.run(workspace) if isinstance(event, OutOfReach))
    assert "cannot be reached" in told.sentence and told.criterion == L1Norm().label
    with pytest.raises(UserError, match="at least one criterion"):
        list(CompareRun(DEMO, DIGITS, ()).run(workspace))


def test_scores_are_stored_once_for_each_criterion(workspace: Workspace) -> None:
    spec = ScoresRun(DEMO, DIGITS, (L1Norm(), Random()), images=16)
    scored = [event for event in spec.run(workspace) if isinstance(event, Scored)]
    assert [each.criterion for each in scored] == [L1Norm().label, Random().label]
    assert all(each.seconds >= 0 and not each.missing for each in scored)
    again = [event for event in spec.run(workspace, tuple(scored)) if isinstance(event, Scored)]
    assert again == [], "what was scored before is not scored again"
    other = draws((Random(),), 3)
    assert [each.criterion.seed for each in other] == [0, 1, 2] and {each.label for each in other} == {"Random"}


def test_specs_and_events_come_back_from_the_store() -> None:
    spec = CompareRun(DEMO, DIGITS, (L1Norm(), Random(3)), tune=FineTune(epochs=1))
    assert PRODUCT.spec(dump(spec)) == spec
    event = Scored("a", "b", 0, 1.0, 0, "CPU", "0" * 64, {"conv": "no"})
    assert PRODUCT.event(dump(event)) == event


@dataclass(frozen=True)
class Backwards(Criterion):
    """A criterion nobody has heard of: the last channel matters most."""

    card = Card(key="backwards", name="Backwards", family=Family.CONTROL, data=Data.NONE, cost="none")

    def score(self, site: Site) -> Tensor:
        return torch.arange(site.channels, dtype=torch.float64)


def test_a_new_criterion_is_compared_without_another_line(workspace: Workspace) -> None:
    found = points(list(CompareRun(DEMO, DIGITS, (Backwards(),), **QUICK).run(workspace)))
    assert found[-1].criterion == "Backwards" and found[-1].key == "backwards" and found[-1].draw == 0
