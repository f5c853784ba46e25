"""What methods with gates share: factors in unit coordinates, the cost that follows them, optimizers of their own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.allocation.budget import Budget
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, silence
from pruning_core.methods.gates import Gates, opened
from pruning_core.methods.own_optimizer import OwnAdam
from pruning_core.methods.soft_cost import SoftCost, allowed
from tests.core.small_programs import begun, moment, network, residual


class Joined(nn.Module):
    """Two layers side by side, so that one weight reads two groups; and pictures that become columns of a product."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(1, 5, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.d = nn.Linear(4 * 64, 10)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.a(x), self.b(x)], 1).relu()
        return self.d(self.c(both).relu().flatten(1))


MODELS = {"plain": network, "residual": residual, "joined": lambda: Joined().eval()}


def gates_of(net: Network, plan: Plan) -> dict[str, Tensor]:
    return {g.key: torch.tensor([float(u not in plan.get(g.key, ())) for u in range(g.size)]) for g in net.groups}


def drawn(data: st.DataObject, net: Network) -> Plan:
    return Plan({g.key: data.draw(st.sets(st.integers(0, g.size - 1), max_size=g.size - 1)) for g in net.groups})


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@given(st.data())
@settings(deadline=None, max_examples=15)
def test_closed_gates_are_the_silenced_network_and_cost_what_is_left(make, data) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(1)
    model = make()
    net = capture(model, torch.zeros(2, 1, 8, 8))  # costs are those of one picture, whatever was captured
    plan = drawn(data, net)
    gates, x = gates_of(net, plan), torch.randn(2, 1, 8, 8)
    exchanged = Gates.of(model, net).exchanged(gates)
    assert torch.equal(functional_call(model, exchanged, (x,)), silence(model, net, plan)(x))
    cost = net.cost(plan)
    assert float(SoftCost(net, "macs", "cpu")(gates)) == pytest.approx(cost.macs, rel=1e-12)
    assert float(SoftCost(net, "parameters", "cpu")(gates)) == pytest.approx(cost.parameters, rel=1e-12)


def test_half_a_gate_is_half_a_channel_on_either_side() -> None:
    """Two layers, 3 to 8 and 8 to 4 channels on 8 x 8: half of the 8 is half of all multiplications."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    net = capture(model, torch.zeros(1, 3, 8, 8))
    gates = torch.full((8,), 0.5, requires_grad=True)
    cost = SoftCost(net, "macs", "cpu")
    found = cost({"0": gates})
    found.backward()
    assert cost.whole == 15872 and found.item() == pytest.approx(7936)
    assert torch.allclose(gates.grad, torch.full((8,), 15872 / 8)), "what it costs to make it and to read it"


def test_gradients_flow_to_gates_and_weights_of_coupled_layers() -> None:
    state = begun(residual())
    gates = {group.key: torch.ones(group.size, requires_grad=True) for group in state.network.groups}
    exchanged = Gates.of(state.model, state.network).exchanged(gates)
    functional_call(state.model, exchanged, (torch.randn(2, 1, 8, 8),)).square().sum().backward()
    assert all(bool(gate.grad.any()) for gate in gates.values())
    assert bool(state.model.get_parameter("layer2.0.conv1.weight").grad.any())


def test_groups_without_gates_are_open() -> None:
    state = begun(residual())
    keys = [group.key for group in state.network.groups]
    gates = Gates.of(state.model, state.network, keys[:2])
    assert list(gates.sizes) == keys[:2]
    values = {keys[1]: torch.rand(8)}
    assert torch.equal(gates.joined(values), torch.cat([torch.ones(8), values[keys[1]], torch.ones(1)]))
    cost = SoftCost(state.network, "macs", "cpu")
    assert float(cost.share({keys[0]: torch.ones(8)})) == pytest.approx(1.0)
    assert gates.exchanged({}) == {}


def test_no_group_is_emptied_by_a_threshold() -> None:
    found = opened({"a": torch.tensor([0.1, 0.4, 0.2]), "b": torch.tensor([0.9, 0.5, 0.6])}, 0.5)
    assert found["a"].tolist() == [0, 1, 0] and found["b"].tolist() == [1, 0, 1]


def test_a_budget_as_a_share_and_no_latency() -> None:
    net = begun().network
    assert allowed(net, Budget("macs", fraction=0.3)) == pytest.approx(0.3)
    assert allowed(net, Budget("parameters", amount=net.cost().parameters / 4)) == pytest.approx(0.25)
    with pytest.raises(UserError, match="in MACs or parameters"):
        SoftCost(net, "latency", "cpu")


def test_a_value_moves_by_its_pace_in_an_epoch_whatever_its_gradient() -> None:
    values = [torch.zeros(2), torch.zeros(1)]
    own = OwnAdam(values, 2.0)

    def epoch(done: float) -> list[float]:
        for _ in range(10):
            (1e-4 * values[0].sum() - 50 * values[1].sum()).backward()
            own.step(moment(nn.Identity(), done=done))
            assert values[0].grad is None
        return [values[0][1].item(), values[1].item()]

    assert epoch(0.0) == pytest.approx([-2.0, 2.0], abs=0.01)
    assert epoch(0.75) == pytest.approx([-2.5, 2.5], abs=0.01), "slower towards the end"
    again = OwnAdam([torch.ones(2), torch.ones(1)], 2.0)
    again.load(own.state())
    assert str(again.state()) == str(own.state())
