"""Programs that look for widths: what is tried, on which images, and what is made of it (AutoSlim, AutoCompress)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.greedy import Greedy
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.search import Search
from pruning_core.allocation.space import Space
from pruning_core.allocation.trial import Trial
from pruning_core.criteria import L1Norm
from pruning_core.errors import UserError
from pruning_core.graph import Plan, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods import finding as found_by
from pruning_core.methods.admm_filters import NearSparse
from pruning_core.methods.auto_compress import AutoCompress, ExperiencedAnnealing, NearFound, ordered
from pruning_core.methods.auto_slim import AutoSlim
from pruning_core.methods.base import Goal
from pruning_core.methods.finding import figure, given_back
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Cut, FindWidths, Learnt, Train, Zeros
from pruning_core.methods.place import Keeper
from pruning_core.methods.slimmable import Sandwich, Slimmable, WidthOrder
from pruning_core.methods.state import Setup
from pruning_core.runs.events import Event, Progress
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.loop import fine_tune
from pruning_core.work import finished, told
from tests.core.small_programs import CONFIG, Parts, begun, setup
from tests.core.small_residual import performed, residual, tensors
from tests.core.test_training import same

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = Budget("macs", fraction=0.5)


# -- trying widths -----------------------------------------------------------------------------------------------------


def test_the_better_network_is_the_more_accurate_one_and_the_loss_settles_ties() -> None:
    assert figure(measured(0.80, 9.0)) > figure(measured(0.79, 0.1)), "one image more, whatever the loss"
    assert figure(measured(0.80, 0.5)) > figure(measured(0.80, 0.6))


def measured(top1: float, loss: float = 1.0) -> Accuracy:
    return Accuracy(top1, None, loss, 100, 0.0, 1.0, 100, "", 0.0)


def test_greedy_shrinks_the_layer_whose_loss_costs_least(digits: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Error .30 where the first of two layers is narrower, .20 where the second is: the second is made narrower."""
    state = begun()
    first, second = (group.key for group in state.network.groups)
    asked: list[Plan] = []
    real = found_by.silence

    def silenced(model: nn.Module, network: Any, plan: Plan) -> nn.Module:
        asked.append(plan)
        return real(model, network, plan)

    def judged(model: nn.Module, *_: Any) -> Any:
        yield from ()
        return measured(0.70 if asked and first in asked[-1] else 0.80)

    monkeypatch.setattr(found_by, "silence", silenced)
    monkeypatch.setattr(found_by, "_measured", judged)
    phase = FindWidths(L1Norm(), Search(Greedy(0.5)), Budget("macs", fraction=0.7))
    end = finished(perform((phase,), state, setup(digits)))
    assert not (end.learnt[first] == 0).any() and bool((end.learnt[second] == 0).any())
    assert {len(plan) for plan in asked[:2]} == {1}, "every layer is tried by itself first"


