"""Methods whose gates are probabilities: the numbers worked by hand, and that each mechanism acts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import Plan, capture
from pruning_core.methods.adversarial import AdversarialPruning
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.discrete_gates import DiscreteCompression, DiscreteGates, straight_through
from pruning_core.methods.discrete_gates import budget_loss as discrete_loss
from pruning_core.methods.filter_fusion import FilterFusion
from pruning_core.methods.markov_widths import MarkovPruning, MarkovWidths, budget_loss, chain
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.rising_clusters import ClustersWhileTraining
from pruning_core.methods.soft_channels import (
    NO_RECTIFIERS,
    SoftChannelPruning,
    SoftChannels,
    switched_off,
)
from pruning_core.methods.soft_cost import SoftCost
from pruning_core.methods.units import NO_CHANNELS, NO_SCALES
from tests.core.small_programs import Parts, begun, moment, network, residual, seen_by, setup, taught, trained

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = Budget("macs", fraction=0.5)


# -- Markov widths -----------------------------------------------------------------------------------------------------


def markov(model: nn.Module, **settings: Any) -> Any:
    return MarkovWidths(**settings).begin(model, capture(model, torch.zeros(1, 1, 8, 8)))


def set_alphas(hook: Any, probabilities: list[float]) -> None:
    for alphas in hook._alphas.values():
        alphas.data = torch.tensor(probabilities).logit()


def test_a_part_is_there_only_if_those_before_it_are() -> None:
    """sigma(alpha) = [.8, .5, .5], one channel that is always there: P = [.8, .4, .2], and 2.4 channels expected."""
    alphas = torch.tensor([0.8, 0.5, 0.5]).logit()
    assert torch.allclose(chain(alphas), torch.tensor([0.8, 0.4, 0.2]))
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten()).eval()
    hook = markov(model, parts=3)
    set_alphas(hook, [0.8, 0.5, 0.5])
    (own,) = hook.probabilities().values()
    assert own.sum().item() == pytest.approx(2.4)
    order = model[0].weight.flatten(1).norm(dim=1).argsort(descending=True)
    assert torch.allclose(own[order], torch.tensor([1.0, 0.8, 0.4, 0.2])), "the largest filters come first"


@pytest.mark.parametrize(
    ("share", "loss", "slope"),
    [(0.40, math.log(10.0), -10.0), (0.48, 0.0, 0.0), (0.60, math.log(12.5), 8.0), (0.50, math.log(2.5), 40.0)],
)
def test_the_budget_loss_is_the_logarithm_of_the_distance(share: float, loss: float, slope: float) -> None:
    """Below 95 % of the budget up to it, above it down to 95 %, between them nothing; by the hundredth: /100."""
    cost = torch.tensor(share, dtype=torch.float64, requires_grad=True)
    found = budget_loss(cost, 0.5)
    found.backward()
    assert found.item() == pytest.approx(loss) and cost.grad.item() == pytest.approx(slope)


def test_every_width_is_a_start_of_the_order(digits: Parts) -> None:
    model = residual()
    hook = markov(model, parts=4)
    set_alphas(hook, [0.7] * 4)
    torch.manual_seed(0)
    seen = set()
    for step in range(0, 160, 2):
        for key, gates in hook._width(step).items():
            ordered = gates[hook._place[key].argsort()]
            assert ordered[0] == 1 and bool((ordered[1:] <= ordered[:-1]).all()), "no channel without those before it"
            seen.add((step // 2 % 4, int(gates.sum()) / len(gates)))
    assert {width for turn, width in seen if turn == 0} == {1.0}
    assert {width for turn, width in seen if turn == 2} == {1 / 8, 2 / 16}
    assert len({width for turn, width in seen if turn % 2}) > 3, "the others are drawn"


def test_a_step_moves_the_weights_or_the_chains() -> None:
    model = network()
    hook = markov(model, parts=2)
    for step, weights_move in ((0, True), (1, False)):
        before = {key: alphas.detach().clone() for key, alphas in hook._alphas.items()}
        for tensor in (*model.parameters(), *hook._alphas.values()):
            tensor.grad = torch.ones_like(tensor)
        assert (hook.penalty(moment(model, step)) is None) == weights_move
        hook.after_backward(moment(model, step))
        assert all((parameter.grad is not None) == weights_move for parameter in model.parameters())
        assert all(torch.equal(before[key], alphas) == weights_move for key, alphas in hook._alphas.items())


@pytest.mark.parametrize("make", [network, residual])
def test_expected_widths_come_to_cost_the_budget(make: Any, digits: Parts) -> None:
    _, epochs = trained(MarkovWidths(HALF, weight=1.0), digits, make(), epochs=6)
    costs = [seen_by(epoch, "cost")[0] for epoch in epochs]
    assert costs[0] > 0.75 and 0.4 < costs[-1] < 0.55
    assert sum(seen_by(epochs[-1], "widths")) == len(begun(make()).network.groups)


def test_the_cut_is_the_expected_widths_where_they_fit(digits: Parts) -> None:
    """Channels in the order of their norms, as many as are expected: E = 4.4 of 8, and 6.48 of 12."""
    state = begun()
    hook = markov(state.model, parts=2)
    set_alphas(hook, [0.6, 0.6])
    counts = {key: len(value) - int((value >= 1).sum()) for key, value in hook.learnt().items()}
    expected = {key: own.sum().item() for key, own in hook.probabilities().items()}
    for key, own in hook.probabilities().items():
        assert abs(len(own) - counts[key] - expected[key]) <= 0.5
        order = hook._place[key].argsort()
        assert bool((hook.learnt()[key][order].diff() < 0).all()), "the last of the order go first"
    gates = hook.probabilities()
    assert SoftCost(state.network, "macs", "cpu").share(gates).item() < 1


# -- soft channels -----------------------------------------------------------------------------------------------------


def soft(model: nn.Module, **settings: Any) -> Any:
    return SoftChannels(**settings).begin(model, capture(model, torch.zeros(1, 1, 8, 8)))


def test_shift_and_scale_together_say_how_probably_a_channel_is_off() -> None:
    """(beta, gamma) = (-2, 1), (0, 1), (1, .5): .9772, .5, .0228; by the scale alone the last would go first."""
    off = switched_off(torch.tensor([-2.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 0.5]))
    assert torch.allclose(off, torch.tensor([0.9772, 0.5, 0.0228]), atol=1e-4)
    same = switched_off(torch.tensor([-2.0, 0.0, 1.0]), torch.tensor([-1.0, -1.0, -0.5]))
    assert torch.equal(off, same), "the sign of a scale says nothing"
    assert bool(switched_off(torch.tensor([1.0, -1.0]), torch.zeros(2)).isfinite().all())


def test_what_is_added_up_is_one_normal_number() -> None:
    """Two norms into one sum: means 1 and -3, deviations 3 and 4, so -2 with 5."""
    model = residual()
    with torch.no_grad():
        for name, shift, scale in (("bn1", 1.0, 3.0), ("layer1.0.bn2", -3.0, -4.0)):
            model.get_parameter(f"{name}.bias").fill_(shift)
            model.get_parameter(f"{name}.weight").fill_(scale)
    off = soft(model).off()["conv1"]
    assert torch.allclose(off, torch.full((8,), 0.6554), atol=1e-4)


def test_norms_with_more_entries_are_off_when_all_of_them_are() -> None:
    """A norm behind a flattened picture has four entries a channel; what is least off of both norms counts."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(12),
                          nn.ReLU(), nn.Linear(12, 5)).eval()  # fmt: skip
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([-1.0, -2.0, 0.0]))
        model[4].bias.copy_(torch.tensor([-3.0, -3, -3, -3, -3, -3, -3, -1, -3, -3, -3, -3]))
    hook = SoftChannels().begin(model, capture(model, torch.zeros(1, 1, 4, 4)))
    (off,) = hook.off().values()
    assert torch.allclose(off, torch.tensor([0.8413, 0.8413, 0.5]), atol=1e-4)


