"""The product's runs on the real demo network and data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from pruning_core.datasets import DIGITS, DataRef, hold_out, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.measures import Accuracy, Latency
from pruning_core.runs.events import Artifact, Event, Stage
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import JobView, State
from pruning_core.storage import memory
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies import inputs
from pruning_core.studies.fine_tune import CONTROL, PRUNED, FineTuneRun
from pruning_core.studies.measure import EvaluateRun, LatencyRun
from pruning_core.studies.specs import PRODUCT, RUNS
from pruning_core.training import loop
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch, Step, TrainOutcome
from pruning_core.training.loop import fine_tune
from pruning_core.zoo import DEMOS, ModelRef, load_model

PATIENCE = 120.0
DEMO = DEMOS[0].ref
SHORT = FineTune(epochs=2, batch_size=256, lr=0.01, device="cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def jobs(workspace: Workspace) -> Iterator[Jobs]:
    made = Jobs(workspace, PRODUCT, threads=1)
    yield made
    made.close(PATIENCE)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """The demo without a third of the channels of its first group."""
    loaded = load_model(DEMO, Workspace(tmp_path_factory.mktemp("pruned")))
    group = capture(loaded.model, torch.zeros(1, *loaded.input_size)).groups[0]
    plan = Plan({group.key: tuple(range(group.size // 3))})
    return ModelRef("pruned", DEMO.name, base=DEMO, plan=plan.to_json())


def by_tag(view: JobView, tag: str) -> list[int]:
    return [event.epoch for event in view.all(Epoch) if event.tag == tag]


MODELS = st.builds(ModelRef, st.sampled_from(["demo", "torchvision", "upload"]), st.text(), weights=st.text())
DATA = st.builds(DataRef, st.just("npz"), st.text(), mean=st.none() | st.tuples(st.floats(0, 1)), seed=st.integers(0))
CONFIGS = st.builds(
    FineTune, epochs=st.integers(1, 9), lr=st.floats(1e-5, 1.0), augment=st.sampled_from(["none", "shift"])
)
SPECS = st.one_of(
    st.builds(EvaluateRun, MODELS, DATA, st.none() | st.integers(1)),
    st.builds(LatencyRun, MODELS, st.integers(1, 64)),
    st.builds(FineTuneRun, MODELS, DATA, CONFIGS, st.booleans()),
)


@given(SPECS)
@settings(deadline=None)
def test_a_spec_comes_back_equal_with_the_same_key(spec: RunSpec) -> None:
    back = PRODUCT.spec(dump(spec))
    assert back == spec and back.key == spec.key and hash(back) == hash(spec)


def test_other_work_has_another_key(pruned: ModelRef, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [
        EvaluateRun(DEMO, DIGITS),
        EvaluateRun(pruned, DIGITS),
        EvaluateRun(DEMO, DIGITS, images=100),
        LatencyRun(DEMO),
        FineTuneRun(DEMO, DIGITS, SHORT),
        FineTuneRun(DEMO, DIGITS, FineTune(seed=1)),
    ]
    assert len({spec.key for spec in specs}) == len(specs)
    before = specs[0].key
    monkeypatch.setattr(EvaluateRun, "version", 2)
    assert specs[0].key != before, "results of older code must not be taken for new ones"


def test_every_kind_of_run_is_listed_once_under_its_own_name() -> None:
    kinds = [cls.kind for cls in RUNS]
    assert len(set(kinds)) == len(kinds) and {EvaluateRun, LatencyRun, FineTuneRun} <= set(RUNS)


def test_evaluating_a_network_and_its_pruned_one(jobs: Jobs, pruned: ModelRef) -> None:
    views = [jobs.wait(jobs.submit(EvaluateRun(ref, DIGITS, device="cpu"), "ann"), PATIENCE) for ref in (DEMO, pruned)]
    _, test = load_splits(DIGITS)
    assert [view.state for view in views] == [State.DONE] * 2, [view.error for view in views]
    results = [view.last(Accuracy) for view in views]
    for ref, accuracy in zip((DEMO, pruned), results):
        assert accuracy is not None and accuracy.complete and accuracy.images == len(test)
        model = load_model(ref, jobs.workspace).model
        assert accuracy.top1 == evaluate(model, test, device="cpu").top1
    assert results[0].top1 > 0.9 and results[0].top1 != results[1].top1


def test_a_part_of_the_images_is_evaluated_without_loading_more(workspace: Workspace) -> None:
    *_, accuracy = EvaluateRun(DEMO, DIGITS, images=50, device="cpu").run(workspace)
    assert isinstance(accuracy, Accuracy) and accuracy.images == accuracy.total == 50


def test_data_that_would_fill_the_memory_are_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 1e4)
    small = DataRef("digits", "digits", size=(4, 4), held_out=0.2, test_fraction=0.25)
    with pytest.raises(UserError, match="too much for what is free of the memory"):
        list(EvaluateRun(DEMO, small, device="cpu").run(workspace))


def test_latency_is_measured(jobs: Jobs) -> None:
    view = jobs.wait(jobs.submit(LatencyRun(DEMO, batch_size=2, device="cpu"), "ann"), PATIENCE)
    latency = view.last(Latency)
    assert view.state is State.DONE and latency is not None
    assert (latency.runs, latency.batch_size, latency.threads) == (30, 2, 1) and latency.median_ms > 0


def test_pruned_and_control_are_trained_alike(jobs: Jobs, pruned: ModelRef) -> None:
    view = jobs.wait(jobs.submit(FineTuneRun(pruned, DIGITS, SHORT, control=True), "ann"), PATIENCE)
    assert view.state is State.DONE, view.error
    assert by_tag(view, PRUNED) == by_tag(view, CONTROL) == [0, 1, 2]
    outcomes = view.all(TrainOutcome)
    assert [outcome.tag for outcome in outcomes] == [PRUNED, CONTROL]
    steps = view.all(Step)
    shares = [step.done for step in steps]
    own = max(step.done for step in steps if step.tag == PRUNED)
    assert shares == sorted(shares) and own < 0.5 and shares[-1] == pytest.approx(1.0), "the control has more MACs"
    artifacts = view.all(Artifact)
    assert [artifact.name for artifact in artifacts] == ["pruned weights", "control weights"]
    _, test = load_splits(DIGITS)
    for ref, outcome, artifact in zip((pruned, DEMO), outcomes, artifacts, strict=True):
        model = load_model(ref, jobs.workspace).model
        model.load_state_dict(load(jobs.workspace.artifacts.read(artifact.digest)))
        assert evaluate(model, test, device="cpu").top1 == outcome.top1
    assert not list((jobs.workspace.root / "scratch").iterdir()), "a finished run leaves no scratch files"


def test_a_fine_tuning_is_the_training_by_hand_to_the_last_digit(workspace: Workspace, pruned: ModelRef) -> None:
    config = dataclasses.replace(SHORT, augment="shift", seed=4)
    events = list(FineTuneRun(pruned, DIGITS, config, control=True).run(workspace))
    train, test = load_splits(DIGITS)
    clock = {"seconds": 0.0, "images_per_s": 0.0}
    for tag, ref in ((PRUNED, pruned), (CONTROL, DEMO)):
        loaded = load_model(ref, workspace)
        parts = (inputs.fitted(part, DIGITS, loaded) for part in (*hold_out(train, DIGITS), test))
        fit, held_out, tested = parts
        training = fine_tune(loaded.model, fit, tested, config, held_out=held_out)
        expected = [dataclasses.replace(e, **clock, tag=tag) for e in training if isinstance(e, Epoch)]
        assert [dataclasses.replace(e, **clock) for e in events if isinstance(e, Epoch) and e.tag == tag] == expected
        (artifact,) = (e for e in events if isinstance(e, Artifact) and e.name == f"{tag} weights")
        kept = load(workspace.artifacts.read(artifact.digest))
        assert all(torch.equal(value, kept[name]) for name, value in training.best_model().state_dict().items())


def test_an_unpruned_network_is_its_own_control(pruned: ModelRef) -> None:
    assert FineTuneRun(DEMO, DIGITS, control=True).networks == ((CONTROL, DEMO),)
    assert FineTuneRun(pruned, DIGITS).networks == ((PRUNED, pruned),)
    twice = ModelRef("pruned", "twice", base=pruned, plan="{}")
    assert FineTuneRun(twice, DIGITS, control=True).networks == ((PRUNED, twice), (CONTROL, DEMO))


def stop_at(spec: FineTuneRun, workspace: Workspace, tag: str, position: float) -> list[Event]:
    events: list[Event] = []
    run = spec.run(workspace)
    for event in run:
        events.append(event)
        if isinstance(event, Step) and event.tag == tag and event.position >= position:
            break
    run.close()
    return events


@pytest.mark.parametrize(("tag", "position"), [(PRUNED, 0.4), (PRUNED, 1.4), (CONTROL, 1.4)])
def test_a_cancelled_fine_tuning_hands_over_its_best_and_resumes_exactly(
    workspace: Workspace, pruned: ModelRef, monkeypatch: pytest.MonkeyPatch, tag: str, position: float
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    spec = FineTuneRun(pruned, DIGITS, SHORT, control=True)
    whole = [event for event in spec.run(Workspace(workspace.root / "other")) if not isinstance(event, Stage)]

    before = tuple(stop_at(spec, workspace, tag, position))
    (saved,) = spec.salvage(workspace, before)
    assert isinstance(saved, Artifact) and saved.name == f"{tag} weights"
    assert workspace.artifacts.has(saved.digest)
    kept = spec.keep(workspace, (*before, saved))
    assert saved not in kept, "a later artifact of the same name will come"
    after = tuple(event for event in spec.run(workspace, kept) if not isinstance(event, Stage))

    def steady(events: tuple[Event, ...] | list[Event]) -> list[object]:
        return [
            (event.tag, event.position, event.loss) if isinstance(event, Step)
            else (event.tag, event.epoch, event.top1, event.train_loss) if isinstance(event, Epoch)
            else event
            for event in events
            if isinstance(event, Step | Epoch | Artifact)
        ]  # fmt: skip

    joined, expected = steady(kept + after), steady(whole)
    epochs = [item for item in expected if not (isinstance(item, tuple) and len(item) == 3)]
    assert [item for item in joined if not (isinstance(item, tuple) and len(item) == 3)] == epochs
    positions = [item[:2] for item in joined if isinstance(item, tuple) and len(item) == 3]
    assert positions == [item[:2] for item in expected if isinstance(item, tuple) and len(item) == 3]


def test_without_its_checkpoint_a_training_begins_again(workspace: Workspace, pruned: ModelRef) -> None:
    spec = FineTuneRun(pruned, DIGITS, SHORT)
    past = (Stage("training"), Step(1, 0.5, 0.25, 1.0, 0.1, 9.0, 9.0, tag=PRUNED))
    assert spec.keep(workspace, past) == () and list(spec.salvage(workspace, past)) == []


def test_a_training_that_fails_hands_over_its_best(
    jobs: Jobs, pruned: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    finite = loop.Training._finite

    def explodes(training: loop.Training, loss: torch.Tensor) -> float:
        return finite(training, loss * (float("nan") if training._epoch == 2 else 1.0))

    monkeypatch.setattr(loop.Training, "_finite", explodes)
    view = jobs.wait(jobs.submit(FineTuneRun(pruned, DIGITS, SHORT), "ann"), PATIENCE)
    assert view.state is State.FAILED and view.error is not None and "lower learning rate" in view.error
    assert by_tag(view, PRUNED) == [0, 1]
    artifact = view.last(Artifact)
    assert artifact is not None and artifact.name == "pruned weights"
    again = dataclasses.replace(pruned, weights=artifact.digest)
    assert not load_model(again, jobs.workspace).model.training


def test_images_are_normalised_as_the_network_was_trained(workspace: Workspace) -> None:
    loaded = load_model(DEMO, workspace)
    other = DataRef("digits", "digits", mean=(0.5,), std=(0.25,), held_out=0.2, test_fraction=0.25)
    _, test = load_splits(other)
    assert inputs.fitted(test, other, loaded).mean == (0.5,), "what the user set goes first"
    plain = dataclasses.replace(other, mean=None, std=None)
    assert (loaded.mean, loaded.std) != (test.mean, test.std)
    fitted = inputs.fitted(test, plain, loaded)
    assert (fitted.mean, fitted.std) == (loaded.mean, loaded.std)
