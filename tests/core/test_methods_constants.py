"""What a removed channel still gave, a constant, reaches the layers that read it: the network stays what it was."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import Plan
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.ista import SparseScales
from pruning_core.methods.network_slimming import NetworkSlimming
from pruning_core.methods.perform import perform
from pruning_core.methods.phases import Absorb, Apply, Cut, Phase, Train
from pruning_core.methods.soft_pruning import SoftFilterPruning, SoftGeometricMedian
from pruning_core.methods.state import State
from pruning_core.work import finished
from tests.core.small_programs import Parts, begun, setup

pytestmark = pytest.mark.usefixtures("one_thread")
CONSTANT = (1, 4)  # the channels of every norm that have no scale, and a shift


def constant() -> State:
    """No padding. Readers with a bias and a norm behind them, with a norm alone, and with a bias alone."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    for norm in (each for each in model if isinstance(each, nn.BatchNorm2d)):
        with torch.no_grad():
            norm.running_mean.normal_()
            norm.weight[list(CONSTANT)] = 0.0
            norm.bias.normal_()
            norm.bias[CONSTANT[0]] = 1.5  # and a negative one that the rectifier stops
            norm.bias[CONSTANT[1]] = -1.5
    return begun(model.eval())


def gone(state: State) -> Plan:
    return Plan({group.key: CONSTANT for group in state.network.groups})


def says(state: State, digits: Parts) -> Tensor:
    test = digits[2]
    with torch.no_grad():
        found: Tensor = state.model(test.normalised(test.images[:64]))
    return found


def ended(phases: tuple[Phase, ...], state: State, digits: Parts) -> State:
    return finished(perform(phases, state, setup(digits)))


def test_channels_without_a_scale_leave_no_trace_in_any_kind_of_reader(digits: Parts) -> None:
    state = constant()
    before, weights = says(state, digits), copy.deepcopy(state.model.state_dict())
    cut = ended((Apply(gone(state)),), state, digits)
    assert (says(cut, digits) - before).abs().max() > 0.1, "an example where the constants matter"
    end = ended((Apply(gone(state)), Absorb()), state, digits)
    assert torch.allclose(says(end, digits), before, atol=1e-4) and end.plan == gone(state)
    assert end.removal is not None and end.removal.proof.exact and end.uncut is None
    for name in ("0.weight", "3.weight", "6.weight", "11.weight"):
        assert torch.equal(end.model.state_dict()[name], cut.model.state_dict()[name]), "no weight moves"
    assert all(torch.equal(value, weights[name]) for name, value in state.model.state_dict().items())


def test_a_channel_that_varies_is_replaced_by_its_mean(digits: Parts) -> None:
    """What the layer that reads it writes is the same on average over the images that were looked at, and only so."""
    state, x = constant(), digits[0].normalised(digits[0].subset(128, 3).images)
    key = state.network.groups[-1].key
    with torch.no_grad():
        before = state.model(x)
        end = ended((Apply(Plan({key: (0, 2)})), Absorb()), state, digits)
        after = end.model(x)
    assert torch.allclose(after.mean(0), before.mean(0), atol=1e-4)
    assert (after - before).abs().max() > 0.01


def test_nothing_is_handed_on_where_nothing_was_cut(digits: Parts) -> None:
    state = constant()
    assert ended((Absorb(),), state, digits) is state


@pytest.mark.parametrize("method", [NetworkSlimming(), NetworkSlimming(passes=2), SparseScales()], ids=str)
def test_it_follows_every_cut_of_scales(method: Method, digits: Parts) -> None:
    """netslim, ista-bn: the smallest scales are exactly those that are zero, and the network says the same."""
    state = constant()
    cost = state.network.cost
    phases = tuple(method.phases(Goal(state.network, Budget("macs", fraction=cost(gone(state)).macs / cost().macs))))
    kinds = [type(phase) for phase in phases]
    assert kinds == [Train, Cut, Absorb, Train] * (len(kinds) // 4)
    learnt = {group.key: norm.weight.detach().abs().double() for group, norm in zip(state.network.groups, norms(state))}
    end = ended(phases[-3:-1], replace(state, learnt=learnt), digits)
    assert end.plan == gone(state)
    assert torch.allclose(says(end, digits), says(state, digits), atol=1e-4)


def norms(state: State) -> list[Any]:
    return [each for each in state.model.modules() if isinstance(each, nn.BatchNorm2d)]


@pytest.mark.parametrize("method", [SoftFilterPruning(), SoftGeometricMedian()], ids=lambda m: m.card.key)
def test_filters_of_zeros_leave_the_constants_of_their_norms_behind(method: Method, digits: Parts) -> None:
    """sfp, fpgm: what was measured while they were zero is what is left without them."""
    state = constant()
    with torch.no_grad():
        for place in (0, 3, 6):
            state.model.get_submodule(str(place)).weight[list(CONSTANT)] = 0.0  # type: ignore[index]
        for norm in norms(state):
            norm.weight.fill_(1.0)
    _, cut, absorb, _ = method.phases(Goal(state.network, Budget("macs", fraction=0.6)))
    assert isinstance(cut, Cut) and isinstance(absorb, Absorb)
    end = ended((Apply(gone(state)), absorb), state, digits)
    assert torch.allclose(says(end, digits), says(state, digits), atol=1e-4)
    assert (says(ended((Apply(gone(state)),), state, digits), digits) - says(state, digits)).abs().max() > 0.1