def test_gates_are_soft_while_it_trains_and_hard_while_it_is_measured() -> None:
    model = network()
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([-2.0, 2.0, -1.0, 0.0, 0.0, 1.0, -1.8, 0.5]))
    hook = soft(model)
    with torch.no_grad():
        measured = hook.overrides(moment(model))["3.weight"]
    closed = [not bool(measured[:, unit].any()) for unit in range(8)]
    assert closed == [True, False, False, False, False, False, True, False], "off with at least 95 %"
    assert torch.equal(measured[:, 1], model[3].weight[:, 1])
    torch.manual_seed(0)
    factors = torch.stack(
        [(hook.overrides(moment(model))["3.weight"] / model[3].weight).mean((0, 2, 3)).detach() for _ in range(400)]
    )
    assert bool(((factors > 0) & (factors < 1.0001)).all()) and bool((factors.std(0)[3:5] > 0.2).all())
    assert ((factors > 0.5).float().mean(0)[3:5] - 0.5).abs().max() < 0.1, "as often open as its probability says"
    assert (factors[:, 0] > 0.5).float().mean() < 0.05 < (factors[:, 1] > 0.5).float().mean()


def test_the_penalty_presses_shifts_down_through_gates_that_learn() -> None:
    model = network()
    hook = soft(model)
    hook.penalty(moment(model)).backward()
    assert bool((model[1].bias.grad > 0).all()), "descent lowers them"
    model.zero_grad()
    torch.func.functional_call(model, hook.overrides(moment(model)), (torch.randn(4, 1, 8, 8),)).sum().backward()
    plain = model[1].bias.grad.clone()
    model.zero_grad()
    model(torch.manual_seed(0) and torch.randn(4, 1, 8, 8)).sum().backward()
    assert not torch.allclose(plain, model[1].bias.grad), "the gates hand gradients to shifts"


