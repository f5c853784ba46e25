"""Methods that leave zeros: what single weights are worth, that zeros stay, tickets begin again, patterns hold."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.discriminated_kernels import DiscriminatedKernels
from pruning_core.methods.lottery_ticket import EARLY, LotteryTicket
from pruning_core.methods.magnitude_pruning import PATTERNS, MagnitudePruning
from pruning_core.methods.masking import reinitialised
from pruning_core.methods.n_of_m import NofMSparsity, RefinedStraightThrough
from pruning_core.methods.near_pattern import NearPattern
from pruning_core.methods.patterned_kernels import NO_KERNELS, PatDNN, PConv
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Mask, Reinitialise, Rewind, Snapshot, Train
from pruning_core.methods.pruning_at_start import SnipElements, SynFlowElements
from pruning_core.methods.registry import METHODS
from pruning_core.methods.saliency import ConnectionSensitivity, FirstStep, Flow, GradientFlow, Magnitude
from pruning_core.methods.state import Setup, State
from pruning_core.methods.zeros import ZerosStay
from pruning_core.sparsity.patterns import Elements, NofM
from pruning_core.sparsity.weights import Sparsity, prunable
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.loop import fine_tune
from tests.core.small_programs import Parts, begun, network, setup

pytestmark = pytest.mark.usefixtures("one_thread")

SPARSE = [method for method in METHODS if method.outcome is Outcome.SPARSE]


def zeros(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight == 0 for name, weight in prunable(model, capture(model, torch.zeros(1, 1, 8, 8))).items()}


def same_zeros(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(zeros(one).values(), zeros(other).values(), strict=True))


def states(phases: tuple[Any, ...], digits: Parts, **settings: Any) -> list[State]:
    config = FineTune(epochs=4, batch_size=128, lr=0.05, seed=3, device="cpu", **settings)
    return [e.state for e in perform(phases, begun(), setup(digits, config)) if isinstance(e, Done)]


def reaching(method: Method, share: float = 0.4) -> tuple[Any, ...]:
    state = begun()
    return tuple(method.phases(Goal(state.network, Budget("macs", fraction=share))))


# -- what a weight is worth --------------------------------------------------------------------------------------------


class Product(nn.Module):
    """The flow through two layers in a row, y = W2 W1 x, with nothing else."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.a, self.b = (nn.Linear(w.shape[1], w.shape[0], bias=False) for w in (first, second))
        with torch.no_grad():
            self.a.weight.copy_(first)
            self.b.weight.copy_(second)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x.flatten(1)))


def test_the_flow_through_each_layer_is_the_same() -> None:
    model = Product(torch.tensor([[1.0], [-2.0]]), torch.tensor([[3.0, 1.0]])).eval()
    found = Flow().scores(model, capture(model, torch.zeros(1, 1, 1, 1)), None, 0)
    assert [score.flatten().tolist() for score in found.values()] == [[3.0, 2.0], [3.0, 2.0]]


def test_sensitivity_is_the_gradient_times_the_weight_and_the_network_stays_as_it_is(digits: Parts) -> None:
    model = network()
    model[8].p = 0.0
    before = {name: value.clone() for name, value in model.state_dict().items()}
    captured, images = capture(model, torch.zeros(1, 1, 8, 8)), digits[0].subset(64, 0)
    found = ConnectionSensitivity().scores(model, captured, images, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and not model.training
    model.train()
    loss = nn.functional.cross_entropy(model(images.normalised(images.images)), images.labels)
    loss.backward()
    for name, weight in prunable(model, captured).items():
        assert torch.allclose(found[name], (weight * weight.grad).abs(), rtol=1e-4, atol=1e-9)


def test_what_keeps_the_gradient_is_kept(digits: Parts) -> None:
    """Half the gradient of the gradient's squared norm is Hg."""
    model = network()
    model[8].p = 0.0
    captured, images = capture(model, torch.zeros(1, 1, 8, 8)), digits[0].subset(16, 0)
    found = GradientFlow(1.0).scores(model, captured, images, 0)
    weights = prunable(model, captured)
    loss = nn.functional.cross_entropy(model.train()(images.normalised(images.images)), images.labels)
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    half = torch.stack([each.square().sum() for each in gradients]).sum() / 2
    for (name, weight), push in zip(weights.items(), torch.autograd.grad(half, list(weights.values()))):
        assert torch.allclose(found[name], weight * push, rtol=1e-3, atol=1e-7)


def test_flow_in_one_round_empties_a_layer_and_in_a_hundred_does_not(digits: Parts) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)).eval()
    state = State.of(model, capture(model, torch.zeros(1, 1, 8, 8)))
    lost = {}
    for rounds in (1, 100):
        phase = Mask(Elements(), Flow(), Budget("parameters", fraction=0.03), rounds)
        (end,) = [e.state for e in perform((phase,), state, Setup(digits[0])) if isinstance(e, Done)]
        lost[rounds] = any(bool(mask.all()) for mask in zeros(end.model).values())
    assert lost == {1: True, 100: False}


