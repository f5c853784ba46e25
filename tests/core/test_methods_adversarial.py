"""GAL: soft masks by proximal steps with momentum, a discriminator that teaches nobody but itself, no labels."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call

from pruning_core.allocation.budget import Budget
from pruning_core.graph import capture
from pruning_core.methods.adversarial import AdversarialMasks, AdversarialPruning, FromHooks, fista, told_apart
from pruning_core.methods.base import Goal
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Train
from tests.core.small_programs import Parts, begun, moment, network, residual, seen_by, setup, taught, trained

pytestmark = pytest.mark.usefixtures("one_thread")


def start(model: nn.Module, **settings: Any) -> Any:
    return AdversarialMasks(**settings).begin(model, capture(model, torch.zeros(1, 1, 8, 8)))


def stepped(hook: Any, model: nn.Module, x: torch.Tensor, **at: int) -> None:
    """Forward and backward of one training step, as the learner makes them."""
    here = dataclasses.replace(moment(model), **at)
    functional_call(model, dict(hook.overrides(here)), (x,))
    hook.penalty(here).backward()


def test_a_mask_takes_one_proximal_step_and_is_never_negative() -> None:
    """m = [.3, -.1, .05], gradient [.5, 0, 0], step .1, penalty .6: [.19, -.04, 0], then [.19, 0, 0]."""
    mask, gradient = torch.tensor([0.3, -0.1, 0.05]), torch.tensor([0.5, 0.0, 0.0])
    assert torch.allclose(fista(mask, mask, gradient, 0.5, 0.1, 0.6), torch.tensor([0.19, 0.0, 0.0]))
    ahead = fista(torch.tensor([0.5]), torch.tensor([0.7]), torch.zeros(1), 0.25, 0.1, 0.6)
    assert ahead.item() == pytest.approx(0.5 - 0.25 * 0.2 - 0.06), "it goes on the way it went"


def test_masks_gather_momentum_until_the_epoch_ends() -> None:
    model = network()
    hook = start(model, rate=0.01, sparsity=1.0, rounds=10, adversary=False)
    drops = []
    for _ in range(4):
        before = hook._masks["0"].detach().clone()
        hook._shrink()
        drops.append((before - hook._masks["0"]).mean().item())
    ages = [1.0]
    for _ in range(4):
        ages.append((1 + math.sqrt(1 + 4 * ages[-1] ** 2)) / 2)
    expected = [0.01]
    for older, age in list(itertools.pairwise(ages))[1:]:
        expected.append(0.01 + (older - 1) / age * expected[-1])
    assert drops == pytest.approx(expected, rel=1e-4), "without a gradient: the penalty, once a step, and momentum"
    hook.epoch_start(moment(model))
    before = hook._masks["0"].detach().clone()
    hook._shrink()
    assert (before - hook._masks["0"]).mean().item() == pytest.approx(0.01, rel=1e-4)


def test_masks_move_so_many_times_in_an_epoch_and_leave_no_layer_empty() -> None:
    model = network()
    hook = start(model, rate=0.5, sparsity=4.0, rounds=2)
    x = torch.randn(8, 1, 8, 8)
    seen = []
    for step in range(10):
        stepped(hook, model, x, step=step, steps=10)
        hook.after_backward(moment(model, step))
        seen.append(int((hook._masks["0"] == 0).sum()))
    assert seen == [0] * 4 + [7] * 6, "after the fifth step, and then one channel is left"
    assert all(mask.max() > 0 for mask in hook._masks.values())


def test_a_discriminator_that_knows_nothing_has_twice_the_logarithm_of_two() -> None:
    scores = torch.randn(5, 3)
    judge = nn.Linear(3, 1)
    nn.init.zeros_(judge.weight)
    nn.init.zeros_(judge.bias)
    assert told_apart(judge, scores, scores).item() == pytest.approx(2 * math.log(2))
    with torch.no_grad():
        judge.weight.copy_(torch.tensor([[2.0, 0.0, 0.0]]))
    one, other = torch.eye(3)[:1], -torch.eye(3)[:1]
    assert told_apart(judge, one, other).item() == pytest.approx(2 * math.log(1 + math.exp(-2))), "one sigmoid, not two"


def test_the_discriminator_learns_from_detached_outputs_and_from_its_own_loss_alone() -> None:
    torch.manual_seed(0)
    model = network()
    with torch.no_grad():
        model[9].weight.mul_(3)
    hook = start(model)
    for mask in hook._masks.values():
        mask.data.uniform_(0.2, 1)
    stepped(hook, model, torch.randn(16, 1, 8, 8))
    weights = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert weights and all(bool(mask.grad.any()) for mask in hook._masks.values()), "the network hears its judge"
    assert any(bool(p.grad.any()) for p in hook._judge.parameters()), "and gradients reach the judge on the way"
    wanted, scores = hook._pair
    assert not scores.requires_grad and not wanted.requires_grad
    alone = copy.deepcopy(hook._judge)
    alone.zero_grad()
    told_apart(alone, wanted, scores).backward()
    before = [p.detach().clone() for p in hook._judge.parameters()]
    hook.after_backward(moment(model))
    for old, new, by_hand in zip(before, hook._judge.parameters(), alone.parameters()):
        moved, asked = new.detach() - old, by_hand.grad.abs() > 1e-6
        assert bool((moved[asked].sign() == -by_hand.grad[asked].sign()).all()), "Adam's first step follows the sign"
    assert all(torch.equal(model.get_parameter(name).grad, grad) for name, grad in weights.items())
    assert all(mask.grad is None for mask in hook._masks.values()), "masks step by the gradient of one batch"


def test_the_masked_network_is_to_imitate_the_one_it_began_as() -> None:
    model = network()
    hook = start(model, imitation=2.0, adversary=False)
    x = torch.randn(4, 1, 8, 8)
    here = moment(model)
    functional_call(model, dict(hook.overrides(here)), (x,))
    assert hook.penalty(here).item() == pytest.approx(0.0, abs=1e-10), "open masks change nothing"
    hook._masks["0"].data.fill_(0.5)
    found = functional_call(model, dict(hook.overrides(here)), (x,))
    with torch.no_grad():
        expected = 2 * (found - model(x)).square().mean()
    assert hook.penalty(here).item() == pytest.approx(expected.item(), rel=1e-5) and expected > 0


def test_labels_teach_nothing(digits: Parts) -> None:
    fit, held_out, test = digits
    wrong = dataclasses.replace(fit, labels=fit.labels.flip(0))
    ends = [
        trained(AdversarialMasks(), (data, held_out, test), objective=FromHooks(), epochs=1)[0].best_model()
        for data in (fit, wrong)
    ]
    for name, value in ends[0].state_dict().items():
        assert torch.equal(value, ends[1].state_dict()[name]), name
    assert not torch.equal(ends[0][0].weight, network()[0].weight)


@pytest.mark.parametrize("make", [network, residual])
def test_masks_reach_exact_zeros(make: Any, digits: Parts) -> None:
    model = taught(make(), digits)
    training, epochs = trained(AdversarialMasks(sparsity=0.1), digits, model, FromHooks(), epochs=3)
    zeros = [seen_by(epoch, "zeros")[0] for epoch in epochs]
    masks = torch.cat(list(training.learnt.values()))
    assert zeros[0] == 0 and zeros[-1] > 0.1 and masks.min() == 0 and masks.max() > 0
    assert zeros[-1] == pytest.approx(float((masks == 0).float().mean()))
    assert any(seen_by(epoch, "apart")[0] != 0.5 for epoch in epochs)


def test_the_penalty_rests_while_the_budget_is_kept() -> None:
    model = network()
    hook = start(model, budget=Budget("macs", fraction=0.7), rate=0.1, sparsity=1.0, adversary=False)
    with torch.no_grad():
        for mask in hook._masks.values():
            mask.copy_(torch.linspace(0.05, 1.0, len(mask)))
    costs = []
    for _ in range(6):
        for key, mask in hook._masks.items():
            hook._before[key] = mask.detach().clone()  # without momentum
        hook._shrink()
        costs.append(hook._cost.share({key: (mask > 0).float() for key, mask in hook._masks.items()}).item())
    assert costs == sorted(costs, reverse=True) and costs[0] > 0.7 >= costs[-1] > 0.4
    assert costs[-1] == costs[-2], "it goes no further"


def test_nothing_listens_to_the_network_afterwards() -> None:
    model = network()
    hook = start(model)
    assert len(model._forward_hooks) == 1
    hook.stop(model)
    assert not model._forward_hooks


def test_it_ends_within_its_budget_on_a_residual_network(digits: Parts) -> None:
    state = begun(residual())
    phases = tuple(AdversarialPruning().phases(Goal(state.network, Budget("macs", fraction=0.5))))
    assert isinstance(phases[0], Train) and phases[0].objective == FromHooks()
    ends = [event.state for event in perform(phases, state, setup(digits)) if isinstance(event, Done)]
    assert 0.3 * state.network.cost().macs < state.network.cost(ends[-1].plan).macs <= 0.5 * state.network.cost().macs
    assert ends[1].removal is not None and ends[1].removal.proof.exact
