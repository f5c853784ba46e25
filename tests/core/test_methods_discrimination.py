"""DCP with its inserted losses: where they stand, what they train, and that they decide with the network at rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods.discrimination import Discrimination, DiscriminationPruning
from pruning_core.methods.inserted_losses import AtPlace, InsertedLoss, inserted, places
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.hooks import Moment
from pruning_core.training.loop import fine_tune
from tests.core.small_programs import Parts, begun
from tests.core.small_residual import performed, residual

pytestmark = pytest.mark.usefixtures("one_thread")


def test_losses_stand_evenly_and_none_twice() -> None:
    assert places(6, 2) == (2, 4) and places(55, 3) == (14, 28, 41)
    assert places(2, 2) == (1,) and places(1, 3) == (1,)


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
    loss = InsertedLoss(layer, 1, 2, torch.device("cpu"))
    with torch.no_grad():
        loss.weight.zero_()
    return loss


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


def test_selection_moves_no_statistics_and_leaves_nothing_behind(digits: Parts) -> None:
    state = begun(residual())
    hook: Any = Discrimination(images=96).begin(state.model, state.network)
    x, y = digits[0].normalised(digits[0].images[:96]), digits[0].labels[:96]
    state.model.train()
    state.model(x)
    hook.penalty(Moment(state.model, 1, 0, 1, 0.5, 0.1, y))
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    means = [loss.mean.clone() for _, loss in hook._losses]
    assert all(bool(mean.any()) for mean in means), "the training has moved them"
    hook.epoch_end(Moment(state.model, 1, 1, 1, 1.0, 0.1))
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    assert all(torch.equal(loss.mean, mean) for (_, loss), mean in zip(hook._losses, means))
    assert all(len(set(values.tolist())) == len(values) for values in hook.learnt().values())
    hook.stop(state.model)
    left = [module._forward_hooks or module._forward_pre_hooks for module in state.model.modules()]
    assert not any(left)


def test_what_lies_behind_an_inserted_loss_gets_no_gradient_of_it(digits: Parts) -> None:
    state = begun(residual())
    hook: Any = Discrimination(losses=1).begin(state.model, state.network)
    ((_, loss),) = hook._losses
    assert loss.layer == "3.first" and [at is not None for at in hook._at.values()] == [True, True, False]
    x, y = digits[0].normalised(digits[0].images[:32]), digits[0].labels[:32]
    state.model.train()
    state.model(x)
    hook.penalty(Moment(state.model, 1, 0, 1, 0.5, 0.1, y)).backward()
    reached = {name for name, parameter in state.model.named_parameters() if parameter.grad is not None}
    assert reached == {"0.weight", "1.weight", "1.bias", "3.first.weight"}
    assert all(parameter.grad is not None for parameter in hook.parameters())


def test_inserted_losses_are_learnt_and_shown(digits: Parts) -> None:
    fit, held_out, test = digits
    state = begun(residual())
    config = FineTune(epochs=3, batch_size=128, lr=0.05, device="cpu")
    training = fine_tune(state.model, fit, test, config, (Discrimination(),), held_out, network=state.network)
    seen = [{w.key: w.values[0] for w in event.watched} for event in training if isinstance(event, Epoch)]
    losses = [each["inserted"] for each in seen[1:]]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.05, (
        "from features this early, a little"
    )
    assert seen[0]["inserted"] == 0 and training.learnt.keys() == {group.key for group in state.network.groups}


def test_a_residual_network_is_pruned(digits: Parts) -> None:
    state, ends = performed(DiscriminationPruning(), digits)
    assert len(ends[1].state.plan) == len(state.network.groups)
    assert evaluate(ends[-1].state.model, digits[2], device="cpu").top1 > 0.4


def test_layers_that_are_no_modules_are_refused_with_a_way_out() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.randn(4, 1, 3, 3)), nn.Parameter(torch.randn(2, 4, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(F.conv2d(x, self.a).relu(), self.b).mean((2, 3))

    model = Bare().eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    with pytest.raises(UserError, match="not modules"):
        inserted(model, network, network.groups, 2)
