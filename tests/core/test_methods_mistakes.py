"""Faults that are easily made when these methods are written again: each is put beside what is right, by hand."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import capture
from pruning_core.methods.base import Goal
from pruning_core.methods.gate_decorator import GateEffects
from pruning_core.methods.ista import ProximalScales
from pruning_core.methods.lottery_ticket import LotteryTicket
from pruning_core.methods.magnitude_pruning import MagnitudePruning
from pruning_core.methods.near_pattern import NearPattern
from pruning_core.methods.network_slimming import NetworkSlimming, ScalePenalty
from pruning_core.methods.patterned_kernels import PatDNN, PConv
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Cut, Mask, Reinitialise, Rewind, Snapshot, Train
from pruning_core.methods.pruning_at_start import GraspElements, SnipElements, SynFlowElements
from pruning_core.methods.saliency import Flow
from pruning_core.methods.soft_channels import switched_off
from pruning_core.methods.soft_pruning import SoftZeros
from pruning_core.methods.transfer_pruning import TransferPruning
from pruning_core.sparsity.kernel_patterns import KernelPatterns
from pruning_core.sparsity.weights import prunable
from pruning_core.training.begun import Company
from pruning_core.training.config import FineTune
from pruning_core.training.distillation import ORIGIN, Distillation
from pruning_core.training.hooks import Moment
from pruning_core.training.learner import Learner
from pruning_core.training.loop import fine_tune
from pruning_core.training.loss import CrossEntropy
from tests.core.small_programs import Parts, begun, network, setup

pytestmark = pytest.mark.usefixtures("one_thread")


def moment(model: nn.Module, rate: float = 0.1) -> Moment:
    return Moment(model, 1, 0, 1, 0.5, rate)


def masked(method: Any, digits: Parts) -> nn.Module:
    """The network right after the method's first mask."""
    state = begun()
    phases = method.phases(Goal(state.network, Budget("macs", fraction=0.4)))
    (phase,) = [each for each in phases if isinstance(each, Mask)][:1]
    (end,) = [event.state for event in perform((phase,), state, setup(digits)) if isinstance(event, Done)]
    return end.model


def test_one_threshold_for_all_scales_and_not_one_for_each_layer(digits: Parts) -> None:
    """netslim: a layer of small scales loses most of its channels, one of large scales none."""
    state = begun()
    with torch.no_grad():
        state.model[1].weight.copy_(torch.linspace(1.0, 2.0, 8))
        state.model[4].weight.copy_(torch.linspace(0.01, 0.02, 12))
    phases = NetworkSlimming().phases(Goal(state.network, Budget("macs", fraction=0.6)))
    (cut,) = [phase for phase in phases if isinstance(phase, Cut)]
    (end,) = [event.state for event in perform((cut,), state, setup(digits)) if isinstance(event, Done)]
    first, second = (end.plan.get(group.key, ()) for group in state.network.groups)
    assert not first and second == tuple(range(len(second))) and len(second) > 3


@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_the_threshold_of_a_proximal_step_is_as_long_as_the_step(rate: float) -> None:
    """ista-bn: what a scale loses without a gradient is the rate times the strength, and no decay comes on top."""
    model = network()
    hook = ProximalScales(0.5).begin(model, capture(model, torch.zeros(1, 1, 8, 8)))
    for norm in (model[1], model[4]):
        norm.weight.grad = torch.zeros_like(norm.weight)
    hook.after_backward(moment(model, rate))
    with torch.no_grad():
        for norm in (model[1], model[4]):
            norm.weight.mul_(0.5)  # whatever the optimizer made of it
    hook.after_step(moment(model, rate))
    lost = [float(1 - norm.weight.detach()[0]) for norm in (model[1], model[4])]
    assert sum(lost) / 2 == pytest.approx(rate * 0.5, rel=1e-3), "the layers' weights are one on average"


class Coupled(nn.Module):
    """Two branches whose channels are added up."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.end = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 1), nn.Conv2d(3, 2, 1)
        self.na, self.nb = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.end((self.na(self.a(x)) + self.nb(self.b(x))).relu()).flatten(1)


def test_effects_of_coupled_gates_are_added_and_a_scale_of_zero_divides_nothing() -> None:
    """gbn: the group's sum, each in absolute value; the shift is divided by no scale."""
    model = Coupled().eval()
    hook = GateEffects().begin(model, capture(model, torch.zeros(1, 1, 2, 2)))
    for norm, gradient in ((model.na, [1.0, -2.0, 3.0]), (model.nb, [-1.0, 2.0, 1.0])):
        norm.weight.data = torch.tensor([0.0, 1.0, 1.0])
        norm.bias.data = torch.tensor([2.0, 0.0, 0.0])
        norm.weight.grad, norm.bias.grad = torch.tensor(gradient), torch.tensor([0.5, 0.0, 0.0])
    hook.after_backward(moment(model))
    (effects,) = hook.learnt().values()
    assert effects.tolist() == [2.0, 4.0, 4.0]