def test_more_channels_are_off_with_the_penalty(digits: Parts) -> None:
    shares = []
    for strength in (0.0, 20.0):
        training, _ = trained(SoftChannels(strength, temperature=2.0), digits, epochs=4)
        shares.append(float(torch.cat(list(training.learnt.values())).mean()))
    assert shares[1] < shares[0] - 0.1


def test_without_norms_or_rectifiers_it_says_what_could_run() -> None:
    norm = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.Flatten(), nn.Linear(288, 10)).eval()
    bare = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)).eval()
    six = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.Flatten(), nn.Linear(288, 10)).eval()
    obstacles = [SoftChannelPruning().obstacle(capture(model, torch.zeros(1, 1, 8, 8))) for model in (norm, bare, six)]
    assert obstacles == [NO_RECTIFIERS, NO_SCALES, ""]


# -- discrete gates ----------------------------------------------------------------------------------------------------


def discrete(model: nn.Module, **settings: Any) -> Any:
    return DiscreteGates(**settings).begin(model, capture(model, torch.zeros(1, 1, 8, 8)))


def test_a_closed_gate_learns_straight_through() -> None:
    """theta = [.9, .4, .6] is [1, 0, 1], and the gradient of each gate is that of its probability."""
    theta = torch.tensor([0.9, 0.4, 0.6], requires_grad=True)
    gates = straight_through((theta >= 0.5).float(), theta)
    assert gates.tolist() == [1, 0, 1]
    (gates * torch.tensor([1.0, -3.0, 2.0])).sum().backward()
    assert theta.grad.tolist() == [1, -3, 2]


def test_the_budgets_loss_counts_hundredths() -> None:
    """|T - p T_total| of 1 hundredth: log 2 = .6931."""
    assert discrete_loss(torch.tensor(0.51), 0.5).item() == pytest.approx(math.log(2), abs=1e-5)
    assert discrete_loss(torch.tensor(0.5), 0.5).item() == 0
    assert discrete_loss(torch.tensor(0.4), 0.5).item() == pytest.approx(math.log(11), abs=1e-5)


