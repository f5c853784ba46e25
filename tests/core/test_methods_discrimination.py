"""DCP with its inserted losses: where they stand, what they train, and that they decide with the network at rest."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods import discrimination
from pruning_core.methods.discrimination import (
    DiscriminationJudgement,
    DiscriminationPruning,
    InsertedLosses,
    part_of,
)
from pruning_core.methods.inserted_losses import OBSTACLE, AtPlace, InsertedLoss, inserted, noting, places
from pruning_core.methods.state import State
from pruning_core.probe.places import rows
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.hooks import Hook, Moment
from pruning_core.training.loop import fine_tune
from pruning_core.work import finished, told
from pruning_core.zoo import import_model
from tests.core.small_programs import Parts, begun
from tests.core.small_residual import performed, residual, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def test_losses_stand_evenly_and_none_twice() -> None:
    assert places(6, 2) == (2, 4) and places(55, 3) == (14, 28, 41)
    assert places(2, 2) == (1,) and places(3, 5) == (1, 2) and places(1, 3) == ()


class Pixel(nn.Module):
    """One pixel of 1: channels (1, 2), added up to 3, then two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 1, 1, bias=False)
        self.last = nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
            self.second.weight.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.second(self.first(x).relu()).flatten(1))
        return out


def tried(at: InsertedLoss | None, model: nn.Module | None = None) -> AtPlace:
    model = (model or Pixel()).eval()
    network = capture(model, torch.ones(1, 1, 1, 1))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        yield torch.ones(1, 1, 1, 1), torch.tensor([0])

    return AtPlace(model, network.groups[0].consumers, batches, at)


def silent(layer: str) -> InsertedLoss:
    """It tells nothing apart, whatever it sees."""
    return InsertedLoss(layer, 1, 2, torch.device("cpu"))


