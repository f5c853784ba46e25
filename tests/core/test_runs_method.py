"""A method as a run: what is reported after each phase, exact resume, and a network that can be loaded again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from pruning_core.allocation.budget import Budget
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.magnitude_pruning import MagnitudePruning
from pruning_core.methods.network_slimming import NetworkSlimming
from pruning_core.methods.soft_pruning import SoftFilterPruning
from pruning_core.runs.events import Event
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted
from pruning_core.studies.method import MethodRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.studies.treated import PhaseDone, Treated
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch, Step
from pruning_core.work import finished
from pruning_core.zoo import DEMOS, load_model

DEMO = DEMOS[0].ref
SHORT = FineTune(epochs=2, batch_size=256, lr=0.02, device="cpu")
RUN = MethodRun(DEMO, DIGITS, NetworkSlimming(), Budget("macs", fraction=0.5), SHORT)

pytestmark = pytest.mark.usefixtures("one_thread")


def steady(event: Event) -> Event:
    """Without what a clock measured."""
    match event:
        case Epoch():
            return replace(event, seconds=0.0, images_per_s=0.0)
        case PhaseDone():
            return replace(event, seconds=0.0, accuracy=replace(event.accuracy, seconds=0.0))
        case Treated():
            still = [
                replace(each, latency=None, accuracy=replace(each.accuracy, seconds=0.0))
                for each in (event.before, event.after)
            ]
            cut = event.cut and replace(event.cut, seconds=0.0)
            return replace(event, before=still[0], after=still[1], cut=cut, seconds=0.0, proof=None)
    return event


def lasting(events: Iterator[Event] | tuple[Event, ...]) -> list[Event]:
    return [steady(event) for event in events if isinstance(event, Epoch | PhaseDone | Treated)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Event]]:
    workspace = Workspace(tmp_path_factory.mktemp("whole"))
    return workspace, list(RUN.run(workspace))


def test_every_phase_is_measured_and_the_network_comes_back(whole: tuple[Workspace, list[Event]]) -> None:
    workspace, events = whole
    phases = [event for event in events if isinstance(event, PhaseDone)]
    (end,) = [event for event in events if isinstance(event, Treated)]
    loaded = load_model(DEMO, workspace)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    full = network.cost()
    assert [phase.number for phase in phases] == [0, 1, 2, 3]
    assert phases[0].macs == full.macs and phases[1].macs == phases[2].macs == phases[3].macs <= full.macs / 2
    plan = Plan.from_json(phases[-1].plan)
    assert network.cost(plan).macs == phases[-1].macs == end.after.cost.macs
    assert end.before.cost == full and end.proof is not None and end.proof.exact
    _, test = finished(both_splits(DIGITS, workspace))
    test = fitted(test, DIGITS, loaded)
    again = load_model(end.model, workspace).model
    assert evaluate(again, test, device="cpu").top1 == end.after.accuracy.top1 == phases[3].accuracy.top1
    assert evaluate(loaded.model, test, device="cpu").top1 == end.before.accuracy.top1
    assert end.drop.drop == pytest.approx(end.before.accuracy.top1 - end.after.accuracy.top1)
    assert end.cut is not None and end.cut.top1 == phases[1].accuracy.top1
    assert sum(p.numel() for p in again.parameters()) == end.after.cost.parameters
    fit = next(event for event in events if isinstance(event, Epoch) and event.epoch == 1).images_per_s
    assert end.images == sum(phase.images for phase in phases) == 2 * 1078 and fit > 0
    assert end.seeds == (0, 1)


def test_events_are_stored_and_come_back(whole: tuple[Workspace, list[Event]]) -> None:
    for event in whole[1]:
        assert PRODUCT.checked_event(dump(event)) == event
    assert PRODUCT.spec(dump(RUN)) == RUN
    held = replace(RUN, method=CutAndTrain())
    assert PRODUCT.spec(dump(held)) == held and held.key != RUN.key


def test_training_events_name_their_phase_and_the_whole(whole: tuple[Workspace, list[Event]]) -> None:
    steps = [event for event in whole[1] if isinstance(event, Step)]
    assert {step.tag for step in steps} == {"0", "3"}
    done = [step.done for step in steps]
    assert done == sorted(done) and max(s.done for s in steps if s.tag == "0") <= 0.5 < done[-1] <= 1.0
    assert all(e.watched for e in whole[1] if isinstance(e, Epoch) and e.tag == "0")


@pytest.mark.parametrize("stop", ["inside", "between", "after the cut"])
def test_a_stopped_method_goes_on_exactly(
    stop: str, whole: tuple[Workspace, list[Event]], workspace: Workspace
) -> None:
    run, seen = RUN.run(workspace), []
    for event in run:
        seen.append(event)
        match stop, event:
            case ("inside", Step(tag="3")) | ("between", PhaseDone(number=0)) | ("after the cut", PhaseDone(number=1)):
                break
    run.close()
    past = RUN.keep(workspace, tuple(seen))
    rest = list(RUN.run(workspace, past))
    assert lasting((*past, *rest)) == lasting(tuple(whole[1]))


def test_a_network_that_the_method_is_not_for_is_refused_before_anything(workspace: Workspace) -> None:
    few = replace(RUN, config=replace(SHORT, epochs=1))
    with pytest.raises(UserError, match="at least 2 epochs"):
        list(few.run(workspace))
    timed = replace(RUN, config=replace(SHORT, minutes=1.0))
    with pytest.raises(UserError, match="Set epochs, and no minutes"):
        list(timed.run(workspace))
    tight = replace(RUN, method=SoftFilterPruning(), budget=Budget("macs", fraction=1e-6))
    with pytest.raises(UserError, match="cannot be reached"):
        list(tight.run(workspace))


def test_zeros_are_counted_stored_and_timed_and_come_back(workspace: Workspace) -> None:
    run = replace(RUN, method=MagnitudePruning(rounds=1))
    events = list(run.run(workspace))
    (end,) = [event for event in events if isinstance(event, Treated)]
    first, last = [event for event in events if isinstance(event, PhaseDone)]
    assert end.before.sparsity is None and end.after.sparsity == first.sparsity == last.sparsity is not None
    sparsity = end.after.sparsity
    assert sparsity is not None and end.after.cost == end.before.cost and sparsity.macs <= end.before.cost.macs / 2
    assert sparsity.bitmask < sparsity.dense and end.cut is not None and end.cut.top1 == first.accuracy.top1
    assert end.after.compressed is not None and end.after.compressed.runs >= 30
    again = load_model(end.model, workspace).model
    assert sum(int((p == 0).sum()) for p in again.parameters() if p.dim() > 1) == sparsity.zeros
    for event in events:
        assert PRODUCT.checked_event(dump(event)) == event
