"""Methods and their phases: what each phase does, and that the first page is true."""

from __future__ import annotations

import ast
import dataclasses
import runpy
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import L1Norm, L2Norm, TaylorGate, score
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.gates import counting
from pruning_core.methods import base
from pruning_core.methods.base import Goal, Outcome
from pruning_core.methods.perform import Broken, Done, only_events, perform
from pruning_core.methods.phases import (
    Apply,
    Cut,
    Learnt,
    Phase,
    Recover,
    Rewind,
    Snapshot,
    Train,
    Widths,
    Within,
)
from pruning_core.methods.phases import settings as settings_of
from pruning_core.methods.ranking import SCORED_ON
from pruning_core.methods.registry import METHODS
from pruning_core.methods.state import Setup
from pruning_core.runs.events import Event, Stage
from pruning_core.sparsity.weights import Sparsity
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.loop import fine_tune
from pruning_core.training.recalibrate import keeping_statistics
from pruning_core.work import finished, told
from tests.core.small_programs import CONFIG, NoisyGates, Parts, begun, blocks, clockless, network, setup
from tests.core.test_training import same

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def learned(digits: Parts) -> nn.Module:
    """A network that knows the digits a little: what most methods begin with."""
    training = fine_tune(network(), digits[0], digits[2], dataclasses.replace(CONFIG, lr=0.1), held_out=digits[1])
    list(training)
    return training.best_model()


@pytest.fixture(scope="module")
def deep(digits: Parts) -> nn.Module:
    """One with blocks that can leave."""
    config = dataclasses.replace(CONFIG, lr=0.1)
    training = fine_tune(blocks(), digits[0], digits[2], config, held_out=digits[1])
    list(training)
    return training.best_model()


# -- the page for a newcomer -------------------------------------------------------------------------------------------


def test_the_example_of_the_first_page_runs_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = ast.get_docstring(ast.parse(Path(base.__file__).read_text(encoding="utf-8")))
    assert page is not None
    script = tmp_path / "example.py"
    script.write_text(textwrap.dedent(page[page.index("again::") + len("again::") :]))
    found = runpy.run_path(str(script), run_name="example")
    said = capsys.readouterr().out
    network, state = found["network"], found["state"]
    assert network.cost(state.plan).macs <= 0.6 * network.cost().macs < network.cost().macs
    assert said.count("epoch 1") == 2 and "the smallest scales: " in said
    assert found["method"].obstacle(capture(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), torch.zeros(1, 1, 8, 8)))


# -- the registry ------------------------------------------------------------------------------------------------------


def test_methods_are_listed_once_and_their_classes_are_frozen() -> None:
    keys = [method.card.key for method in METHODS]
    assert len(set(keys)) == len(keys) and METHODS
    for method in METHODS:
        assert dataclasses.is_dataclass(method) and method.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert method.card.idea and method.card.formula and method.card.fails


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.card.key)
def test_every_method_is_a_plan_first_and_keeps_to_its_goal(
    method: type[base.Method], digits: Parts, learned: nn.Module, deep: nn.Module
) -> None:
    state = begun(deep if method.outcome is Outcome.SHALLOWER else learned)
    goal = Goal(state.network, Budget("macs", fraction=0.5))
    phases = tuple(method().phases(goal))
    assert phases == tuple(method().phases(goal)), "drawn twice, it is the same"
    assert all(isinstance(phase, Phase) and phase.name for phase in phases)
    assert method().obstacle(state.network) == ""
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    end = finished(perform(phases, state, setup(digits)))
    if method.outcome is Outcome.SMALLER:
        assert state.network.cost(end.plan).macs <= 0.5 * state.network.cost().macs
        assert sum(p.numel() for p in end.model.parameters()) == state.network.cost(end.plan).parameters
    elif method.outcome is Outcome.SPARSE:
        assert Sparsity.of(end.model, end.network).macs <= (0.5 if method.budgeted else 0.6) * state.network.cost().macs
    elif method.outcome is Outcome.DYNAMIC:
        average = finished(counting(end.model, end.network, digits[2], device="cpu")).average(digits[2])
        assert average.mean <= (0.5 if method.budgeted else 0.8) * state.network.cost().macs and end.edits
    else:
        assert end.network.cost().macs <= 0.5 * state.network.cost().macs and end.edits and not end.plan
        assert sum(p.numel() for p in end.model.parameters()) == end.network.cost().parameters
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    assert evaluate(end.model, digits[2], device="cpu").top1 > 0.4


