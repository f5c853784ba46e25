"""Pruning in steps as a run: it ends at the plan's widths, resumes without repeating a step, and has its control."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from pruning_core.allocation.course import course, share_of, steps_of
from pruning_core.allocation.schedule import SCHEDULES, Agp, Linear, LittleByLittle, OneShot
from pruning_core.criteria import Criterion, L1Norm, TaylorGate, score
from pruning_core.datasets import DIGITS, hold_out, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.measures import Drop
from pruning_core.methods.phases import shared_out
from pruning_core.runs.events import Event, Outdated, Progress
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.store import Job, Store
from pruning_core.runs.view import State
from pruning_core.storage.codec import dump
from pruning_core.storage.weights import stored_weights
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.inputs import fitted
from pruning_core.studies.reached import AT_ONCE, SCHEDULED, Reached, Shrunk, tag_of, way_of
from pruning_core.studies.specs import PRODUCT
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch, Step
from pruning_core.training.loop import fine_tune
from pruning_core.zoo import DEMOS, LoadedModel, ModelRef, load_model

DEMO = DEMOS[0].ref
TWO = FineTune(epochs=2, batch_size=256, lr=0.02, schedule="constant", device="cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> LoadedModel:
    return load_model(DEMO, Workspace(tmp_path_factory.mktemp("demo")))


@pytest.fixture(scope="module")
def network(loaded: LoadedModel) -> Network:
    return capture(loaded.model, torch.zeros(1, *loaded.input_size))


def planned(network: Network, share: float = 0.5) -> Plan:
    return Plan({group.key: range(int(group.size * share)) for group in network.groups[1:]})


def of(events, kind, way: str = SCHEDULED) -> dict[int, Shrunk | Reached]:
    return {e.step: e for e in events if isinstance(e, kind) and e.way == way}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_course_begins_with_nothing_grows_and_ends_at_the_plan(schedule, network: Network) -> None:
    plan = planned(network, 0.7)
    steps = steps_of(schedule(), network, plan, 6)
    found = course(schedule(), network, plan, steps)
    assert len(found) == steps + 1
    assert found[-1] == {key: len(units) for key, units in plan.items()}
    assert all(a[key] <= b[key] for a, b in pairwise(found) for key in plan)
    shares = [share_of(network, counts) for counts in found]
    assert shares[0] == (schedule().ratio(0, steps, 0.7) if schedule is not OneShot else 0.0)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(0.7, abs=0.03)


def test_a_linear_course_worked_by_hand(network: Network) -> None:
    key = network.groups[-1].key
    size = network.group(key).size
    plan = Plan({key: range(size // 2)})
    found = course(Linear(), network, plan, 4)
    assert [counts[key] for counts in found] == [0, size // 8, size // 4, 3 * size // 8, size // 2]
    assert steps_of(LittleByLittle(shallow=0.1, deep=0.1, of="original"), network, plan, 99) == 5


def test_epochs_are_shared_out_and_too_few_are_a_sentence() -> None:
    assert shared_out(replace(TWO, epochs=8), [1] * 3) == (2, 3, 3)
    assert shared_out(replace(TWO, epochs=10), [1, 1, 3]) == (2, 2, 6)
    with pytest.raises(UserError, match="at least 5 epochs"):
        shared_out(replace(TWO, epochs=4), [1] * 5)
    with pytest.raises(UserError, match="number of epochs"):
        shared_out(FineTune(epochs=0, minutes=1.0), [1] * 2)


def test_steps_end_at_the_plan_and_are_compared_with_the_same_at_once(
    workspace: Workspace, loaded: LoadedModel, network: Network
) -> None:
    plan = planned(network)
    spec = GradualRun(DEMO, DIGITS, plan.to_json(), steps=2, config=TWO)
    events = list(spec.run(workspace))
    shrunk, reached = of(events, Shrunk), of(events, Reached)
    once, end = of(events, Shrunk, AT_ONCE), of(events, Reached, AT_ONCE)
    assert list(shrunk) == list(reached) == [1, 2] and list(once) == list(end) == [1]
    assert [e.epochs for e in shrunk.values()] == [1, 1] and once[1].epochs == 2, "as much training for both"
    last = Plan.from_json(shrunk[2].plan)
    assert {key: len(units) for key, units in last.items()} == {key: len(units) for key, units in plan.items()}
    assert shrunk[2].macs == once[1].macs == network.cost(plan).macs < shrunk[1].macs
    first = Plan.from_json(shrunk[1].plan)
    assert all(set(units) <= set(last[key]) for key, units in first.items()), "what is gone stays gone"
    scores = score(loaded.model, network, (L1Norm(),))[L1Norm()].values
    for key, units in Plan.from_json(once[1].plan).items():
        assert set(units) == set(scores[key].argsort(stable=True)[: len(units)].tolist())

    test = fitted(load_splits(DIGITS)[1], DIGITS, loaded)
    measured = {}
    for way, (cuts, ends) in {SCHEDULED: (shrunk, reached), AT_ONCE: (once, end)}.items():
        step = max(ends)
        again = load_model(spec.reference(cuts[step], ends[step]), workspace)
        measured[way] = evaluate(again.model, test, device="cpu").top1
        assert measured[way] == ends[step].after.top1, "the network that is handed over is the one that was measured"
    (drop,) = (e for e in events if isinstance(e, Drop))
    assert drop.drop == pytest.approx(measured[AT_ONCE] - measured[SCHEDULED]) and drop.images == 450
    assert {way_of(e.tag) for e in events if isinstance(e, Epoch)} == {(SCHEDULED, 1), (SCHEDULED, 2), (AT_ONCE, 1)}
    done = [e.done for e in events if isinstance(e, Step)]
    assert done == sorted(done) and done[0] > 0 and done[-1] <= 1
    assert isinstance(events[-1], Progress) and events[-1].done == events[-1].total == 4
    assert [PRODUCT.event(dump(event)) for event in events] == events


def by_hand(loaded: LoadedModel, plan: Plan, criterion: Criterion, counts: list[dict[str, int]], config: FineTune):
    """The same steps with nothing but the library's functions: (plan, epochs, network) after each."""
    train, test = load_splits(DIGITS)
    fit, held_out, test = (fitted(part, DIGITS, loaded) for part in (*hold_out(train, DIGITS), test))
    example = torch.zeros(1, *loaded.input_size)
    model, whole, gone = loaded.model, capture(loaded.model, example), Plan()
    sizes = {group.key: group.size for group in whole.groups}
    for step, wanted in enumerate(counts):
        now = capture(model, example)
        scores = score(model, now, (criterion,), fit.subset(128, config.seed), seed=config.seed)[criterion].values
        more = {key: count - len(gone.get(key, ())) for key, count in wanted.items()}
        next_plan = Plan({key: scores[key].argsort(stable=True)[:count].tolist() for key, count in more.items()})
        model, gone = remove(model, now, next_plan).model, gone.then(next_plan, sizes)
        own = replace(config, epochs=config.epochs // len(counts), seed=config.seed + step)
        training = fine_tune(model, fit, test, own, held_out=held_out)
        epochs = [event for event in training if isinstance(event, Epoch)]
        model = training.best_model()
        yield gone, epochs, model


@pytest.mark.parametrize("criterion", [L1Norm(), TaylorGate()], ids=lambda c: c.card.key)
def test_it_is_what_the_same_steps_by_hand_give_to_the_last_digit(
    criterion: Criterion, workspace: Workspace, loaded: LoadedModel, network: Network
) -> None:
    plan, config = planned(network), replace(TWO, epochs=4, batch_size=128, seed=5, augment="shift")
    spec = GradualRun(DEMO, DIGITS, plan.to_json(), criterion, Agp(), steps=2, config=config)
    events = list(spec.run(workspace))
    for way, schedule, steps in ((SCHEDULED, Agp(), 2), (AT_ONCE, OneShot(), 1)):
        shrunk, reached = of(events, Shrunk, way), of(events, Reached, way)
        counts = list(course(schedule, network, plan, steps))[1:]
        for step, (gone, expected, model) in enumerate(by_hand(loaded, plan, criterion, counts, config), 1):
            assert Plan.from_json(shrunk[step].plan) == gone
            tag = tag_of(way, step)
            own = [event for event in events if isinstance(event, Epoch) and event.tag == tag]
            still = {"seconds": 0.0, "images_per_s": 0.0}
            assert [replace(e, **still) for e in own] == [replace(e, **still, tag=tag) for e in expected]
            kept = stored_weights(workspace.artifacts.path(reached[step].weights))[0]
            assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("inside", [False, True], ids=["between steps", "inside a step"])
def test_a_stopped_run_repeats_no_step_and_ends_the_same(inside, workspace, tmp_path, network: Network) -> None:
    config = replace(TWO, batch_size=128, epochs=4)
    spec = GradualRun(DEMO, DIGITS, planned(network).to_json(), steps=2, config=config, control=False)
    whole = list(spec.run(Workspace(tmp_path / "other")))
    events: list[Event] = []
    run = spec.run(workspace)
    for event in run:
        events.append(event)
        if isinstance(event, Epoch) and event.tag == tag_of(SCHEDULED, 2) and event.epoch == 1 and inside:
            break
        if isinstance(event, Reached) and not inside:
            break
    run.close()
    kept = spec.keep(workspace, tuple(events))
    assert len([e for e in kept if isinstance(e, Reached)]) == 1
    assert len([e for e in kept if isinstance(e, Shrunk)]) == 1 + inside
    after = list(spec.run(workspace, tuple(PRODUCT.event(dump(event)) for event in kept)))
    together = [*kept, *after]

    def still(e: Reached) -> Reached:
        """Without what differs from run to run: how long it took."""
        return replace(e, seconds=0.0, before=replace(e.before, seconds=0.0), after=replace(e.after, seconds=0.0))

    assert [e for e in together if isinstance(e, Shrunk)] == [e for e in whole if isinstance(e, Shrunk)]
    assert [still(e) for e in together if isinstance(e, Reached)] == [still(e) for e in whole if isinstance(e, Reached)]
    epochs = [(e.tag, e.epoch, e.top1) for e in together if isinstance(e, Epoch)]
    assert epochs == [(e.tag, e.epoch, e.top1) for e in whole if isinstance(e, Epoch)]


OLD = (
    '{"$":"Reached","way":"in steps","step":1,"before":0.5,"before_low":0.4,"before_high":0.6,"after":0.9,'
    '"after_low":0.8,"after_high":0.95,"images":450,"seconds":1.0,"weights":"ab"}'
)


def test_what_an_older_version_reached_is_not_taken_for_accuracies(workspace: Workspace, network: Network) -> None:
    with pytest.raises(TypeError, match="images and intervals"):
        PRODUCT.event(OLD)
    spec = GradualRun(DEMO, DIGITS, planned(network).to_json(), steps=1, config=TWO)
    jobs = Jobs(workspace, PRODUCT, threads=1)
    job = Job("old", "other key", spec.kind, spec.title, spec, "cpu", "gone", state=State.DONE)
    store = Store(workspace.database, PRODUCT)
    store.insert(job)
    workspace.database.connection.execute("INSERT INTO events VALUES ('old', 0, ?)", (OLD,))
    assert jobs.snapshot("old").events == (Outdated(),) and jobs.spec("old") == spec
    jobs.close()


def test_what_cannot_be_done_is_said_before_anything_is_trained(workspace: Workspace, network: Network) -> None:
    def said(**given) -> str:
        settings = {"plan": planned(network).to_json(), "steps": 2, "config": TWO, **given}
        with pytest.raises(UserError) as error:
            assert not [e for e in GradualRun(DEMO, DIGITS, **settings).run(workspace) if isinstance(e, Epoch)]
        return str(error.value)

    assert "removes nothing" in said(plan=Plan().to_json())
    assert "at least 3 epochs" in said(steps=3)
    assert "at least" in said(schedule=LittleByLittle())


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_gradual_run_survives_the_store(schedule) -> None:
    spec = GradualRun(DEMO, DIGITS, "{}", schedule=schedule())
    assert PRODUCT.spec(dump(spec)) == spec
    assert list(spec.ways) == ([SCHEDULED] if schedule is OneShot else [SCHEDULED, AT_ONCE])


@pytest.mark.slow  # half a minute
def test_a_network_that_becomes_a_recorded_program_is_followed_through_its_cuts(workspace: Workspace) -> None:
    """ShuffleNet's code has its widths written into it: a cut gives a program, and the next one cuts that program."""
    ref = ModelRef("torchvision", "shufflenet_v2_x0_5", weights="random", num_classes=10, input_size=(3, 32, 32))
    found = load_model(ref, workspace)
    network = capture(found.model, torch.zeros(1, *found.input_size))
    plan = Plan({group.key: range(group.size // 2) for group in network.groups[:6]})
    spec = GradualRun(ref, DIGITS, plan.to_json(), schedule=Linear(), steps=2, config=TWO, control=False)
    events = list(spec.run(workspace))
    first, last = of(events, Shrunk)[1], of(events, Shrunk)[2]
    assert network.cost(plan).macs == last.macs < first.macs < network.cost().macs
    assert of(events, Reached).keys() == {1, 2}

    other, before = Workspace(workspace.root / "other"), []
    run = spec.run(other)
    for event in run:
        before.append(event)
        if isinstance(event, Epoch) and event.tag == tag_of(SCHEDULED, 2):
            break
    run.close()
    kept = spec.keep(other, tuple(before))
    together = [*kept, *spec.run(other, kept)]
    assert of(together, Shrunk) == of(events, Shrunk)
    assert of(together, Reached)[2].weights == of(events, Reached)[2].weights, "stopped in its second step"