def test_widths_are_found_on_held_out_images_and_nothing_is_removed(
    digits: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = begun(residual())
    before, used = tensors(state.model), []
    real = found_by.predicting

    def predicting(model: nn.Module, data: Any, **more: Any) -> Any:
        used.append(data)
        return real(model, data, **more)

    monkeypatch.setattr(found_by, "predicting", predicting)
    monkeypatch.setattr(found_by, "EVERY", 0.0)
    without_test = Setup(digits[0], digits[0], digits[1], None, CONFIG, CONFIG.seed, "cpu")
    heard: list[Event] = []
    phases = (FindWidths(L1Norm(), Search(trials=5), HALF, images=60), Cut(Learnt(), Zeros()))
    end = finished(told(perform(phases, state, without_test), lambda event: heard.append(event) or ()))
    done = [event.state for event in heard if isinstance(event, Done)]
    assert not done[0].plan and done[0].model is state.model
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    held_out = digits[1].subset(60, CONFIG.seed)
    assert len(used) == 5 and all(torch.equal(data.images, held_out.images) for data in used)
    assert Plan({key: (v == 0).nonzero().flatten().tolist() for key, v in done[0].learnt.items()}) == end.plan
    assert 0.4 * state.network.cost().macs < state.network.cost(end.plan).macs <= 0.5 * state.network.cost().macs
    steps = [event.done for event in heard if isinstance(event, Progress) and event.unit == "trials"]
    assert steps == sorted(steps) and set(steps) == set(range(6)) and len(steps) > 15, "also inside each of them"
    with pytest.raises(ValueError, match="held-out images"):
        finished(perform(phases, state, dataclasses.replace(without_test, held_out=None)))


def test_every_network_is_tried_with_its_own_statistics(digits: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[dict[str, Tensor]] = []

    def judged(model: nn.Module, *_: Any) -> Any:
        yield from ()
        tried.append(tensors(model))
        return measured(0.5)

    monkeypatch.setattr(found_by, "_measured", judged)
    state = begun(residual())
    finished(perform((FindWidths(L1Norm(), Search(trials=3), HALF),), state, setup(digits)))
    means = [each["5.norm.running_mean"] for each in tried]
    assert len(means) == 3 and not torch.equal(means[0], means[1])
    assert all(not torch.equal(mean, state.model.state_dict()["5.norm.running_mean"]) for mean in means)


def test_what_the_budget_has_room_for_is_given_back_where_most_is_gone() -> None:
    state = begun(residual())
    pool = Pool.of(state.network, {g.key: torch.arange(g.size) for g in state.network.groups}, Limits())
    stream, first, second = pool.size
    full = state.network.cost().macs
    counts = given_back(pool, {stream: 4, first: 3, second: 2}, Budget("macs", amount=0.45 * full))
    assert pool.cost(counts).macs <= 0.45 * full and counts[stream] < 4
    assert all(pool.cost({**counts, key: counts[key] - 1}).macs > 0.45 * full for key in counts), "not one more"
    one = Budget("macs", amount=pool.cost({first: 2, second: 2}).macs)
    assert given_back(pool, {first: 3, second: 2}, one) == {first: 2, second: 2}, "a half is more than a fifth"
    assert given_back(pool, {first: 3, second: 2}, Budget("macs", fraction=1.0)) == {}


def test_a_budget_out_of_reach_is_said(digits: Parts) -> None:
    phase = FindWidths(L1Norm(), Search(trials=3), Budget("macs", fraction=0.001))
    with pytest.raises(UserError, match="cannot be reached"):
        finished(perform((phase,), begun(residual()), setup(digits)))
    with pytest.raises(UserError, match="in MACs or parameters"):
        finished(perform((dataclasses.replace(phase, budget=Budget("latency", fraction=0.5)),), begun(), setup(digits)))


# -- AutoSlim ----------------------------------------------------------------------------------------------------------


def test_a_narrow_network_is_the_one_without_the_smallest_filters() -> None:
    state = begun(residual())
    slim = Slimmable(state.model, state.network)
    x = torch.randn(4, 1, 8, 8)
    inner = state.network.groups[2].key
    norms = state.model.state_dict()["5.first.weight"].flatten(1).abs().sum(1)
    assert slim.order[inner].tolist() == norms.argsort(descending=True).tolist()
    plan = Plan({key: order[round(0.5 * len(order)) :].tolist() for key, order in slim.order.items()})
    narrow = functional_call(state.model, slim.evenly(0.5), (x,))
    assert torch.allclose(narrow, remove(state.model, state.network, plan).model(x), atol=1e-5)
    assert torch.allclose(functional_call(state.model, slim.evenly(1.0), (x,)), state.model(x))
    assert all(int((v != 0).any()) for v in slim.evenly(0.01).values() if v.dim() > 1), "one channel stays"


def test_a_sandwich_teaches_the_narrow_ones_what_the_widest_says() -> None:
    state = begun(residual())
    model = state.model.train()
    objective = Sandwich(narrowest=0.25, between=2).begin_on(model, state.network, {})
    x, y = torch.randn(16, 1, 8, 8), torch.arange(16) % 10
    calls: list[tuple[dict[str, Tensor], Tensor]] = []

    def forward(x: Tensor, overrides: Any = None) -> Tensor:
        out = functional_call(model, overrides, (x,)) if overrides else model(x)
        calls.append((overrides or {}, out))
        return out

    before = tensors(model)
    torch.manual_seed(3)
    total, main = objective.loss(forward, x, y)
    widest, narrowest, *others = [out for _, out in calls]
    assert len(others) == 2 and torch.allclose(main, F.cross_entropy(widest, y))
    soft = widest.detach().softmax(1)
    expected = main + sum(F.cross_entropy(out, soft) for out in (narrowest, *others))
    assert torch.allclose(total, expected)
    kept = [int((o["8.weight"] != 0).any(0).view(8, 4).any(1).sum()) for o, _ in calls[1:]]
    assert kept[0] == 2 and all(2 <= count <= 8 for count in kept)
    of_all, of_labels = (torch.autograd.grad(each, widest, retain_graph=True)[0] for each in (total, main))
    assert torch.allclose(of_all, of_labels, atol=1e-8), "the teacher learns nothing from its students"
    once = begun(residual()).model.train()
    once(x)
    after = tensors(model)
    moved = tensors(once)
    assert all(torch.equal(after[k], moved[k]) for k in after if "running" in k), "statistics are those of the widest"
    assert not torch.equal(before["1.running_mean"], after["1.running_mean"])
    with pytest.raises(ValueError, match="captured"):
        Sandwich().begin(model, {})


def test_the_narrowest_learns_and_is_shown(digits: Parts) -> None:
    fit, held_out, test = digits
    state = begun(residual())
    config = FineTune(epochs=3, batch_size=128, lr=0.05, device="cpu")

    def run(objective: Any) -> tuple[Any, list[float]]:
        training = fine_tune(
            state.model, fit, test, config, (WidthOrder(),), held_out, network=state.network, objective=objective
        )
        epochs = [event for event in training if isinstance(event, Epoch)]
        return training, [w.values[0] for w in epochs[-1].watched if w.key in ("widest", "narrowest")]

    training, sandwich = run(Sandwich())
    plain = run(None)[1]
    assert sandwich[0] > 0.6 and sandwich[1] > plain[1] + 0.1
    order = Slimmable(state.model, state.network).order
    for key, values in training.learnt.items():
        assert values.argsort(descending=True).tolist() == order[key].tolist(), "the order of the start"
    assert not training.best_model()._forward_pre_hooks and not state.model._forward_pre_hooks


def test_slimming_a_residual_network(digits: Parts) -> None:
    start, ends = performed(AutoSlim(), digits)
    trained, found, cut = ends[0].state, ends[1].state, ends[2].state
    for key, marks in found.learnt.items():
        order = trained.learnt[key].argsort()
        gone = int((marks == 0).sum())
        assert set((marks == 0).nonzero().flatten().tolist()) == set(order[:gone].tolist()), "a prefix stays"
    for key, units in cut.plan.items():
        assert start.network.cost(cut.plan.with_group(key, units[1:])).macs > 0.5 * start.network.cost().macs
    assert cut.plan and evaluate(ends[-1].state.model, digits[2], device="cpu").top1 > 0.4


# -- AutoCompress ------------------------------------------------------------------------------------------------------


def test_every_round_removes_the_same_share_of_what_is_left() -> None:
    goal = Goal(begun().network, Budget("macs", fraction=0.2))
    budgets = [p.budget.fraction for p in AutoCompress(rounds=3).phases(goal) if isinstance(p, FindWidths)]
    assert [1 - b / a for a, b in zip((1, *budgets), budgets)] == pytest.approx([0.4152] * 3, abs=1e-4)


def test_more_weights_never_a_lower_rate() -> None:
    """Rates .2 and .6 for 100 and 300 weights: the larger layer gets .6; scaled by .8 to remove 40 % of all."""
    kept = ordered((0.4, 0.8), (100, 300))
    assert kept == (0.8, 0.4) and ordered((0.8, 0.4), (100, 300)) == (0.8, 0.4)
    removed = (100 * (1 - kept[0]) + 300 * (1 - kept[1])) / 400
    assert removed == pytest.approx(0.5) and [0.4 / removed * (1 - k) for k in kept] == pytest.approx([0.16, 0.48])
    state = begun(residual())
    pool = Pool.of(state.network, {g.key: torch.rand(g.size) for g in state.network.groups}, Limits())
    walk = ExperiencedAnnealing().walk(Space(pool, 0.1, 8, (Budget("macs", 0.5),)), seed=1)
    draw = next(walk)
    full = state.network.cost().parameters
    weights = [g.size * (full - state.network.cost(Plan({g.key: (0,)})).parameters) for g in state.network.groups]
    for _ in range(5):
        draw = walk.send(_trial(draw.shares))
        by_weight = [share for _, share in sorted(zip(weights, draw.shares))]
        assert by_weight == sorted(by_weight, reverse=True) and len(set(by_weight)) > 1


def _trial(shares: tuple[float, ...]) -> Any:
    return Trial(0, shares, {}, {}, 1, 1, None, 0.5, True, True, 0.0)


def test_admm_goes_where_the_search_says_also_after_a_stop(digits: Parts, tmp_path: Path) -> None:
    state = begun(residual())
    phases = (
        FindWidths(L1Norm(), Search(ExperiencedAnnealing(), 4), HALF), Train(0.5, (NearFound(rho=0.1),), keep="last"),
        Cut(Learnt(), Zeros()), Train(0.5),
    )  # fmt: skip
    states = [event.state for event in perform(phases, state, setup(digits)) if isinstance(event, Done)]
    wanted = {key: int((v == 0).sum()) for key, v in states[0].learnt.items() if (v == 0).any()}
    assert {key: int((v == 0).sum()) for key, v in states[1].learnt.items()} == wanted
    assert {key: len(units) for key, units in states[2].plan.items()} == wanted
    assert NearFound(rho=0.1).given(states[0].learnt) == NearSparse(wanted, 0.1, 1.5)
    keeper = Keeper(tmp_path / "place.pt")
    run = perform(phases, state, setup(digits), keeper)
    next(event for event in run if isinstance(event, Epoch) and event.epoch == 1)
    run.close()
    end = finished(perform(phases, begun(residual()), setup(digits), keeper))
    assert end.plan == states[-1].plan and same(end.model, states[-1].model)


def test_compressing_a_residual_network(digits: Parts) -> None:
    _, ends = performed(AutoCompress(trials=5), digits)
    assert evaluate(ends[-1].state.model, digits[2], device="cpu").top1 > 0.4
