"""A small residual network, whose blocks share channels, for methods that must work on such too."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.state import State
from tests.core.small_programs import CONFIG, Parts, begun, setup


class Block(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, inner, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(inner)
        self.second = nn.Conv2d(inner, width, 3, padding=1, bias=False)
        self.last = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.norm(self.first(x)).relu()
        return (x + self.last(self.second(inside))).relu()


def residual() -> nn.Module:
    """The stem and both blocks write the same 8 channels; 6 and 10 lie inside the blocks."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Block(8, 6), nn.MaxPool2d(2),
        Block(8, 10), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10),
    ).eval()  # fmt: skip


def performed(method: Method, digits: Parts, fraction: float = 0.5) -> tuple[State, list[Done]]:
    """The residual network before, and what every phase of the method made of it; it ends within the budget."""
    state = begun(residual())
    budget = Budget("macs", fraction=fraction)
    assert method.obstacle(state.network) == ""
    work = perform(tuple(method.phases(Goal(state.network, budget))), state, setup(digits, CONFIG))
    ends = [event for event in work if isinstance(event, Done)]
    cost = state.network.cost(ends[-1].state.plan)
    assert cost.macs <= fraction * state.network.cost().macs
    assert sum(p.numel() for p in ends[-1].state.model.parameters()) == cost.parameters
    return state, ends


def tensors(model: nn.Module) -> Mapping[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