def test_starting_from_nothing_the_larger_gradient_is_asked_for_first() -> None:
    """x = (1, 2), what the layer wrote is 3: the gradient at no weights is -3 (1, 2), so channel 1 is taken."""
    gradient = tried(silent("second")).gradient(torch.zeros(2, 1, dtype=torch.float64))
    assert gradient.flatten().tolist() == pytest.approx([-3, -6])
    half = tried(silent("second")).gradient(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    assert half.flatten().tolist() == pytest.approx([-1, -2]), "at what is selected so far, not at the trained weights"


def test_the_inserted_loss_judges_and_not_that_of_the_network() -> None:
    torch.manual_seed(1)
    model = Pixel()
    with torch.no_grad():
        model.last.weight.copy_(torch.tensor([[-40.0], [40.0]]))
    at = InsertedLoss("second", 1, 2, torch.device("cpu"))
    with torch.no_grad():
        at.weight.copy_(torch.tensor([[2.0], [-2.0]]))
    weight = torch.tensor([[0.5], [0.5]], dtype=torch.float64)
    v = weight.float().clone().requires_grad_()
    wrote = v[0] * 1 + v[1] * 2
    scores = F.linear((wrote / (1 + 1e-5) ** 0.5).relu(), at.weight)
    (0.5 * (wrote - 3).square().sum() + F.cross_entropy(scores[None], torch.tensor([0]))).backward()
    assert torch.allclose(tried(at, model).gradient(weight), v.grad.double(), atol=1e-5)
    assert not torch.allclose(tried(None, model).gradient(weight), v.grad.double(), atol=1)


def learnt_on(digits: Parts, state: State) -> tuple[Hook, dict[str, Tensor]]:
    hook = InsertedLosses().begin(state.model, state.network)
    x, y = digits[0].normalised(digits[0].images[:96]), digits[0].labels[:96]
    state.model.train()
    state.model(x)
    hook.penalty(Moment(state.model, 1, 0, 1, 0.5, 0.1, y))
    state.model.eval()
    for parameter in hook.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    return hook, dict(hook.learnt())


def test_selection_moves_no_statistics_and_leaves_nothing_behind(digits: Parts) -> None:
    state = begun(residual())
    hook, learnt = learnt_on(digits, state)
    assert len(learnt) == 2 * 6 and all(bool(tensor.any()) for tensor in learnt.values()), "the training has moved them"
    before, said = tensors(state.model), {name: tensor.clone() for name, tensor in learnt.items()}
    hook.stop(state.model)
    judgement = DiscriminationJudgement(rounds=3)
    work = judgement.judging(state.model, state.network, digits[0].subset(40, 1), learnt, "cpu")
    shares: list[float] = []
    values = finished(told(work, lambda share: shares.append(share) or ()))
    assert shares == [1 / 3, 2 / 3, 1], "a place to stop at after every layer"
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    assert all(torch.equal(tensor, said[name]) for name, tensor in learnt.items())
    assert all(len(set(found.tolist())) == len(found) for found in values.values())
    left = [module._forward_hooks or module._forward_pre_hooks for module in state.model.modules()]
    assert not any(left)


def test_every_layer_is_judged_by_the_first_loss_behind_it(digits: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    state = begun(residual())
    _, learnt = learnt_on(digits, state)
    asked: list[tuple[str, Any]] = []
    slopes: list[Tensor] = []

    class Spied(AtPlace):
        def __init__(self, model: nn.Module, members: Any, batches: Any, at: InsertedLoss | None) -> None:
            asked.append((members[0].parameter, at and (at.layer, at.weight.detach().clone())))
            super().__init__(model, members, batches, at)
            trained = torch.cat([rows(self.weights[m.parameter], m) for m in members], 1).double()
            slopes.append(self.gradient(trained))  # where the layer writes what it wrote: only the loss pulls

    monkeypatch.setattr(discrimination, "AtPlace", Spied)
    finished(DiscriminationJudgement().judging(state.model, state.network, digits[0].subset(20, 1), learnt, "cpu"))
    (stem, first), (inner, second), (last, third) = asked
    assert (stem, inner, last) == ("3.first.weight", "3.second.weight", "5.second.weight") and third is None
    assert first[0] == "3.first" and second[0] == "5.first", "what was read before it, never what is read behind it"
    assert all(bool(slope.any(1).all()) for slope in slopes), "what is tried changes the loss that judges it"
    assert torch.equal(first[1], learnt[part_of(0, 0)]) and torch.equal(second[1], learnt[part_of(1, 0)])


def test_what_lies_behind_an_inserted_loss_gets_no_gradient_of_it(digits: Parts) -> None:
    state = begun(residual())
    hook: Any = InsertedLosses(losses=1).begin(state.model, state.network)
    (loss,) = hook._losses
    assert loss.layer == "5.first"
    nn.init.ones_(loss.weight[:, ::2])  # it begins with zeros, which tell nothing back
    x, y = digits[0].normalised(digits[0].images[:32]), digits[0].labels[:32]
    state.model.train()
    state.model(x)
    hook.penalty(Moment(state.model, 1, 0, 1, 0.5, 0.1, y)).backward()
    reached = {name for name, parameter in state.model.named_parameters() if parameter.grad is not None}
    inside = {"3.first.weight", "3.norm.weight", "3.norm.bias", "3.second.weight", "3.last.weight", "3.last.bias"}
    assert reached == {"0.weight", "1.weight", "1.bias", "5.first.weight"} | inside
    assert all(parameter.grad is not None for parameter in hook.parameters())


def test_inserted_losses_are_learnt_and_shown(digits: Parts) -> None:
    fit, held_out, test = digits
    state = begun(residual())
    config = FineTune(epochs=4, batch_size=64, lr=0.1, device="cpu")
    training = fine_tune(state.model, fit, test, config, (InsertedLosses(),), held_out, network=state.network)
    seen = [{w.key: w.values[0] for w in event.watched} for event in training if isinstance(event, Epoch)]
    losses = [each["inserted"] for each in seen[1:]]
    assert losses[-1] < losses[0] - 0.2, "the later ones at least"
    assert seen[0]["inserted"] == 0


def test_a_residual_network_is_pruned(digits: Parts) -> None:
    state, ends = performed(DiscriminationPruning(), digits)
    assert ends[1].state.learnt.keys() == ends[2].state.plan.keys() == {group.key for group in state.network.groups}
    assert evaluate(ends[-1].state.model, digits[2], device="cpu").top1 > 0.4


def test_layers_that_are_no_modules_are_refused_with_a_way_out() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = ((4, 1, 3, 3), (5, 4, 3, 3), (2, 5, 3, 3))
            self.a, self.b, self.c = (nn.Parameter(torch.randn(size)) for size in sizes)

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(F.conv2d(F.conv2d(x, self.a).relu(), self.b).relu(), self.c).mean((2, 3))

    model = Bare().eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    with pytest.raises(UserError, match="not modules"):
        inserted(model, network, network.groups, 2)
    assert DiscriminationPruning().obstacle(network) == ""  # only whoever looks at the modules can tell


def test_an_exported_program_is_refused_before_anything_runs(tmp_path: Path) -> None:
    size = {0: torch.export.Dim("n", min=1, max=64)}
    program = torch.export.export(residual(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=(size,))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    model = import_model(file, "network.pt2", tmp_path).model
    assert DiscriminationPruning().obstacle(capture(model, torch.zeros(1, 1, 8, 8))) == OBSTACLE


def test_features_of_tokens_have_their_channels_in_front() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(8, 6), nn.Linear(6, 7), nn.Linear(7, 10)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.second(self.first(x[:, 0]).relu()).relu()).mean(1)
            return out

    model = Tokens().eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    ((number, loss),) = inserted(model, network, network.groups, 1)
    assert number == 1 and loss.layer == "second" and loss.weight.shape == (10, 7)
    with noting(model, ["second"]) as features:
        model(torch.randn(3, 1, 8, 8))
    assert features["second"].shape == (3, 7, 8) and bool(loss(features["second"], torch.tensor([1, 2, 3]), True) > 0)
