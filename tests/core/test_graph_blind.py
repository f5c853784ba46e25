"""Outputs that show nothing: what they are decided by is compared, or the proof says that it proves nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pruning_core.errors import UserError
from pruning_core.graph import Plan, Removal, capture, remove, silence
from tests.core.graph_checks import difference

LEVELS = torch.tensor([0.0, 0.0, 3.0, 0.0, 0.0])
End = Callable[[Tensor], Any]


class Turned(nn.Module):
    """Its code swaps channels at a written place: right no longer once one of the first four is gone."""

    def __init__(self, end: End, *, right: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.end, self.right = (
            nn.Conv2d(3, 16, 3, bias=False),
            nn.Conv2d(16, 5, 3, bias=False),
            end,
            right,
        )

    def forward(self, x: Tensor) -> Any:
        y = self.a(x).relu()
        return self.end(self.b(y if self.right else torch.cat([y[:, 4:], y[:, :4]], 1)))


def mean(y: Tensor) -> Tensor:
    return y.mean((2, 3))


class Passed(torch.autograd.Function):
    """A threshold that says of itself that it is none."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        return (y > 0.05).to(y)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope


def straight_through(y: Tensor) -> Tensor:
    return y + ((y > 0.05).to(y) - y).detach()


@torch.no_grad()
def without_gradients(y: Tensor) -> Tensor:
    return mean(y) * 2


DECIDED: dict[str, End] = {
    "class number": lambda y: (mean(y) + LEVELS).argmax(1),
    "class name and its score, rounded": lambda y: torch.round((mean(y) + LEVELS).amax(1) * 10),
    "mask": lambda y: (y > 9).float(),
    "boolean mask": lambda y: y > 0.5,
    "mask on a picture": lambda y: (y > 9) * torch.ones_like(y),
    "clamped picture": lambda y: (y - 9).clamp(0, 1),
    "bytes": lambda y: (y * 255).clamp(0, 255).to(torch.uint8),
    "sign": torch.sign,
    "rounded": torch.round,
    "whole numbers": lambda y: (y * 3).long(),
    "order": lambda y: mean(y).topk(3).indices,
    "sorted": lambda y: mean(y).argsort(1),
    "saturated": lambda y: (mean(y) * 1e4 + 1e5).sigmoid(),
    "sure of itself": lambda y: (mean(y) * 1e-3 + 1e5 * LEVELS).softmax(1),
    "dead": lambda y: (mean(y) - 50).relu(),
    "counted": lambda y: (y > 0).sum((1, 2, 3)),
    "straight through": straight_through,
    "a function of its own": Passed.apply,
    "without gradients": without_gradients,
    "times zero": lambda y: mean(y) * 0,
    "picture and class": lambda y: {"class": mean(y).argmax(1), "where": y.flatten(2).argmax(2)},
}
SILENT: dict[str, End] = {
    "nothing but the shape": lambda y: torch.ones(len(y), 5) * y.shape[2],
    "constant": lambda y: torch.full((len(y), 5), 0.25),
    "number of images": lambda y: torch.tensor([len(y)]),
}


def tried(end: End, *, right: bool = False, x: Tensor | None = None) -> tuple[Turned, Removal, Any, Plan]:
    torch.manual_seed(0)
    net = Turned(end, right=right).eval()
    network = capture(net, torch.zeros(1, 3, 12, 12))
    plan = Plan({network.groups[0].key: [0, 1]})
    return net, remove(net, network, plan, x), network, plan


@pytest.mark.parametrize("name", DECIDED)
def test_a_wrong_form_behind_a_decision_is_not_believed(name: str) -> None:
    net, done, network, plan = tried(DECIDED[name])
    assert done.form == "program" and done.proof.exact and not done.proof.unproven
    assert done.proof.max_rel < 1e-12
    # scores of the program are right too: its last products are those of the silenced network
    scores: dict[str, Tensor] = {}
    for who, model in (("removed", done.model), ("silenced", silence(net, network, plan))):
        last = _before_the_end(model, torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(4)))
        scores[who] = last
    assert difference([scores["removed"]], [scores["silenced"]]) < 1e-5


def _before_the_end(model: nn.Module, x: Tensor) -> Tensor:
    found: list[Tensor] = []

    class Last(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if func is torch.ops.aten.convolution.default:
                found.append(out)
            return out

    with torch.no_grad(), Last():
        model(x)
    return found[-1]


@pytest.mark.parametrize("name", DECIDED)
def test_a_right_form_behind_a_decision_is_proven(name: str) -> None:
    _, done, _, _ = tried(DECIDED[name], right=True)
    assert done.form == "module" and done.proof.exact and done.proof.max_rel < 1e-12


@pytest.mark.parametrize("name", SILENT)
def test_what_shows_nothing_is_not_proven(name: str) -> None:
    _, done, _, _ = tried(SILENT[name], right=True)
    assert not done.proof.exact and done.proof.unproven.startswith("Not proven")
    assert math.isnan(done.proof.max_abs) and math.isnan(done.proof.max_rel)


def test_one_group_in_the_dark_is_enough() -> None:
    """The first group shows in an output of its own, the second behind a constant only."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 4, 3)
            self.early = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.a(x).relu()
            return self.early(mean(y)), torch.ones(len(y), self.c(self.b(y).relu()).shape[2])

    net = Two().eval()
    network = capture(net, torch.randn(1, 3, 12, 12))
    keys = [g.key for g in network.groups]
    done = remove(net, network, Plan({key: [0] for key in keys}))
    assert "b" in done.proof.unproven and not done.proof.exact
    assert remove(net, network, Plan({"a": [0]})).proof.unproven, "what reads it at the second place shows nothing"


@pytest.mark.parametrize("given", [torch.zeros(1, 3, 12, 12), torch.zeros(4, 3, 12, 12)])
def test_a_black_example_is_never_trusted(given: Tensor) -> None:
    """On it both forms give zeros; the modules are wrong, and found to be."""
    _, done, _, _ = tried(mean, x=given)
    assert done.form == "program" and not done.proof.unproven and done.proof.images == len(given)


def test_a_wrong_form_is_refused_where_no_program_can_be_written() -> None:
    """One-hot vectors are made after a look at the largest class number."""
    end = lambda y: nn.functional.one_hot(mean(y).argmax(1), 5).float()  # noqa: E731  # as the others are written
    with pytest.raises(UserError, match="reads a number from its data"):
        tried(end)
    _, done, _, _ = tried(end, right=True)
    assert done.form == "module" and done.proof.exact


def test_outputs_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="not finite"):
        tried(lambda y: mean(y) / 0 * 0)
    _, done, _, _ = tried(lambda y: mean(y).masked_fill(LEVELS > 1, float("-inf")))
    assert done.form == "program" and done.proof.exact, "a mask of infinities is no obstacle"
