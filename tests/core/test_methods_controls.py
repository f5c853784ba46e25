"""Controls: pruned networks with new weights at equal epochs and equal work, and random widths."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.datasets import DIGITS, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Train
from pruning_core.methods.phases import settings as settings_of
from pruning_core.methods.random_channels import RandomChannelPruning
from pruning_core.methods.registry import METHODS
from pruning_core.methods.scratch import ScratchB, ScratchE
from pruning_core.methods.state import Setup
from pruning_core.runs.events import Event, Progress
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.recalibrate import keeping_statistics
from pruning_core.work import finished, told
from tests.core.small_programs import CONFIG, Parts, begun, network, residual, setup, taught

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = Budget("macs", fraction=0.5)


# -- from scratch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("full", "pruned", "epochs"), [(125.5, 62.75, 320), (1.0, 0.7, 228), (1.0, 1.0, 160)])
def test_equal_work_is_more_epochs_by_the_ratio_of_multiplications(full: float, pruned: float, epochs: int) -> None:
    """160 epochs at half the multiplications are 320; at 30 % fewer, int(160 / .7) = 228."""
    config = FineTune(epochs=160)
    assert settings_of((Train(longer=full / pruned),), config) == {0: dataclasses.replace(config, epochs=epochs)}
    two = settings_of((Train(0.5), Train(0.5, longer=full / pruned)), config)
    assert two[0].epochs == 80 and two[1].epochs == int(80 * full / pruned + 1e-9) and two[1].seed == config.seed + 1


@pytest.mark.parametrize("make", [network, residual])
@pytest.mark.parametrize("kind", ["macs", "parameters"])
def test_the_work_of_both_is_equal_but_for_less_than_an_epoch(make: Any, kind: Any) -> None:
    net = begun(make()).network
    goal = Goal(net, Budget(kind, fraction=0.4))
    config = dataclasses.replace(CONFIG, epochs=50)
    (equal,) = settings_of(tuple(ScratchE().phases(goal)), config).values()
    (longer,) = settings_of(tuple(ScratchB().phases(goal)), config).values()
    state = begun(make())
    no_training = Setup(load_splits(DIGITS)[1], device="cpu")
    small = finished(perform(tuple(ScratchB().phases(goal))[:2], state, no_training))
    macs = net.cost(small.plan).macs
    assert equal == config and longer.epochs > 50
    assert longer.epochs * macs <= 50 * net.cost().macs < (longer.epochs + 1) * macs


def test_nothing_of_the_given_network_is_left_but_the_widths(digits: Parts) -> None:
    """The same control from two networks that were trained differently is the same to the bit."""
    goal = Goal(begun().network, HALF)
    ends = []
    for epochs in (1, 3):
        state = begun(taught(network(), digits, epochs))
        done = [e for e in perform(tuple(ScratchE().phases(goal)), state, setup(digits)) if isinstance(e, Done)]
        anew = done[1].state
        assert all(not bool(norm.running_mean.any()) for norm in keeping_statistics(anew.model)), "norms know nothing"
        assert anew.network.cost().macs <= 0.5 * state.network.cost().macs
        ends.append((anew.model.state_dict(), done[-1].state.model.state_dict()))
    for one, other in zip(*ends):
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_it_is_the_control_of_the_same_widths(digits: Parts) -> None:
    state = begun(residual())
    goal = Goal(state.network, HALF)
    control = finished(perform(tuple(ScratchE().phases(goal)), state, setup(digits)))
    pruned = finished(perform(tuple(CutAndTrain().phases(goal)), begun(residual()), setup(digits)))
    assert {key: len(units) for key, units in control.plan.items()} == {k: len(u) for k, u in pruned.plan.items()}
    assert control.removal is not None and control.removal.proof.exact


def test_the_schedule_is_stretched_with_the_epochs(digits: Parts) -> None:
    """A learning rate that ended where it would have ended without the longer training would train nothing after it."""
    state = begun()
    config = dataclasses.replace(CONFIG, epochs=2, schedule="step")
    phases = tuple(ScratchB().phases(Goal(state.network, HALF)))
    rates = [event.rate for event in perform(phases, state, setup(digits, config)) if isinstance(event, Epoch)]
    full = config.lr
    assert rates == pytest.approx([full, full, full / 10, full / 100, full / 100]), "two epochs' steps over four"


# -- random widths -----------------------------------------------------------------------------------------------------


def tried(method: RandomChannelPruning, model: nn.Module, data: Parts) -> tuple[Any, list[Event]]:
    state, events = begun(model), []
    phases = tuple(method.phases(Goal(state.network, HALF)))[:2]
    end = finished(told(perform(phases, state, setup(data)), lambda event: events.append(event) or ()))
    return end, events


def test_one_network_is_the_uniform_one_and_more_are_never_worse(digits: Parts) -> None:
    """The same seed draws the same networks first, so the best of more is at least as good on held-out images."""
    model = taught(network(), digits)
    uniform = finished(
        perform(tuple(CutAndTrain().phases(Goal(begun(model).network, HALF)))[:1], begun(model), setup(digits))
    )
    rights = []
    for trials in (1, 4, 12):
        end, events = tried(RandomChannelPruning(trials=trials), model, digits)
        assert end.network.cost().macs <= 0.5 * begun(model).network.cost().macs
        assert [event for event in events if isinstance(event, Progress) and event.unit == "trials"][-1].done == trials
        (said,) = (event.text for event in events if "held-out images" in getattr(event, "text", ""))
        rights.append(int(said.split("right on ")[1].split()[0]))
        if trials == 1:
            assert all(set(end.plan[key]) <= set(units) for key, units in uniform.plan.items()), "but for what fits"
    assert rights == sorted(rights)


def test_test_images_choose_nothing_and_held_out_ones_do(digits: Parts) -> None:
    fit, held_out, test = digits
    model = taught(residual(), digits)

    def chosen(*parts: Any) -> Any:
        return tried(RandomChannelPruning(trials=8), model, parts)[0].plan

    def mistaken(part: Any) -> Any:
        return dataclasses.replace(part, labels=(part.labels + 1) % 10)

    right = chosen(fit, held_out, test)
    assert right == chosen(fit, held_out, mistaken(test)) != chosen(fit, mistaken(held_out), test)


def test_where_nothing_may_be_drawn_smaller_every_network_is_the_uniform_one(digits: Parts) -> None:
    """Shares are drawn from 1 to 1, and scaled together into the budget."""
    model = taught(network(), digits, 2)
    one, _ = tried(RandomChannelPruning(trials=1), model, digits)
    many, _ = tried(RandomChannelPruning(trials=5, least=1.0), model, digits)
    assert one.plan == many.plan


def test_random_widths_end_within_the_budget_on_a_residual_network(digits: Parts) -> None:
    state = begun(residual())
    phases = tuple(RandomChannelPruning(trials=4).phases(Goal(state.network, HALF)))
    end = finished(perform(phases, state, setup(digits)))
    assert 0.4 * state.network.cost().macs < state.network.cost(end.plan).macs <= 0.5 * state.network.cost().macs
    assert capture(end.model, torch.zeros(1, 1, 8, 8)).cost().macs == state.network.cost(end.plan).macs


# -- the budget, for all methods that end in a smaller network ---------------------------------------------------------

SMALLER = [method for method in METHODS if method.outcome is Outcome.SMALLER]


@pytest.mark.parametrize("method", SMALLER, ids=lambda m: m.card.key)
def test_a_budget_of_time_is_refused_before_anything_runs(method: type[Method]) -> None:
    with pytest.raises(UserError, match="in MACs or parameters"):
        tuple(method().phases(Goal(begun().network, Budget("latency", fraction=0.5))))
