"""Methods that train before they cut: the hand-worked numbers of their papers, and that each mechanism acts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import capture
from pruning_core.methods.admm_filters import NearSparse, projected
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.gate_decorator import GateEffects
from pruning_core.methods.ista import ProximalScales, SparseScales, shrunk
from pruning_core.methods.network_slimming import NetworkSlimming, ScalePenalty
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Absorb, Cut, Train
from pruning_core.methods.soft_pruning import SoftFilterPruning, SoftGeometricMedian, SoftZeros
from pruning_core.methods.staged import staged
from pruning_core.methods.units import NO_SCALES, producers, scales
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.loop import Training, fine_tune
from tests.core.small_programs import Parts, begun, network, setup

pytestmark = pytest.mark.usefixtures("one_thread")


def moment(model: nn.Module, rate: float = 0.1) -> Moment:
    return Moment(model, 1, 0, 1, 0.5, rate)


def started(spec: HookSpec, model: nn.Module) -> Hook:
    return spec.begin(model, capture(model, torch.zeros(1, 1, 8, 8)))


def trained(spec: HookSpec, digits: Parts, **settings: Any) -> tuple[Training, list[Epoch]]:
    fit, held_out, test = digits
    state = begun()
    config = FineTune(epochs=3, batch_size=128, lr=0.05, device="cpu", **settings)
    training = fine_tune(state.model, fit, test, config, (spec,), held_out, network=state.network, keep="last")
    return training, [event for event in training if isinstance(event, Epoch)]


def by_key(epoch: Epoch) -> dict[str, tuple[float, ...]]:
    return {watched.key: watched.values for watched in epoch.watched}


# -- what belongs to the units -----------------------------------------------------------------------------------------


def test_slices_are_read_zeroed_and_written_in_place() -> None:
    model = network()
    own = producers(model, capture(model, torch.zeros(1, 1, 8, 8)))
    (first, second) = (slices[0] for slices in own.values())
    assert first.tensor is model[0].weight and torch.equal(first.rows(), model[0].weight.flatten(1))
    second.zero((1, 3))
    assert [not bool(w.any()) for w in model[3].weight] == [i in (1, 3) for i in range(12)]
    rows = torch.randn(12, 72)
    second.write(rows)
    assert torch.equal(model[3].weight.flatten(1), rows)


class Shared(nn.Module):
    """Two convolutions that are added, so that their channels are one group; the last norm's channels are outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3), nn.Conv2d(4, 10, 6)
        self.na, self.nc = nn.BatchNorm2d(4), nn.BatchNorm2d(10)

    def forward(self, x: Tensor) -> Tensor:
        return self.nc(self.c((self.na(self.a(x)) + self.b(x)).relu())).flatten(1)


def test_coupled_layers_are_one_unit_and_norms_that_cannot_be_cut_have_no_scales() -> None:
    model = Shared().eval()
    net = capture(model, torch.zeros(1, 1, 8, 8))
    (own,) = producers(model, net).values()
    assert {id(each.tensor) for each in own} == {id(model.a.weight), id(model.b.weight)}
    (found,) = scales(model, net).values()
    assert [each.tensor is model.na.weight for each in found] == [True]


def test_every_part_of_the_way_removes_the_same_share() -> None:
    goal = Goal(begun().network, Budget("macs", fraction=0.25))
    assert staged(goal, 0.5).fraction == pytest.approx(0.5) and staged(goal, 1) is goal.budget
    amount = Budget("parameters", amount=goal.network.cost().parameters / 4)
    assert staged(Goal(goal.network, amount), 0.5).fraction == pytest.approx(0.5)


# -- Network Slimming --------------------------------------------------------------------------------------------------


def test_the_penalty_is_that_of_the_paper() -> None:
    """One step of plain descent on a scale of 0.5 without a task: 0.5 - 0.1 x 1e-4."""
    model = network()
    with torch.no_grad():
        model[1].weight.fill_(0.5)
        model[4].weight.fill_(-0.5)
    penalty = started(ScalePenalty(1e-4), model).penalty(moment(model))
    assert penalty is not None
    penalty.backward()
    after = model[1].weight - 0.1 * model[1].weight.grad
    assert torch.allclose(after, torch.full((8,), 0.49999), atol=1e-9)
    assert torch.equal(model[4].weight.grad, torch.full((12,), -1e-4))