def test_gates_are_zero_or_one_and_drawn_with_their_probability() -> None:
    model = network()
    hook = discrete(model, stochastic=True)
    key = next(iter(hook._theta))
    hook._theta[key].data = torch.tensor([0.9, 0.1, 0.5, 0.0, 1.0, 0.3, 0.7, 0.2])
    torch.manual_seed(0)
    seen = []
    for _ in range(600):
        hook.overrides(moment(model))
        seen.append(hook._drawn[key].detach().clone())
    gates = torch.stack(seen)
    assert set(gates.unique().tolist()) == {0.0, 1.0}
    assert (gates.mean(0) - hook._theta[key].detach()).abs().max() < 0.07
    with torch.no_grad():
        measured = hook.overrides(moment(model))["3.weight"]
    open_ = [bool(measured[:, unit].any()) for unit in range(8)]
    assert open_ == [True, False, False, False, True, False, True, False]
    plain = discrete(model)
    plain._theta[key].data = hook._theta[key].data.clone()
    plain.overrides(moment(model))
    assert plain._drawn[key].tolist() == [1, 0, 0, 0, 1, 0, 1, 0], "not drawn, it is the network that is measured"
    hook._theta[key].data = torch.full((8,), 0.01)
    hook.overrides(moment(model))
    assert hook._drawn[key].sum() >= 1, "a layer without channels is no network"


def test_only_gates_move_and_they_stay_probabilities(digits: Parts) -> None:
    before = begun().model.state_dict()
    training, _ = trained(DiscreteGates(pace=5.0), digits, weight_decay=0.01)
    after = training.best_model().state_dict()
    for name, value in after.items():
        if name in ("3.weight", "9.weight"):  # what reads gated channels: as it was, or zero
            assert bool(((value == before[name]) | (value == 0)).all())
        elif "running" not in name and "tracked" not in name:
            assert torch.equal(value, before[name]), name
    values = torch.cat(list(training.learnt.values()))
    assert values.min() >= 0 and values.max() <= 1 and values.std() > 0.05


@pytest.mark.parametrize("make", [network, residual])
def test_gates_come_to_leave_the_budget(make: Any, digits: Parts) -> None:
    _, epochs = trained(DiscreteGates(HALF, weight=1.0), digits, taught(make(), digits), epochs=4)
    assert seen_by(epochs[0], "cost")[0] == 1.0 and 0.35 < seen_by(epochs[-1], "cost")[0] < 0.7


def test_the_cost_of_gates_counts_what_reads_the_channels_too() -> None:
    model = network()
    hook = discrete(model, weight=1.0)
    hook.overrides(moment(model))
    hook._drawn["0"] = torch.tensor([1.0] * 4 + [0.0] * 4)
    expected = begun().network.cost(Plan({"0": range(4, 8)})).macs / begun().network.cost().macs
    assert hook.penalty(moment(model)).item() == pytest.approx(math.log(100 * abs(expected - 0.5) + 1), rel=1e-5)


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [MarkovPruning, SoftChannelPruning, DiscreteCompression])
def test_a_residual_network_ends_within_its_budget(method: type[Method], digits: Parts) -> None:
    state = begun(residual())
    phases = tuple(method().phases(Goal(state.network, HALF)))
    ends = [event.state for event in perform(phases, state, setup(digits)) if isinstance(event, Done)]
    assert 0.3 * state.network.cost().macs < state.network.cost(ends[-1].plan).macs <= 0.5 * state.network.cost().macs
    assert ends[1].removal is not None and ends[1].removal.proof.exact


@pytest.mark.parametrize(
    "method", [MarkovPruning, DiscreteCompression, AdversarialPruning, FilterFusion, ClustersWhileTraining]
)
def test_where_nothing_can_be_removed_there_is_nothing_to_decide(method: type[Method]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    assert method().obstacle(capture(model, torch.zeros(1, 1, 8, 8))) == NO_CHANNELS
    assert method().obstacle(begun().network) == ""
