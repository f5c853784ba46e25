"""Recoveries: as phases of a program, in chains, without labels where they say so, and what distilling minimises."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.criteria import L1Norm
from pruning_core.datasets import DIGITS, Dataset, hold_out, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.knobs import knobs_of
from pruning_core.measuring.evaluate import evaluate
from pruning_core.mending import mend
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Apply, Cut, Mend, Phase, Train, Widths
from pruning_core.methods.recoveries import (
    FEW,
    LARGE,
    RECOVERIES,
    Distilling,
    JustCut,
    Mending,
    NewStatistics,
    Recovery,
    Tuning,
    phases_of,
)
from pruning_core.methods.state import Setup, State
from pruning_core.runs.events import Event
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fine_tune import CONTROL, PRUNED, FineTuneRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.sensitivity import captured
from pruning_core.studies.specs import PRODUCT
from pruning_core.training.config import FineTune
from pruning_core.training.distillation import ORIGIN, Distillation, divergence
from pruning_core.training.events import Epoch
from pruning_core.work import finished, told
from pruning_core.zoo import DEMOS, load_model

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = FineTune(epochs=1, batch_size=256, lr=0.01, seed=2, device="cpu")
each = pytest.mark.parametrize("recovery", [cls() for cls in RECOVERIES], ids=lambda r: r.card.key)


@pytest.fixture(scope="module")
def setup() -> Setup:
    train, test = load_splits(DIGITS)
    fit, held_out = hold_out(train, DIGITS)
    return Setup(fit, fit, held_out, test, CONFIG, seed=2, device="cpu")


@pytest.fixture(scope="module")
def start() -> State:
    loaded = load_model(DEMOS[0].ref)
    return State.of(loaded.model, captured(loaded))


def half(state: State) -> Plan:
    return Plan({group.key: range(0, group.size, 2) for group in state.network.groups})


def ended(phases: tuple[Phase, ...], state: State, setup: Setup) -> State:
    return finished(perform(phases, state, setup))


def weights(state: State) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.model.state_dict().items()}


def alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def mislabelled(data: Dataset) -> Dataset:
    return dataclasses.replace(data, labels=data.labels.roll(1))


# -- the registry ------------------------------------------------------------------------------------------------------


def test_every_recovery_is_listed_once_and_can_be_stored() -> None:
    assert len({cls.card.key for cls in RECOVERIES}) == len({cls.card.name for cls in RECOVERIES}) == len(RECOVERIES)
    for cls in RECOVERIES:
        assert cls.card.idea and cls.card.formula and cls.card.fails and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
        spec = FineTuneRun(DEMOS[0].ref, DIGITS, recoveries=(cls(), Tuning()))
        assert PRODUCT.spec(dump(spec)) == spec
        for knob in knobs_of(cls):
            with pytest.raises(ValueError, match=knob.name):
                cls(**{knob.name: type(knob.default)(knob.kind.high + 1)})  # type: ignore[union-attr]


@each
def test_it_leaves_the_callers_network_alone_and_uses_labels_only_where_it_says_so(
    recovery: Recovery, start: State, setup: Setup
) -> None:
    before = weights(start)
    phases = (Apply(half(start)), *phases_of((recovery,)))
    end = ended(phases, start, setup)
    assert alike(weights(start), before) and end.plan == half(start)
    assert bool(phases_of((recovery,))) == (not isinstance(recovery, JustCut)) == recovery.changes(end.model)
    assert recovery.trains == any(isinstance(phase, Train) for phase in phases)
    if not isinstance(recovery, Tuning):
        blind = dataclasses.replace(setup, fit=mislabelled(setup.fit))  # type: ignore[arg-type]
        assert alike(weights(ended(phases, start, blind)), weights(end))


def test_each_of_them_brings_more_than_the_one_before(start: State, setup: Setup) -> None:
    def reached(*recoveries: Recovery) -> float:
        end = ended((Apply(half(start)), *phases_of(recoveries)), start, setup)
        return evaluate(end.model, setup.test, device="cpu").top1  # type: ignore[arg-type]

    cut, statistics, mended = reached(JustCut()), reached(NewStatistics()), reached(Mending(images=256))
    assert cut < statistics < mended
    assert reached(Mending(images=256), Distilling()) >= mended - 0.01 > cut + 0.2


def test_statistics_change_nothing_where_there_are_none() -> None:
    assert not NewStatistics().changes(nn.Sequential(nn.Linear(3, 2)))
    assert NewStatistics().changes(nn.Sequential(nn.BatchNorm1d(3)))


def test_fewer_images_do_where_each_takes_long() -> None:
    assert (
        NewStatistics().sized(LARGE) == NewStatistics(images=FEW) and NewStatistics().sized(LARGE - 1).looks_at == 512
    )
    assert Mending(images=64).sized(LARGE) == Mending(images=64)
    assert Distilling().sized(LARGE) == Distilling() and JustCut().looks_at == 0


# -- in a program ------------------------------------------------------------------------------------------------------


def test_mending_aims_at_what_was_there_before_the_cuts_and_proves_the_removal_anew(start: State, setup: Setup) -> None:
    first, second = (group.key for group in start.network.groups[:2])
    apart = (Apply(Plan({first: (0, 1)})), Apply(Plan({second: (0, 2, 4)})), Mend(64, 16))
    end = ended(apart, start, setup)
    at_once = ended((Apply(Plan({first: (0, 1), second: (0, 2, 4)})), Mend(64, 16)), start, setup)
    assert end.plan == at_once.plan and alike(weights(end), weights(at_once)), (
        "both cuts are mended, as if made at once"
    )
    assert end.removal is not None and end.removal.proof.exact and end.uncut is None


def test_after_a_training_mending_aims_at_the_trained_network(start: State, setup: Setup) -> None:
    key = start.network.groups[0].key
    states = [
        event.state
        for event in perform((Train(), Mend(64, 16), Apply(Plan({key: (0, 1)})), Mend(64, 16)), start, setup)
        if isinstance(event, Done)
    ]
    assert states[1] is states[0], "nothing was cut, so there is nothing to mend"
    trained = State.of(states[0].model, capture(states[0].model, start.origin.example))
    by_hand = ended((Apply(Plan({key: (0, 1)})), Mend(64, 16)), trained, setup)
    assert alike(weights(states[3]), weights(by_hand))


def test_a_training_after_mending_begins_with_what_was_mended(start: State, setup: Setup) -> None:
    events: list[Event] = []
    phases = (Apply(half(start)), *phases_of((Mending(images=64), Tuning())))
    finished(told(perform(phases, start, setup), lambda event: events.append(event) or ()))
    mended = next(e.state for e in events if isinstance(e, Done) and isinstance(e.phase, Mend))
    first = next(e for e in events if isinstance(e, Epoch))
    assert first.epoch == 0 and first.top1 == evaluate(mended.model, setup.test, device="cpu").top1  # type: ignore[arg-type]


def test_cancelling_a_mending_leaves_nothing(start: State, setup: Setup) -> None:
    before = weights(start)
    work = perform((Apply(half(start)), Mend(512, 64)), start, setup)
    for event in work:
        if not isinstance(event, Done) and "refitting" in str(event):
            break
    work.close()
    assert alike(weights(start), before)
    assert not any(module._forward_hooks for module in start.model.modules())


def test_the_plain_method_takes_any_recovery() -> None:
    method = CutAndTrain(recoveries=(Mending(), Distilling()))
    assert [type(phase) for phase in phases_of(method.recoveries)] == [Mend, Train]
    assert CutAndTrain().recoveries == (NewStatistics(), Tuning())


# -- in runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def applied(start: State, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Pruned]]:
    workspace = Workspace(tmp_path_factory.mktemp("recoveries"))
    run = PruneRun(DEMOS[0].ref, DIGITS, half(start).to_json(), device="cpu", recovery=Mending())
    *_, last = run.run(workspace)
    assert isinstance(last, Pruned) and PRODUCT.event(dump(last)) == last
    yield workspace, last


def test_applying_a_plan_measures_and_hands_over_the_mended_network(applied: tuple[Workspace, Pruned]) -> None:
    workspace, found = applied
    mended = found.recovered
    assert mended is not None and mended.recovery == Mending.card.name and mended.trained and mended.images == 128
    assert mended.accuracy.top1 > found.after.accuracy.top1 + 0.2 and mended.accuracy.images == 450
    _, test = load_splits(DIGITS)
    assert evaluate(load_model(mended.model, workspace).model, test, device="cpu").top1 == mended.accuracy.top1
    training = PruneRun(DEMOS[0].ref, DIGITS, mended.model.plan, recovery=Tuning())
    with pytest.raises(UserError, match="run of its own"):
        list(training.run(workspace))


def test_a_fine_tuning_starts_from_the_mended_network_and_may_follow_the_unpruned_one(
    applied: tuple[Workspace, Pruned],
) -> None:
    workspace, found = applied
    plain = FineTuneRun(found.model, DIGITS, CONFIG)
    run = dataclasses.replace(plain, recoveries=(Mending(), Distilling()))
    epochs = [event for event in run.run(workspace) if isinstance(event, Epoch)]
    assert epochs[0].epoch == 0 and epochs[0].top1 > found.after.accuracy.top1 + 0.2
    assert epochs[-1].train_loss is not None and epochs[-1].train_loss < 1.0
    cut = next(event for event in plain.run(workspace) if isinstance(event, Epoch))
    assert cut.top1 == found.after.accuracy.top1
    assert run.phases(CONTROL) == (Train(),) and len(run.phases(PRUNED)) == 2
    for wrong in ((), (Mending(),), (Tuning(), Mending()), (Tuning(), Distilling())):
        with pytest.raises(UserError, match="one training"):
            dataclasses.replace(plain, recoveries=wrong).phases(PRUNED)


# -- distillation ------------------------------------------------------------------------------------------------------


def test_the_divergence_is_that_of_the_textbook_and_nothing_where_both_agree() -> None:
    torch.manual_seed(0)
    scores, wanted = torch.randn(5, 3), torch.randn(5, 3)
    p, q = (torch.softmax(z / 2, 1) for z in (wanted, scores))
    by_hand = 4 * (p * (p.log() - q.log())).sum(1).mean()
    assert divergence(scores, wanted, 2.0) == pytest.approx(float(by_hand), rel=1e-5)
    assert float(divergence(wanted, wanted, 3.0)) == pytest.approx(0, abs=1e-6)


class Pair(nn.Module):
    def __init__(self, first: int) -> None:
        super().__init__()
        self.one, self.two, self.end = nn.Linear(4, first), nn.Linear(first, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.two(self.one(x).relu()).relu())


def test_features_count_where_shapes_agree_and_nothing_is_left_on_the_networks() -> None:
    torch.manual_seed(0)
    teacher, student, x, y = Pair(8).eval(), Pair(5), torch.randn(7, 4), torch.randint(3, (7,))
    with torch.no_grad():
        aim, wanted = teacher.two(teacher.one(x).relu()), teacher(x)
        made, scores = student.two(student.one(x).relu()), student(x)
        main = divergence(scores, wanted, 4.0)
    distance = (made - aim).square().sum() / aim.square().sum()
    spec = Distillation(features=2.0, labels=0.5)
    total, shown = spec.begin(student, {ORIGIN: teacher}).loss(lambda x, overrides=None: student(x), x, y)
    assert float(shown.detach()) == pytest.approx(float(main), rel=1e-5)
    assert float(total.detach()) == pytest.approx(
        float(main + 2 * distance + 0.5 * F.cross_entropy(scores, y)), rel=1e-5
    )
    total.backward()
    assert student.one.weight.grad is not None and teacher.one.weight.grad is None
    assert not any(m._forward_hooks for net in (teacher, student) for m in net.modules())
    with pytest.raises(ValueError, match="no network 'other'"):
        Distillation(teacher="other").begin(student, {ORIGIN: teacher})


def test_mending_within_a_program_is_mending_by_hand(start: State, setup: Setup) -> None:
    plan, fit = half(start), setup.fit
    assert fit is not None
    chosen = fit.subset(48, setup.seed)
    by_hand = mend(start.model, start.network, plan, chosen.normalised(chosen.images), positions=9, seed=setup.seed)
    small = remove(by_hand.model, start.network, plan).model.state_dict()
    assert alike(weights(ended((Apply(plan), Mend(48, 9)), start, setup)), small)
    cut = ended((Cut(L1Norm(), Widths({key: len(units) for key, units in plan.items()})), Mend(48, 9)), start, setup)
    assert evaluate(cut.model, setup.test, device="cpu").top1 > 0.5  # type: ignore[arg-type]