def test_a_first_step_is_the_gradient_of_an_emptied_layer(digits: Parts) -> None:
    model = network()
    captured, images = capture(model, torch.zeros(1, 1, 8, 8)), digits[0].subset(64, 0)
    before = model[3].weight.detach().clone()
    found = FirstStep().scores(model, captured, images, 0)
    assert torch.equal(model[3].weight, before) and model[3].weight.grad is None
    assert bool(found["9.weight"].isinf().all()), "a linear layer is not emptied"
    with torch.no_grad():
        model[3].weight.zero_()
    loss = nn.functional.cross_entropy(model(images.normalised(images.images)), images.labels)
    (gradient,) = torch.autograd.grad(loss, [model[3].weight])
    assert torch.allclose(found["3.weight"], gradient.square(), rtol=1e-4)


def test_whole_kernels_of_every_layer_go_and_linear_layers_stay(digits: Parts) -> None:
    end = states(reaching(DiscriminatedKernels(), 0.5), digits)[0]
    first, second, last = zeros(end.model).values()
    for mask in (first, second):
        kernels = mask.flatten(2)
        assert bool((kernels.all(2) | ~kernels.any(2)).all())
    assert not bool(last.any()) and float(first.float().mean()) == pytest.approx(float(second.float().mean()), abs=0.13)


# -- zeros that stay ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "let go"])
def test_zeros_stay_through_momentum_and_decay(digits: Parts, kept: bool) -> None:
    mask = Mask(Elements(), Magnitude(), Budget("parameters", fraction=0.5))
    found = states((mask, Train(1.0, (ZerosStay(),) if kept else (), keep="last")), digits, weight_decay=1e-2)
    assert same_zeros(found[0].model, found[1].model) is kept
    assert not torch.equal(found[0].model[3].weight, found[1].model[3].weight)


def test_more_rounds_keep_the_zeros_of_the_rounds_before(digits: Parts) -> None:
    found = states(reaching(MagnitudePruning(rounds=3)), digits)
    masks = [zeros(state.model) for state in found[::2]]
    for one, other in itertools.pairwise(masks):
        assert all(bool((other[name] | ~one[name]).all()) for name in one)
    counts = [sum(int(mask.sum()) for mask in each.values()) for each in masks]
    assert counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize("granularity", PATTERNS)
def test_every_granularity_keeps_to_the_budget(granularity: str, digits: Parts) -> None:
    end = states(reaching(MagnitudePruning(granularity=granularity, rounds=1)), digits)[-1]
    left = Sparsity.of(end.model, end.network)
    assert 0.3 * end.network.cost().macs < left.macs <= 0.4 * end.network.cost().macs and not end.plan


@pytest.mark.parametrize("method", SPARSE, ids=lambda m: m.card.key)
def test_every_method_of_zeros_ends_within_its_budget_or_its_pattern(method: type[Method], digits: Parts) -> None:
    end = states(reaching(method()), digits)[-1]
    left, full = Sparsity.of(end.model, end.network), begun().network.cost()
    assert left.zeros > 0 and left.weights - left.zeros > 0
    assert [p.shape for p in end.model.parameters()] == [p.shape for p in network().parameters()]
    if method.budgeted:
        assert left.macs <= 0.4 * full.macs
    else:
        assert all(bool((mask.sum(1) * 2 == mask.shape[1]).all()) for mask in list(zeros(end.model).values())[1:])


# -- tickets -----------------------------------------------------------------------------------------------------------


def test_a_ticket_has_the_weights_that_it_began_with_bit_for_bit(digits: Parts) -> None:
    phases = reaching(LotteryTicket())
    found = states(phases, digits)
    start = next(state for phase, state in zip(phases, found) if isinstance(phase, Snapshot)).model
    tickets = [(i, state) for i, (phase, state) in enumerate(zip(phases, found)) if isinstance(phase, Rewind)]
    assert len(tickets) == 2
    for place, ticket in tickets:
        masks = zeros(ticket.model)
        assert same_zeros(ticket.model, found[place - 1].model) and any(bool(mask.any()) for mask in masks.values())
        weights = dict(start.named_parameters())
        for name, value in ticket.model.named_parameters():
            alive = ~masks[name] if name in masks else torch.ones_like(value, dtype=torch.bool)
            assert torch.equal(value[alive], weights[name][alive])
        for name, value in ticket.model.named_buffers():
            assert torch.equal(value, dict(start.named_buffers())[name]), "statistics go back as well"
    assert same_zeros(tickets[-1][1].model, found[-1].model)


def test_a_ticket_may_begin_anew(digits: Parts) -> None:
    phases = reaching(LotteryTicket(rewind=EARLY))
    assert isinstance(phases[0], Reinitialise) and isinstance(phases[1], Train) and isinstance(phases[2], Snapshot)
    found = states(phases, digits)
    assert not torch.equal(found[0].model[3].weight, begun().model[3].weight)