def test_penalised_scales_shrink_and_are_shown(digits: Parts) -> None:
    plain, _ = trained(ScalePenalty(0.0), digits)
    pulled, epochs = trained(ScalePenalty(0.1), digits)
    sums = [sum(float(t.abs().sum()) for n, t in t.best_model().state_dict().items() if n in ("1.weight", "4.weight"))
            for t in (plain, pulled)]  # fmt: skip
    assert sums[1] < 0.7 * sums[0]
    assert sum(by_key(epochs[-1])["scales"]) == 20 and epochs[-1].penalty is not None


@pytest.mark.parametrize("method", [NetworkSlimming, SparseScales])
def test_a_network_without_norms_is_refused_with_a_way_out(method: type[Method]) -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)).eval()
    assert method().obstacle(capture(model, torch.zeros(1, 1, 8, 8))) == NO_SCALES
    assert method().obstacle(begun().network) == ""


def test_passes_cut_a_little_each(digits: Parts) -> None:
    state = begun()
    phases = tuple(NetworkSlimming(passes=2).phases(Goal(state.network, Budget("macs", fraction=0.36))))
    assert [type(phase) for phase in phases] == [Train, Cut, Absorb, Train] * 2
    ends = [e.state for e in perform(phases, state, setup(digits)) if isinstance(e, Done) and isinstance(e.phase, Cut)]
    shares = [state.network.cost(end.plan).macs / state.network.cost().macs for end in ends]
    assert 0.45 < shares[0] <= 0.6 and 0.25 < shares[1] <= 0.36


# -- proximal scales ---------------------------------------------------------------------------------------------------


def test_a_proximal_step_reaches_zero_where_a_sub_gradient_crosses_it() -> None:
    v = torch.tensor(0.05) - 0.1 * torch.tensor(0.1)
    assert float(shrunk(v, 0.1 * 0.3)) == pytest.approx(0.01)
    assert float(shrunk(v, 0.1 * 0.5)) == 0.0
    assert float(v - 0.1 * 0.5 * v.sign()) == pytest.approx(-0.01)


def test_scales_become_exactly_zero_whatever_the_momentum(digits: Parts) -> None:
    training, epochs = trained(ProximalScales(2.0), digits, momentum=0.9)
    state = training.best_model().state_dict()
    values = torch.cat([state["1.weight"], state["4.weight"]])
    zeros = float((values == 0).float().mean())
    assert 0.1 < zeros == pytest.approx(by_key(epochs[-1])["zeros"][0])
    learnt = torch.cat(list(training.learnt.values()))
    assert int((learnt == 0).sum()) == int((values == 0).sum())


# -- soft pruning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [SoftZeros({}), SoftZeros({}, SoftGeometricMedian.criterion)])
def test_zeroed_filters_grow_again(spec: SoftZeros, digits: Parts) -> None:
    key = begun().network.groups[1].key
    training, epochs = trained(SoftZeros({key: 5}, spec.criterion), digits)
    weight = training.best_model()[3].weight
    assert int((weight.flatten(1).norm(dim=1) == 0).sum()) == 5, "zero once more at the end"
    assert by_key(epochs[-1])["returned"][0] > 0.8, "the five of the epoch before had grown back"


def test_the_number_of_zeros_rises_quickly_and_ends_at_the_whole() -> None:
    model = network()
    net = capture(model, torch.zeros(1, 1, 8, 8))
    hook = SoftZeros({net.groups[1].key: 8}, asymptotic=True).begin(model, net)

    def zeros(done: float) -> int:
        torch.nn.init.normal_(model[3].weight)
        hook.epoch_end(Moment(model, 1, 0, 1, done, 0.1))
        return int((model[3].weight.flatten(1).norm(dim=1) == 0).sum())

    assert [zeros(done) for done in (0.0, 0.25, 1.0)] == [0, 4, 8]