# -- the phases --------------------------------------------------------------------------------------------------------


def test_a_training_phase_is_a_training(digits: Parts) -> None:
    fit, held_out, test = digits
    state = begun()
    events: list[Event] = []
    end = finished(told(perform((Train(),), state, setup(digits)), lambda e: events.append(e) or ()))
    training = fine_tune(state.model, fit, test, CONFIG, held_out=held_out)
    expected = [event for event in training if isinstance(event, Epoch)]
    assert [clockless(e) for e in events if isinstance(e, Epoch)] == [clockless(e) for e in expected]
    assert same(end.model, training.best_model()) and isinstance(events[-1], Done)


def test_a_cut_to_widths_ranks_the_network_as_it_is(digits: Parts) -> None:
    state = begun()
    first, second = (group.key for group in state.network.groups[:2])
    phases = (Cut(L1Norm(), Widths({first: 2})), Train(), Cut(L2Norm(), Widths({first: 3, second: 6})))
    states = [e.state for e in perform(phases, state, setup(digits)) if isinstance(e, Done)]
    assert {key: len(units) for key, units in states[-1].plan.items()} == {first: 3, second: 6}
    assert set(states[0].plan[first]) < set(states[-1].plan[first]), "what is gone stays gone"
    weight = states[1].model[0].weight.detach()
    assert weight.shape == (6, 1, 3, 3) and states[-1].model[3].weight.shape == (6, 5, 3, 3)
    alive = [unit for unit in range(8) if unit not in states[0].plan[first]]
    (gone,) = set(states[-1].plan[first]) - set(states[0].plan[first])
    assert alive.index(gone) == int(weight.flatten(1).norm(dim=1).argmin())
    assert states[-1].removal is not None and states[-1].removal.proof.exact


def test_a_budget_is_a_share_of_the_first_network(digits: Parts) -> None:
    state = begun()
    full = state.network.cost()
    half, quarter = (Within(Uniform(), Budget("macs", fraction=share)) for share in (0.5, 0.25))
    once = finished(perform((Cut(L1Norm(), quarter),), state, setup(digits)))
    twice = finished(perform((Cut(L1Norm(), half), Cut(L1Norm(), quarter)), state, setup(digits)))
    for end in (once, twice):
        assert 0.15 * full.macs < state.network.cost(end.plan).macs <= 0.25 * full.macs
        assert sum(p.numel() for p in end.model.parameters()) == state.network.cost(end.plan).parameters
    fewer = Within(Uniform(), Budget("parameters", amount=full.parameters / 2))
    end = finished(perform((Cut(TaylorGate(), fewer),), state, setup(digits)))
    assert state.network.cost(end.plan).parameters <= full.parameters / 2


def test_a_budget_of_time_is_refused_with_a_sentence(digits: Parts) -> None:
    phase = Cut(L1Norm(), Within(Uniform(), Budget("latency", fraction=0.5)))
    with pytest.raises(UserError, match="in MACs or parameters"):
        finished(perform((phase,), begun(), setup(digits)))


def test_what_a_hook_has_learnt_decides_a_cut(digits: Parts) -> None:
    state = begun()
    key = state.network.groups[1].key
    phases = (Train(hooks=(NoisyGates(),), keep="last"), Cut(Learnt(), Widths({key: 5})))
    states = [e.state for e in perform(phases, state, setup(digits)) if isinstance(e, Done)]
    lowest = states[0].learnt[key].argsort()[:5].tolist()
    assert set(states[1].plan[key]) == set(lowest)
    with pytest.raises(ValueError, match="learnt"):
        finished(perform(phases[1:], state, setup(digits)))


def test_given_units_are_removed_with_a_proof_and_statistics_are_renewed(digits: Parts) -> None:
    state = begun()
    key = state.network.groups[0].key
    stages: list[Event] = []
    work = perform((Apply(Plan({key: (1, 5)})), Apply(Plan({key: (0,)})), Recover(256)), state, setup(digits))
    end = finished(told(work, lambda e: stages.append(e) or ()))
    assert dict(end.plan) == {key: (0, 1, 5)} and end.removal is not None and end.removal.proof.exact
    by_hand = remove(state.model, state.network, Plan({key: (0, 1, 5)})).model
    for name, value in by_hand.named_parameters():
        assert torch.equal(value, end.model.get_parameter(name)), "no weight changes"
    old, new = keeping_statistics(by_hand)[1], keeping_statistics(end.model)[1]
    assert not torch.equal(old.running_mean, new.running_mean)
    assert Stage("removing channels") in stages and Stage("renewing batch-norm statistics") in stages


