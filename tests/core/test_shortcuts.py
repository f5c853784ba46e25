"""What becomes of channels that an addition couples: found by the capture, and kept by all that make plans."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.shortcuts import NOTHING_INSIDE, Coupled, InsideBlocks
from pruning_core.allocation.uniform import Uniform
from pruning_core.apart.networks import network_packed, network_unpacked
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.perform import perform
from pruning_core.methods.registry import METHODS
from pruning_core.methods.state import State
from pruning_core.methods.units import cuttable
from pruning_core.storage.plain import Forged
from pruning_core.work import finished
from tests.core.small_programs import CONFIG, Parts, residual, setup

pytestmark = pytest.mark.usefixtures("one_thread")
OF_CHANNELS = [method for method in METHODS if method().of_channels]


def coupled(model: nn.Module, *shape: int) -> set[str]:
    return {group.key for group in capture(model.eval(), torch.zeros(1, *shape)).groups if group.coupled}


class Wired(nn.Module):
    """Two convolutions side by side, or one, and how what they write meets."""

    def __init__(self, two: bool, meet: str) -> None:
        super().__init__()
        self.a, self.out, self.meet = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 4, 1), meet
        self.b = nn.Conv2d(3, 6, 1) if two else self.a
        self.shift = nn.Parameter(torch.ones(6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        match self.meet:
            case "add":
                a = a + b
            case "inplace":
                a += b
            case "minus":
                a = torch.sub(a, b, alpha=2)
            case "times":
                a = a * b.sigmoid() + self.shift
            case "half":
                a = torch.cat([a[:, :3] + b[:, :3], a[:, 3:]], 1)
        return self.out(a)


@pytest.mark.parametrize("meet", ["add", "inplace", "minus"])
def test_outputs_of_two_layers_that_are_added_are_coupled(meet: str) -> None:
    assert coupled(Wired(True, meet), 3, 4, 4) == {"a"}


@pytest.mark.parametrize(("two", "meet"), [(False, "add"), (False, "times"), (True, "times")])
def test_what_one_layer_makes_and_what_is_multiplied_is_not(two: bool, meet: str) -> None:
    assert coupled(Wired(two, meet), 3, 4, 4) == set()


def test_only_the_channels_that_are_added_are_coupled() -> None:
    found = capture(Wired(True, "half").eval(), torch.zeros(1, 3, 4, 4)).groups
    assert {(group.coupled, group.size) for group in found} == {(True, 3), (False, 3)}


def test_gates_of_a_recurrent_layer_and_biases_couple_nothing() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.shift, self.out = (
                nn.GRU(4, 6, batch_first=True),
                nn.Parameter(torch.ones(6)),
                nn.Linear(6, 2),
            )

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.out(self.gru(x)[0][:, -1] + self.shift)
            return made

    assert coupled(Recurrent(), 5, 4) == set()


def test_of_a_residual_network_the_stream_is_coupled_and_the_inside_of_blocks_is_not() -> None:
    assert coupled(residual(), 1, 8, 8) == {"conv1", "layer2.0.conv2"}


def known() -> Network:
    return capture(residual(), torch.zeros(1, 1, 8, 8))


def test_a_network_from_a_child_says_the_same_and_none_that_is_forged() -> None:
    network = InsideBlocks().narrowed(known())
    again = network_unpacked(*network_packed(network))
    assert again.whole == network.whole and [g.coupled for g in again.groups] == [g.coupled for g in network.groups]
    value, arrays = network_packed(network)
    with pytest.raises(Forged):
        network_unpacked(_with_other_keys(value), arrays)


def _with_other_keys(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: (["nowhere"] if key == "whole" and isinstance(item, list) else _with_other_keys(item))
            for key, item in value.items()
        }
    return [_with_other_keys(item) for item in value] if isinstance(value, list) else value


def test_a_pool_leaves_coupled_groups_whole_and_says_so() -> None:
    network = known()
    scores = {group.key: torch.rand(group.size) for group in network.groups}
    pool = Pool.of(network, scores, Limits(shortcuts=InsideBlocks()))
    assert set(pool.size) == {"layer1.0.conv1", "layer2.0.conv1"}
    assert any("2 groups are left whole, because an addition couples them" in note for note in pool.notes)
    assert set(Pool.of(network, scores, Limits(shortcuts=Coupled())).size) == {group.key for group in network.groups}
    assert set(allocate(Uniform(0.5), pool).plan) == set(pool.size)


def test_methods_leave_alone_what_stays_whole() -> None:
    assert {group.key for group in cuttable(known())} == {group.key for group in known().groups}
    assert {group.key for group in cuttable(InsideBlocks().narrowed(known()))} == {"layer1.0.conv1", "layer2.0.conv1"}


def test_a_plan_without_what_is_coupled() -> None:
    plan = Plan({"conv1": (0, 1), "layer1.0.conv1": (2,)})
    assert InsideBlocks().of_plan(plan, known()) == Plan({"layer1.0.conv1": (2,)})
    assert Coupled().of_plan(plan, known()) == plan


def test_where_nothing_is_inside_it_says_so() -> None:
    network = capture(Wired(True, "add").eval(), torch.zeros(1, 3, 4, 4))
    assert InsideBlocks().why_not(network) == NOTHING_INSIDE
    assert Coupled().why_not(network) == InsideBlocks().why_not(known()) == ""
    with pytest.raises(UserError, match="because an addition couples it"):
        Pool.of(network, {"a": torch.rand(6)}, Limits(shortcuts=InsideBlocks()))


@pytest.mark.parametrize("method", OF_CHANNELS, ids=lambda m: m.card.key)
def test_every_method_of_channels_cuts_inside_blocks_alone_when_asked(method: type[Method], digits: Parts) -> None:
    model = residual()
    state = State.of(model, capture(model, torch.zeros(1, 1, 8, 8)), InsideBlocks())
    goal = Goal(state.network, Budget("macs", fraction=0.6))
    assert method().obstacle(state.network) == ""
    end = finished(perform(tuple(method().phases(goal)), state, setup(digits, CONFIG)))
    assert end.plan and set(end.plan) <= {"layer1.0.conv1", "layer2.0.conv1"}
    assert state.network.cost(end.plan).macs <= 0.6 * state.network.cost().macs