def test_what_is_zero_at_the_end_is_what_goes(digits: Parts) -> None:
    state = begun()
    phases = tuple(SoftFilterPruning().phases(Goal(state.network, Budget("macs", fraction=0.5))))
    states = [event.state for event in perform(phases, state, setup(digits)) if isinstance(event, Done)]
    key = state.network.groups[1].key
    norms = states[0].model[3].weight.flatten(1).norm(dim=1)
    assert set(states[1].plan[key]) == set((norms == 0).nonzero().flatten().tolist()) and states[1].plan[key]


# -- ADMM --------------------------------------------------------------------------------------------------------------


def test_the_dual_promotes_a_small_weight_that_persists() -> None:
    """W = [3, -1, .5, 2.5] held fixed, two of four kept: the sheet's three rounds, filter by filter."""
    model = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten()).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([3.0, -1.0, 0.5, 2.5]).view(4, 1, 1, 1))
    net = capture(model, torch.zeros(1, 1, 2, 2))
    (key,) = (group.key for group in net.groups)
    hook: Any = NearSparse({key: 2}, rho=0.3, growth=1.0).begin(model, net)
    rounds = []
    for _ in range(3):
        hook.epoch_end(moment(model))
        rounds.append((hook._sparse[key].flatten().tolist(), hook._dual[key].flatten().tolist()))
    assert rounds == [
        ([3, 0, 0, 2.5], [0, -1, 0.5, 0]),
        ([3, 0, 0, 2.5], [0, -2, 1, 0]),
        ([3, -3, 0, 0], [0, 0, 1.5, 2.5]),
    ]
    hook.penalty(moment(model)).backward()
    z, u = (torch.tensor(each) for each in rounds[-1])
    assert torch.allclose(model[0].weight.grad.flatten(), 0.3 * (model[0].weight.flatten() - z + u))


def test_the_projection_is_the_nearest_with_so_many_empty_rows() -> None:
    rows = torch.randn(6, 4)
    nearest = projected(rows, 2)
    order = rows.norm(dim=1).argsort()
    assert not nearest[order[:2]].any() and torch.equal(nearest[order[2:]], rows[order[2:]])
    assert torch.equal(projected(rows, 0), rows)


def test_the_residual_falls(digits: Parts) -> None:
    key = begun().network.groups[1].key
    residual = [by_key(e)["residual"][0] for e in trained(NearSparse({key: 6}, rho=1.0), digits)[1]]
    assert residual[-1] < 0.5 * residual[0]


# -- gates -------------------------------------------------------------------------------------------------------------


def test_effects_are_absolute_for_each_batch_and_then_added_up() -> None:
    """The sheet's two batches: [.2, .3, .06]; added up before the absolute value they were [0, .1, .06]."""
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.Flatten()).eval()
    net = capture(model, torch.zeros(1, 1, 2, 2))
    hook = GateEffects().begin(model, net)
    model[1].weight.data = torch.tensor([0.5, -0.2, 0.1])
    for gradient in ([0.2, -1.0, 0.3], [-0.2, 0.5, 0.3]):
        model[1].weight.grad, model[0].weight.grad = torch.tensor(gradient), torch.ones(3, 1, 1, 1)
        hook.after_backward(moment(model))
    (effects,) = hook.learnt().values()
    assert torch.allclose(effects, torch.tensor([0.2, 0.3, 0.06], dtype=torch.float64))
    assert model[0].weight.grad is None, "what stands still makes no step"
    model[1].weight.grad, model[1].bias.data = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([-0.5, 0.2, 0.0])
    model[1].bias.grad = torch.tensor([1.0, 1.0, 1.0])
    hook.after_backward(moment(model))
    added = next(iter(hook.learnt().values())) - effects
    assert torch.allclose(added, torch.tensor([0.0, 0.0, 0.1], dtype=torch.float64)), "scale and shift are one gate"


def test_a_tick_moves_norms_and_the_last_layer_alone(digits: Parts) -> None:
    before = begun().model.state_dict()
    after = trained(GateEffects(), digits)[0].best_model().state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not {"0.weight", "3.weight"} & moved and {"1.weight", "4.bias", "9.weight"} <= moved
