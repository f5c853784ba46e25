"""Methods that let channels stand for others while they train: fused filters and rising clusters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.allocation.budget import Budget
from pruning_core.criteria import ClusterPruning, score
from pruning_core.graph import Plan, capture, remove
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.filter_fusion import FilterFusion, FusedFilters, closeness, distinctness, temperature
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.rising_clusters import ClustersWhileTraining, RisingClusters, features
from pruning_core.methods.units import Slices, producers
from pruning_core.numeric.trees import absorption, ward
from tests.core.small_programs import Parts, begun, moment, network, residual, seen_by, setup, trained

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = Budget("macs", fraction=0.5)


def start(spec: Any, model: nn.Module) -> Any:
    return spec.begin(model, capture(model, torch.zeros(1, 1, 8, 8)))


# -- fused filters -----------------------------------------------------------------------------------------------------

LINE = torch.tensor([[0.0], [0.1], [5.0]], dtype=torch.float64)  # three filters of one weight


def test_filters_are_close_by_shares_and_distinct_by_divergence() -> None:
    """The sheet's three filters at T = 1: the two alike share each other, and {2, 0} are kept."""
    shares = closeness(LINE, 1.0)
    expected = torch.tensor([[0.523, 0.473, 0.004], [0.473, 0.523, 0.004], [0.007, 0.007, 0.986]], dtype=torch.float64)
    assert torch.allclose(shares, expected, atol=6e-4) and torch.allclose(shares.sum(1), torch.ones(3).double())
    assert torch.allclose(distinctness(shares), torch.tensor([4.241, 4.233, 10.893]).double(), atol=6e-4)
    assert torch.allclose((shares @ LINE)[[0, 2], 0], torch.tensor([0.0650, 4.9308]).double(), atol=5e-5)
    hotter = distinctness(closeness(LINE, 10.0))
    assert torch.allclose(hotter, torch.tensor([49.61, 49.15, 99.63]).double(), atol=6e-3)


def test_a_high_temperature_makes_each_filter_itself() -> None:
    assert temperature(0.0, 6.0) == pytest.approx(1.0) and temperature(1.0, 6.0) == pytest.approx(1e4)
    rising = [temperature(done / 10, 6.0) for done in range(11)]
    assert rising == sorted(rising) and temperature(1 / 3, 18.0) > 0.99e4, "nearly all within six epochs"
    assert torch.equal(closeness(LINE, 1e4), torch.eye(3).double())
    assert bool(distinctness(torch.eye(3).double()).isfinite().all())


@pytest.mark.parametrize("bias", [True, False])
def test_the_network_computes_with_weighted_sums_that_hand_gradients_to_all_filters(bias: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3, bias=bias), nn.ReLU(), nn.Conv2d(6, 4, 3, bias=bias), nn.Flatten()).eval()
    hook = start(FusedFilters({"0": 2}), model)
    exchanged = hook.overrides(moment(model))
    shares, chosen = hook._shares["0"], hook._chosen["0"]
    assert int(chosen.sum()) == 4 and not shares.requires_grad
    kept = chosen.nonzero().flatten().tolist()
    for unit in kept:
        expected = sum(shares[unit, j] * model[0].weight[j] for j in range(6))
        assert torch.allclose(exchanged["0.weight"][unit], expected, atol=1e-6)
        if bias:
            assert torch.allclose(exchanged["0.bias"][unit], shares[unit] @ model[0].bias)
    x = torch.randn(2, 1, 8, 8)
    whole = functional_call(model, exchanged, (x,))
    small = nn.functional.conv2d(x, exchanged["0.weight"][kept], exchanged["0.bias"][kept] if bias else None).relu()
    by_hand = nn.functional.conv2d(small, model[2].weight[:, kept], model[2].bias).flatten(1)
    assert torch.allclose(whole, by_hand, atol=1e-5), "a compact network of the fused filters"
    whole.square().sum().backward()
    assert bool(model[0].weight.grad.flatten(1).any(1).all()), "filters that are not kept learn too"
    assert not model[2].weight.grad[:, [u for u in range(6) if u not in kept]].any()


def test_coupled_layers_are_fused_alike() -> None:
    model = residual()
    hook = start(FusedFilters({"layer2.0.conv2": 5}), model)
    exchanged = hook.overrides(moment(model))
    for name in ("layer2.0.conv2.weight", "layer2.0.shortcut.0.weight"):
        weight = model.get_parameter(name)
        fused = torch.einsum("kj,jabc->kabc", hook._shares["layer2.0.conv2"], weight)
        kept = hook._chosen["layer2.0.conv2"] > 0
        assert torch.allclose(exchanged[name][kept], fused[kept], atol=1e-6), name