def test_an_optimizer_that_remembers_revives_no_filter_at_the_end(digits: Parts) -> None:
    """sfp: Adam's moments move a zeroed filter in every step, and still exactly the asked ones are zero in the end."""
    fit, held_out, test = digits
    state = begun()
    spec = SoftZeros({state.network.groups[1].key: 5})
    config = FineTune(epochs=2, batch_size=128, lr=0.01, optimizer="adamw", device="cpu")
    training = fine_tune(state.model, fit, test, config, (spec,), held_out, network=state.network, keep="last")
    list(training)
    assert int((training.best_model()[3].weight.flatten(1).norm(dim=1) == 0).sum()) == 5


def test_the_sign_of_a_scale_says_nothing_of_how_often_a_channel_is_off() -> None:
    """scp: a normal number of mean beta and deviation |gamma|."""
    shift, scale = torch.tensor([0.5, -0.5]), torch.tensor([0.3, 0.3])
    assert torch.equal(switched_off(shift, -scale), switched_off(shift, scale))
    assert float(switched_off(shift, scale)[0]) < 0.5 < float(switched_off(shift, scale)[1])


def test_a_teacher_is_in_evaluation_mode_and_learns_nothing() -> None:
    """kd: dropout and batch statistics of the teacher would be noise in what is to be followed."""
    teacher, student = network().train(), network().train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    objective: Any = Distillation(labels=1.0).begin(student, {ORIGIN: teacher})
    x, y = torch.randn(8, 1, 8, 8), torch.arange(8)
    total, _ = objective.loss(student, x, y)
    total.backward()
    assert not objective.teacher.training and not any(module.training for module in objective.teacher.modules())
    assert all(parameter.grad is None for net in (teacher, objective.teacher) for parameter in net.parameters())
    for net in (teacher, objective.teacher):
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_tickets_are_drawn_by_trained_weights_and_every_round_takes_a_share_of_the_rest() -> None:
    """lth: not by the first weights, and no round counts from the first network."""
    phases = tuple(LotteryTicket(rounds=3).phases(Goal(begun().network, Budget("parameters", fraction=0.125))))
    kinds = [type(phase) for phase in phases]
    assert kinds == [Snapshot, *[Train, Mask, Rewind] * 3, Train]
    left = [1.0, *(phase.to.fraction for phase in phases if isinstance(phase, Mask))]
    assert [after / before for before, after in pairwise(left)] == pytest.approx([0.5] * 3)


@pytest.mark.parametrize("method", [PConv(), PatDNN(), MagnitudePruning()])
def test_norms_and_biases_stay_as_they_are_and_patterns_spare_the_first_layer(method: Any, digits: Parts) -> None:
    """mag, pconv, patdnn: what is no product is never set to zero, and never counted."""
    before, model = begun().model, masked(method, digits)
    able = set(prunable(before, begun().network))
    for (name, was), value in zip(before.state_dict().items(), model.state_dict().values(), strict=True):
        assert name in able or torch.equal(was, value), name
    assert bool((model[0].weight != 0).all()) or isinstance(method, MagnitudePruning)
    assert bool((model[3].weight == 0).any())


def test_kernels_are_compared_by_what_their_pattern_leaves() -> None:
    """patdnn: a kernel whose size lies where no pattern keeps it is weaker than its whole size says."""
    first, second = torch.ones(1, 1, 3, 3), torch.zeros(1, 2, 3, 3)
    second[0, 0] = torch.tensor([[2.0, 0, 2], [0, 1, 0], [2, 0, 2]])  # corners: fixed patterns hold at most one or two
    second[0, 1] = torch.tensor([[0.0, 0, 0], [0, 3, 2], [0, 0, 0]])
    levels = KernelPatterns().levels({"first": first, "second": second})["second"]
    kept = torch.where(levels.isfinite(), second, 0).square().flatten(2).sum(2)
    whole = second.square().flatten(2).sum(2)
    assert whole[0, 0] > whole[0, 1] and kept[0, 0] < kept[0, 1], "an example of both orders"
    there_at = levels.flatten(2).amin(2)  # the share of kernels from which on one is there
    assert there_at[0, 1] < there_at[0, 0]


