"""What a method would end with is said before anything runs, and nothing is refused that can be done."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.apart.held import held, names_of, tensors_of
from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.masking import reinitialised
from pruning_core.methods.perform import perform
from pruning_core.methods.refusal import why_not
from pruning_core.methods.registry import METHODS
from pruning_core.methods.state import State
from pruning_core.methods.units import NO_MODULES
from pruning_core.work import finished
from tests.core.small_programs import CONFIG, Parts, blocks, network, setup

pytestmark = pytest.mark.usefixtures("one_thread")
KEYS = {method.card.key: method() for method in METHODS}


def asked(key: str, model: nn.Module, fraction: float = 0.5, *, runs: bool = True) -> str:
    goal = Goal(capture(model, torch.zeros(1, 1, 8, 8)), Budget("macs", fraction=fraction))
    return why_not(KEYS[key], goal, CONFIG, model, runs=runs)


def ends_with(key: str, model: nn.Module, digits: Parts, fraction: float) -> str:
    """The sentence that the run itself ends with."""
    state = State.of(model, capture(model, torch.zeros(1, 1, 8, 8)))
    phases = tuple(KEYS[key].phases(Goal(state.network, Budget("macs", fraction=fraction))))
    with pytest.raises(UserError) as caught:
        finished(perform(phases, state, setup(digits, replace(CONFIG, epochs=2))))
    return str(caught.value)


@pytest.mark.parametrize(("key", "fraction"), [("layerprune", 0.1), ("dbp", 0.1), ("tmi-gkp", 0.05), ("fbs", 0.01)])
def test_a_budget_that_a_build_cannot_reach_is_refused_in_the_words_of_the_run(
    key: str, fraction: float, digits: Parts
) -> None:
    said = asked(key, blocks(), fraction)
    assert said and said == ends_with(key, blocks(), digits, fraction)
    assert not asked(key, blocks(), 0.6)


class Written(nn.Module):
    """A network whose code holds a weight of its own, which no layer can draw."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.shift = network(), nn.Parameter(torch.ones(10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.inside(x) + self.shift
        return made


@pytest.mark.parametrize("key", ["scratch-e", "scratch-b", "snip-elements"])
def test_new_weights_are_refused_where_nobody_can_draw_them(key: str, digits: Parts) -> None:
    model = Written().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert asked(key, model) == ends_with(key, model, digits, 0.5) and "New weights cannot be drawn" in asked(
        key, model
    )
    assert not asked(key, network())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(UserError, match="New weights cannot be drawn"):
        reinitialised(model, 0)


def test_a_network_that_is_elsewhere_is_not_run() -> None:
    model = blocks()
    numbers = held(names_of(model), tensors_of(model))
    goal = Goal(capture(model, torch.zeros(1, 1, 8, 8)), Budget("macs", fraction=0.6))
    assert why_not(KEYS["layerprune"], goal, CONFIG, numbers, runs=False) == NO_MODULES
    assert "New weights cannot be drawn" in why_not(KEYS["scratch-e"], goal, CONFIG, numbers, runs=False)
    assert [
        key for key in ("netslim", "mag", "autoslim-trained") if why_not(KEYS[key], goal, CONFIG, numbers, runs=False)
    ] == []


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.card.key)
def test_what_every_method_does_is_refused_to_none_that_it_is_done_to(method: type[Method]) -> None:
    assert asked(method.card.key, blocks()) == ""


def test_too_few_epochs_are_said() -> None:
    goal = Goal(capture(network(), torch.zeros(1, 1, 8, 8)), Budget("macs", fraction=0.5))
    said = why_not(KEYS["netslim"], goal, replace(CONFIG, epochs=1), network())
    assert "1 epochs cannot be shared out among 2" in said