def test_a_weight_that_reads_a_fused_group_is_fused_itself() -> None:
    """The second convolution is fused by rows and reads only what is kept of the first."""
    model = network()
    hook = start(FusedFilters({"0": 3, "3": 4}), model)
    weight = hook.overrides(moment(model))["3.weight"]
    gone = hook._chosen["0"] == 0
    assert not weight[:, gone].any()
    kept = hook._chosen["3"] > 0
    fused = torch.einsum("kj,jabc->kabc", hook._shares["3"], model[3].weight)
    assert torch.allclose(weight[kept][:, ~gone], fused[kept][:, ~gone], atol=1e-6)


class Halves(nn.Module):
    """One convolution whose channels are read by two layers, half each: two groups in one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 8, 1), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.a(x).relu().split(4, 1)
        return self.b(left) * self.c(right)


def test_two_groups_of_one_weight_are_both_fused_and_the_most_distinct_stay() -> None:
    torch.manual_seed(0)
    model = Halves().eval()
    with torch.no_grad():
        model.a.weight.copy_(torch.tensor([0.0, 0.1, 5.0, 9.0, 0.0, 3.0, 3.1, 9.0]).reshape(8, 1, 1, 1))
    hook = start(FusedFilters({"a": 2, "a#2": 1}), model)
    chosen = {key: own.nonzero().flatten().tolist() for key, own in hook._chosen.items()}
    assert chosen["a"] == [2, 3] and len(chosen["a#2"]) == 3 and 3 in chosen["a#2"], "what is alike goes"
    weight = hook.overrides(moment(model))["a.weight"].flatten()
    for start_, key in ((0, "a"), (4, "a#2")):
        fused = hook._shares[key] @ model.a.weight.flatten()[start_ : start_ + 4]
        assert torch.allclose(weight[start_ : start_ + 4][chosen[key]], fused[chosen[key]])


def test_rows_are_replaced_wherever_they_lie() -> None:
    tensor = torch.arange(12.0).reshape(2, 6).requires_grad_()
    slices = Slices(tensor, 1, torch.tensor([[0, 3], [1, 4], [2, 5]]))
    same = slices.replaced(slices.rows())
    assert torch.equal(same, tensor)
    turned = slices.replaced(slices.rows()[[1, 2, 0]])
    assert torch.equal(turned, tensor[:, [1, 2, 0, 4, 5, 3]])
    turned[0, 0].backward()
    assert tensor.grad[0, 1] == 1 and tensor.grad.sum() == 1


def test_what_comes_out_is_what_was_measured(digits: Parts) -> None:
    """No training follows the cut: the compact network answers as the fused one did."""
    state = begun(residual())
    phases = tuple(FilterFusion().phases(Goal(state.network, HALF)))
    done = [event for event in perform(phases, state, setup(digits)) if isinstance(event, Done)]
    chosen = done[0].state.learnt
    for key, units in done[1].state.plan.items():
        assert set(units) == set((chosen[key] == 0).nonzero().flatten().tolist())
    x = digits[2].normalised(digits[2].images[:64])
    assert torch.allclose(done[0].state.model(x), done[1].state.model(x), atol=1e-4)
    assert done[1].state.removal is not None and done[1].state.removal.proof.exact


def test_the_choice_is_made_anew_in_each_epoch_as_it_gets_hot(digits: Parts) -> None:
    _, epochs = trained(FusedFilters({"3": 6}), digits)
    heats = [seen_by(epoch, "temperature")[0] for epoch in epochs]
    assert heats[:2] == [1.0, 1.0] and heats[2] < heats[3]
    assert any(seen_by(epoch, "changed")[0] > 0 for epoch in epochs)


# -- rising clusters ---------------------------------------------------------------------------------------------------


def test_the_sheets_three_filters_are_two_clusters() -> None:
    """W rows (1, 0), (1, .1), (0, 3) read by (1, 1, 2): absorbed at .1, and {1, 2} represent."""
    made = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 3.0]]).reshape(3, 2, 1, 1)
    read = torch.tensor([[1.0, 1.0, 2.0]]).reshape(1, 3, 1, 1)
    each = torch.arange(3)[:, None]
    rows = features([Slices(made, 0, each), Slices(read, 1, each)])
    assert torch.allclose(rows, torch.tensor([[1, 0, 1], [1, 0.1, 1], [0, 3, 2]], dtype=torch.float64))
    heights = absorption(ward(rows), rows.norm(dim=1))
    assert heights[0].item() == pytest.approx(0.1) and heights[1] > 0.5 and heights[2] > heights[1]


@pytest.mark.parametrize("make", [network, residual])
def test_heights_are_those_of_the_criterion_after_real_removal_too(make: Any) -> None:
    """What is silenced is seen by nobody, as if it had been removed."""
    model = make()
    net = capture(model, torch.zeros(1, 1, 8, 8))
    hook: Any = RisingClusters(Budget("macs", fraction=0.3), until=0.5).begin(model, net)

    def expected() -> list[tuple[float, str, int]]:
        plan = hook._plan()
        small = remove(model, net, plan).model if plan else model
        now, alive = capture(small, torch.zeros(1, 1, 8, 8)), net.after(plan)
        found = score(small, now, (ClusterPruning(),), None)[ClusterPruning()].values
        entries = []
        for key, values in found.items():
            stays = int(values.argmax())
            entries += [(float(v), key, alive[key][i]) for i, v in enumerate(values) if i != stays]
        return sorted(entries)

    for done in (0.0, 0.2, 0.4):
        hook.epoch_start(moment(model, done=done))
        assert [(round(h, 9), *rest) for h, *rest in sorted(hook._absorbed())] == [
            (round(h, 9), *rest) for h, *rest in expected()
        ]
    assert hook._gone


def test_the_height_rises_and_nothing_goes_beyond_the_budget() -> None:
    model = residual()
    net = capture(model, torch.zeros(1, 1, 8, 8))
    hook: Any = RisingClusters(HALF, until=0.5).begin(model, net)
    costs, heights = [], []
    for done in (0.0, 0.125, 0.25, 0.375, 0.5, 0.75):
        hook.epoch_start(moment(model, done=done))
        costs.append(net.cost(hook._plan()).macs / net.cost().macs)
        heights.append(float(hook.watched(moment(model))["height"]))
        assert bool(hook._gone) == (costs[-1] < 1)
    assert heights[:5] == pytest.approx([hook._slope * part for part in (0, 0.25, 0.5, 0.75, 1)])
    assert costs[0] == 1.0 and costs == sorted(costs, reverse=True) and costs[4] == costs[5]
    assert costs[-1] <= 0.5 < net.cost(Plan(_before_last(hook))).macs / net.cost().macs


def _before_last(hook: Any) -> dict[str, list[int]]:
    drop: dict[str, list[int]] = {}
    for _, key, unit in hook._gone[:-1]:
        drop.setdefault(key, []).append(unit)
    return drop


def test_what_is_absorbed_stays_silent_and_is_what_goes(digits: Parts) -> None:
    state = begun()
    phases = tuple(ClustersWhileTraining().phases(Goal(state.network, HALF)))
    trained_, cut = (event.state for event in perform(phases, state, setup(digits)) if isinstance(event, Done))
    silent = [unit for unit in range(8) if not trained_.model[3].weight[:, unit].any()]
    assert tuple(silent) == cut.plan["0"] and 0 < len(silent) < 8
    x = digits[2].normalised(digits[2].images[:64])
    assert torch.allclose(trained_.model(x), cut.model(x), atol=1e-4), "no training follows"


@pytest.mark.parametrize("method", [FilterFusion, ClustersWhileTraining])
def test_a_residual_network_ends_within_its_budget(method: type[Method], digits: Parts) -> None:
    state = begun(residual())
    phases = tuple(method().phases(Goal(state.network, HALF)))
    ends = [event.state for event in perform(phases, state, setup(digits)) if isinstance(event, Done)]
    assert 0.4 * state.network.cost().macs < state.network.cost(ends[-1].plan).macs <= 0.5 * state.network.cost().macs
    assert set(ends[-1].plan) <= set(producers(state.model, state.network))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_rows_are_a_copy_that_gradients_flow_through(order: list[int]) -> None:
    """Also where nothing needs to be gathered, because the units own all positions in order."""
    tensor = torch.randn(3, 4, requires_grad=True)
    rows = Slices(tensor, 0, torch.tensor(order)[:, None]).rows()
    assert torch.equal(rows, tensor[order]) and rows.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()
    (rows * torch.tensor([[1.0], [2.0], [3.0]])).sum().backward()
    assert tensor.grad is not None and [float(row[0]) for row in tensor.grad[order]] == [1.0, 2.0, 3.0]
