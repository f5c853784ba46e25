"""Pruning in steps with a recovery between each cut and its training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from pruning_core.allocation.course import course
from pruning_core.allocation.schedule import Linear
from pruning_core.criteria import L1Norm, score
from pruning_core.datasets import DIGITS, hold_out, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture
from pruning_core.methods.recoveries import JustCut, Mending, NewStatistics, Tuning
from pruning_core.methods.treatments import mended, mender
from pruning_core.runs.events import Event, Stage
from pruning_core.storage.codec import dump
from pruning_core.storage.weights import stored_weights
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.inputs import fitted
from pruning_core.studies.reached import SCHEDULED, Reached, Shrunk, tag_of
from pruning_core.studies.specs import PRODUCT
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.loop import fine_tune
from pruning_core.work import finished
from pruning_core.zoo import DEMOS, load_model

DEMO = DEMOS[0].ref
CONFIG = FineTune(epochs=2, batch_size=256, lr=0.02, schedule="constant", device="cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> GradualRun:
    loaded = load_model(DEMO, Workspace(tmp_path_factory.mktemp("demo")))
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    plan = Plan({group.key: range(group.size // 2) for group in network.groups[1:]})
    return GradualRun(
        DEMO, DIGITS, plan.to_json(), schedule=Linear(), steps=2, config=CONFIG, control=False,
        recovery=Mending(images=64),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(spec: GradualRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Event]]:
    workspace = Workspace(tmp_path_factory.mktemp("whole"))
    return workspace, list(spec.run(workspace))


def of(events: list[Event], kind: type) -> dict[int, Shrunk | Reached]:
    return {e.step: e for e in events if isinstance(e, kind)}


def test_every_cut_is_mended_towards_the_network_before_it(
    spec: GradualRun, whole: tuple[Workspace, list[Event]]
) -> None:
    workspace, events = whole
    loaded = load_model(DEMO, workspace)
    example = torch.zeros(1, *loaded.input_size)
    train, test = load_splits(DIGITS)
    fit, held_out, test = (fitted(part, DIGITS, loaded) for part in (*hold_out(train, DIGITS), test))
    network = capture(loaded.model, example)
    counts = list(course(Linear(), network, Plan.from_json(spec.plan), 2))[1:]
    model, gone = loaded.model, dict.fromkeys(counts[0], 0)
    reached = of(events, Reached)
    for step, wanted in enumerate(counts, 1):
        now = capture(model, example)
        values = score(model, now, (L1Norm(),))[L1Norm()].values
        plan = Plan({k: values[k].argsort(stable=True)[: n - gone[k]].tolist() for k, n in wanted.items()})
        gone = wanted
        by = mender(model, now, fit, images=64, positions=64, seed=CONFIG.seed, device="cpu")
        model = finished(mended(by, plan, fit)).model
        training = fine_tune(
            model, fit, test, replace(CONFIG, epochs=1, seed=CONFIG.seed + step - 1), held_out=held_out
        )
        epochs = [event for event in training if isinstance(event, Epoch)]
        model = training.best_model()
        assert reached[step].before.top1 == epochs[0].top1 > 0.8, "measured after mending"
        kept = stored_weights(workspace.artifacts.path(reached[step].weights))[0]
        assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert [PRODUCT.event(dump(event)) for event in events] == events, "nothing that cannot be stored is reported"


def in_training(event: Event) -> bool:
    return isinstance(event, Epoch) and event.tag == tag_of(SCHEDULED, 2)


def mending(event: Event) -> bool:
    return isinstance(event, Stage) and "step 2" in event.text and "refitting" in event.text


def cut(event: Event) -> bool:
    return isinstance(event, Shrunk) and event.step == 2


@pytest.mark.parametrize(("stops", "cuts"), [(cut, 1), (mending, 2), (in_training, 2)])
def test_wherever_it_stops_it_ends_the_same(
    stops: Callable[[Event], bool],
    cuts: int,
    spec: GradualRun,
    whole: tuple[Workspace, list[Event]],
    workspace: Workspace,
) -> None:
    events: list[Event] = []
    run = spec.run(workspace)
    for event in run:
        events.append(event)
        if stops(event):
            break
    run.close()
    kept = spec.keep(workspace, tuple(events))
    assert len(of(list(kept), Shrunk)) == cuts and len(of(list(kept), Reached)) == 1
    together = [*kept, *spec.run(workspace, kept)]
    assert of(together, Shrunk) == of(whole[1], Shrunk)
    ends = [{step: end.weights for step, end in of(each, Reached).items()} for each in (together, whole[1])]
    assert ends[0] == ends[1]


def test_without_a_recovery_it_is_the_run_that_it_was(spec: GradualRun, workspace: Workspace) -> None:
    plain = replace(spec, recovery=JustCut())
    assert PRODUCT.spec(dump(spec)) == spec and plain.key != spec.key
    old = json.loads(dump(plain))
    del old["recovery"]
    assert (
        PRODUCT.spec(json.dumps(old))
        == plain
        == GradualRun(DEMO, DIGITS, spec.plan, schedule=Linear(), steps=2, config=CONFIG, control=False)
    )
    told = [e.text for e in replace(spec, recovery=NewStatistics(images=64)).run(workspace) if isinstance(e, Stage)]
    assert sum("batch-norm statistics" in text for text in told) == 2
    with pytest.raises(UserError, match="does not train"):
        next(replace(spec, recovery=Tuning()).run(workspace))