def test_new_weights_are_those_of_the_seed_and_of_a_new_network() -> None:
    model = network()
    model[1].running_mean += 1
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, again, other = reinitialised(model, 1), reinitialised(model, 1), reinitialised(model, 2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(one[3].weight, again[3].weight) and not torch.equal(one[3].weight, other[3].weight)
    assert not bool(one[1].running_mean.any()) and bool((one[1].weight == 1).all())
    model.loose = nn.Parameter(torch.ones(2))
    with pytest.raises(UserError, match="cannot be drawn for this network"):
        reinitialised(model, 1)


# -- N of M, patterns, ADMM --------------------------------------------------------------------------------------------


def started(spec: HookSpec, model: nn.Module) -> Hook:
    return spec.begin(model, capture(model, torch.zeros(1, 1, 8, 8)))


def moment(model: nn.Module) -> Moment:
    return Moment(model, 1, 0, 1, 0.5, 0.1)


def test_gradients_reach_what_is_left_out_and_it_decays() -> None:
    model = network()
    hook = started(RefinedStraightThrough(decay=0.01), model)
    weight = model[3].weight
    seen = hook.overrides(moment(model))["3.weight"]
    assert bool(((seen != 0).reshape(12, 2, 4, 3, 3).sum(2) == 2).all())
    factor = torch.rand_like(weight)
    (seen * factor).sum().backward()
    assert torch.equal(weight.grad, factor), "straight through"
    hook.after_backward(moment(model))
    expected = factor + 0.01 * torch.where(seen == 0, weight, torch.zeros_like(weight))
    assert torch.allclose(weight.grad, expected)


def test_masks_follow_the_weights_while_it_trains(digits: Parts) -> None:
    fit, held_out, test = digits
    state = begun()
    config = FineTune(epochs=3, batch_size=128, lr=0.1, seed=3, device="cpu")
    hooks = (RefinedStraightThrough(),)
    training = fine_tune(state.model, fit, test, config, hooks, held_out, network=state.network, keep="last")
    changed = [event.watched[0].values[0] for event in training if isinstance(event, Epoch)]
    assert changed[0] == 0.0 and max(changed[1:]) > 0.0
    assert bool(((training.best_model()[3].weight != 0).reshape(12, 2, 4, 3, 3).sum(2) == 2).all())


def test_the_dual_lets_a_small_weight_that_resists_take_a_larger_ones_place() -> None:
    model = Product(torch.tensor([[3.0, -1.0, 0.5, 2.5]]), torch.tensor([[1.0]])).eval()
    network = capture(model, torch.zeros(1, 1, 2, 2))
    hook: Any = NearPattern(Elements("layer"), Budget("parameters", amount=3), growth=1.0).begin(model, network)
    del hook._weights["b.weight"], hook._dual["b.weight"], hook._bill.elements["b.weight"]
    hook._limit = 2  # weights of the first layer, which alone is left
    rows = []
    for _ in range(3):
        hook.epoch_end(moment(model))
        rows.append((hook._sparse["a.weight"][0].tolist(), hook._dual["a.weight"][0].tolist()))
    assert rows[0] == ([3, 0, 0, 2.5], [0, -1, 0.5, 0])
    assert rows[1] == ([3, 0, 0, 2.5], [0, -2, 1, 0])
    assert rows[2] == ([3, -3, 0, 0], [0, 0, 1.5, 2.5])


def test_the_residual_falls(digits: Parts) -> None:
    fit, held_out, test = digits
    state = begun()
    config = FineTune(epochs=4, batch_size=128, lr=0.05, seed=3, device="cpu")
    spec = NearPattern(Elements(), Budget("macs", fraction=0.4), rho=0.5, growth=3.0)
    training = fine_tune(state.model, fit, test, config, (spec,), held_out, network=state.network, keep="last")
    residuals = [event.watched[0].values[0] for event in training if isinstance(event, Epoch)]
    assert residuals[-1] < 0.5 * residuals[0]


def test_patterns_are_exact_in_the_end(digits: Parts) -> None:
    for method in (PConv(), PatDNN(patterns=6)):
        weight = states(reaching(method), digits)[-1].model[3].weight
        counts = (weight != 0).flatten(2).sum(2)
        assert set(counts.unique().tolist()) <= {0, 4} and int(counts.sum()) > 0
        if isinstance(method, PConv):
            assert len((counts > 0).sum(1).unique()) == 1, "every filter reads as many channels"


# -- what cannot be done -----------------------------------------------------------------------------------------------


def test_obstacles_and_budgets_out_of_reach_are_sentences(digits: Parts) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(63, 7), nn.Linear(7, 10)).eval()
    captured = capture(flat, torch.zeros(1, 1, 7, 9))
    assert PConv().obstacle(captured) == PatDNN().obstacle(captured) == NO_KERNELS
    assert "multiple of 4 input channels" in NofMSparsity().obstacle(captured)
    assert not NofMSparsity().obstacle(begun().network) and not PConv().obstacle(begun().network)
    with pytest.raises(UserError, match="no zero can save"):
        states(reaching(PConv(), 0.01), digits)
    with pytest.raises(UserError, match="in MACs or parameters"):
        tuple(SnipElements().phases(Goal(begun().network, Budget("latency", fraction=0.5))))
    assert SynFlowElements().times() == 100 and NofM().shares is False