def test_flow_is_the_same_in_training_mode_and_moves_no_statistics() -> None:
    """synflow: a batch norm in training mode would normalise the all-ones input away."""
    model = network()
    captured = capture(model, torch.zeros(1, 1, 8, 8))
    wanted = Flow().scores(model, captured, None, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = Flow().scores(model.train(), captured, None, 0)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_no_decay_draws_scales_that_a_penalty_draws(optimizer: str, digits: Parts) -> None:
    """netslim: without a task, a scale of 0.5 loses 0.1 times 1e-4 in a step, and other weights their decay."""
    model = network()
    with torch.no_grad():
        model[1].weight.fill_(0.5)
    config = FineTune(lr=0.1, momentum=0.0, weight_decay=0.01, optimizer=optimizer, device="cpu")
    before = {name: value.clone() for name, value in model.named_parameters()}
    after = dict(one_step(model, (ScalePenalty(1e-4),), config).named_parameters())
    if optimizer == "sgd":
        assert torch.allclose(after["1.weight"], torch.full((8,), 0.49999), atol=1e-8)
    else:  # Adam's first step is the rate, whatever the gradient
        assert torch.allclose(after["1.weight"], torch.full((8,), 0.4), atol=1e-4)
    for name in ("0.weight", "4.bias", "9.weight"):
        assert torch.allclose(after[name], before[name] * (1 - 0.1 * 0.01)), "other weights decay"
    with torch.no_grad():
        bare = dict(one_step(model, (), config).named_parameters())["1.weight"]
    assert torch.allclose(bare, torch.full((8,), 0.5 * (1 - 0.1 * 0.01))), "and scales that nothing else draws"


class Idle(CrossEntropy):
    """A task that asks nothing of the network."""

    def loss(self, forward: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        nothing = 0.0 * forward(x).sum()
        return nothing, nothing


def one_step(model: nn.Module, hooks: tuple[Any, ...], config: FineTune) -> nn.Module:
    with ExitStack() as stack:
        learner = Learner(model, config, "cpu")
        company = Company(hooks, capture(model, torch.zeros(1, 1, 8, 8)), Idle(), {})
        learner.equip(*company.begin(learner.model, stack))
        learner.learn(torch.randn(4, 1, 8, 8), torch.arange(4), moment(learner.model, config.lr), 0)
    return learner.model


def test_pruning_in_transfer_learning_freezes_nothing(digits: Parts) -> None:
    """transfer-prune: with a frozen backbone no weight could adapt to the new data."""
    state = begun()
    phases = tuple(TransferPruning(rounds=2).phases(Goal(state.network, Budget("macs", fraction=0.9))))
    assert [type(phase) for phase in phases] == [Train, Train, Cut, Train]
    models = [state.model]
    for event in perform(phases[:2], state, setup(digits)):
        if isinstance(event, Done):
            models.append(event.state.model)
    for one, other in pairwise(models):
        assert all(parameter.requires_grad for parameter in other.parameters())
        for (name, was), value in zip(one.named_parameters(), other.parameters(), strict=True):
            assert not torch.equal(was, value), f"{name} stood still"


def test_the_penalty_of_admm_is_that_of_the_squared_distance() -> None:
    """patdnn, admm: an unsquared norm has a gradient of length one, however far the weights are."""
    model = network()
    captured = capture(model, torch.zeros(1, 1, 8, 8))
    hook: Any = NearPattern(KernelPatterns(), Budget("macs", fraction=0.5), rho=0.3).begin(model, captured)
    hook.epoch_end(moment(model))  # the dual is no longer zero
    z, u, rho = hook._sparse["3.weight"].clone(), hook._dual["3.weight"].clone(), hook._rho
    hook.penalty(moment(model)).backward()
    assert torch.allclose(model[3].weight.grad, rho * (model[3].weight.detach() - z + u)) and bool(u.any())


@pytest.mark.parametrize("method", [SnipElements(), GraspElements(), SynFlowElements()], ids=lambda m: m.card.key)
def test_before_training_means_weights_that_nobody_trained(method: Any) -> None:
    """snip, grasp, synflow: judged are new weights, and the given ones only where somebody asks for that."""
    phases = tuple(method.phases(Goal(begun().network, Budget("parameters", fraction=0.5))))
    assert isinstance(phases[0], Reinitialise) and isinstance(phases[1], Mask)