def test_rewinding_gives_back_the_weights_and_not_the_channels(digits: Parts) -> None:
    state = begun()
    first, second = (group.key for group in state.network.groups[:2])
    phases = (
        Apply(Plan({second: (0, 3)})), Train(0.5), Snapshot("early"), Train(0.5), Apply(Plan({first: (2,)})),
        Train(0.5), Rewind("early"),
    )  # fmt: skip
    states = [e.state for e in perform(phases, state, setup(digits)) if isinstance(e, Done)]
    early, late, end = states[2], states[-2], states[-1]
    assert end.plan == late.plan == Plan({first: (2,), second: (0, 3)})
    expected = remove(early.model, early.network, Plan({first: (2,)})).model
    assert same(end.model, expected) and not same(end.model, late.model)
    with pytest.raises(ValueError, match="no snapshot 'never'"):
        finished(perform((Rewind("never"),), state, setup(digits)))


@given(st.data())
@settings(deadline=None)
def test_what_a_plan_removes_beyond_an_earlier_one(data: st.DataObject) -> None:
    sizes = {"a": 7, "b": 4}
    unit_sets = {key: st.sets(st.integers(0, size - 1)) for key, size in sizes.items()}
    earlier = Plan({key: data.draw(units) for key, units in unit_sets.items()})
    whole = Plan({key: {*earlier.get(key, ()), *data.draw(units)} for key, units in unit_sets.items()})
    assert earlier.then(whole.since(earlier, sizes), sizes) == whole
    assert Plan().then(whole.since(Plan(), sizes), sizes) == whole
    if earlier != whole:
        with pytest.raises(ValueError, match="keeps"):
            earlier.since(whole, sizes)


def test_epochs_and_seeds_of_several_trainings() -> None:
    phases = (Train(0.25), Snapshot("x"), Train(0.75), Recover())
    found = settings_of(phases, dataclasses.replace(CONFIG, epochs=8))
    assert {number: (each.epochs, each.seed) for number, each in found.items()} == {0: (2, 3), 2: (6, 4)}
    timed = FineTune(epochs=0, minutes=1.0)
    assert settings_of(phases[:2], timed) == {0: timed}, "a single training may be timed"
    with pytest.raises(UserError, match="number of epochs"):
        settings_of(phases, timed)


def test_a_training_that_fails_hands_over_its_best_before_the_error(digits: Parts) -> None:
    class Fails(HookSpec):
        def begin(self, model: nn.Module, network: Network) -> Hook:
            return _Fails()

    class _Fails(Hook):
        def epoch_start(self, moment: Moment) -> None:
            if moment.epoch == 2:
                raise UserError("this cannot go on")

    heard: list[Event] = []
    with pytest.raises(UserError, match="cannot go on"):
        finished(told(perform((Train(hooks=(Fails(),)),), begun(), setup(digits)), lambda e: heard.append(e) or ()))
    assert isinstance(heard[-1], Broken) and heard[-1].best.epoch.epoch <= 1
    assert only_events(heard[-1]) == () and only_events(heard[0]) == (heard[0],)


def test_a_program_without_its_images_is_a_mistake_of_whoever_wrote_it(digits: Parts) -> None:
    with pytest.raises(ValueError, match="needs images to fit"):
        finished(perform((Train(),), begun(), Setup(digits[2])))


def test_scores_of_a_cut_are_those_of_the_fitted_images(digits: Parts) -> None:
    state = begun()
    key = state.network.groups[0].key
    images = digits[0].subset(SCORED_ON, CONFIG.seed)
    expected = score(state.model, state.network, (TaylorGate(),), images, seed=CONFIG.seed)[TaylorGate()].values[key]
    end = finished(perform((Cut(TaylorGate(), Widths({key: 3})),), state, setup(digits)))
    assert set(end.plan[key]) == set(expected.argsort(stable=True)[:3].tolist())
