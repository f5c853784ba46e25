"""Channels that are closed, opened again and chosen anew while a network trains (CHEX)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods.channel_exploration import ChannelExploration, LeverageExploration, leverage
from pruning_core.methods.closing import Closing
from pruning_core.methods.exploring import regrowth, unexplained, widths
from pruning_core.methods.units import NO_SCALES, scales
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.hooks import HookSpec, Moment
from pruning_core.training.loop import fine_tune
from tests.core.small_programs import Parts, begun
from tests.core.small_residual import performed, residual

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = Budget("macs", fraction=0.5)


def moment(done: float, model: Any = None) -> Moment:
    return Moment(model, 1, 0, 1, done, 0.1)


# -- the paper's numbers -----------------------------------------------------------------------------------------------


def test_leverage_is_that_of_the_paper() -> None:
    """Rows here are columns there: [1, 1, 0]; and of two equal filters and a small one, the small one leads."""
    assert torch.allclose(leverage(torch.diag(torch.tensor([3.0, 2.0, 1.0])), 2), torch.tensor([1.0, 1, 0]).double())
    twice = torch.tensor([[3.0, 0, 0], [3, 0, 0], [0, 1, 0]])
    assert torch.allclose(leverage(twice, 2), torch.tensor([0.5, 0.5, 1]).double())
    rows = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))
    assert float(leverage(rows, 4).sum()) == pytest.approx(4)
    assert leverage(rows, 6).tolist() == [1] * 6, "all stay: nothing to tell apart"


def test_directions_beyond_the_rank_do_not_count_and_short_filters_are_judged_by_their_size() -> None:
    flat = torch.zeros(4, 9)
    flat[:, 0] = torch.tensor([1.0, 2, 3, 4])  # one direction alone: a second one were arbitrary
    assert torch.allclose(leverage(flat, 2), (flat[:, 0] / flat[:, 0].norm()).square().double())
    short = torch.tensor([[1.0], [-3.0], [2.0]])
    assert leverage(short, 1).tolist() == [1, 3, 2]


def test_fewer_channels_come_back_every_time() -> None:
    assert [regrowth(0.3, done) for done in (0, 0.5, 1)] == pytest.approx([0.3, 0.15, 0])


def test_what_kept_filters_can_make_is_no_loss() -> None:
    rows = torch.tensor([[2.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 5], [1, 0, 2]])
    assert torch.allclose(unexplained(rows, [0, 1]), torch.tensor([0.0, 0, 0, 5, 2]).double(), atol=1e-12)


def test_one_threshold_for_all_scales_says_how_wide_each_layer_is() -> None:
    state = begun(residual())
    found = scales(state.model, state.network)
    with torch.no_grad():
        for each in next(iter(found.values())):
            each.tensor[2:] = 0.01  # six of eight channels of the residual stream
    counts = widths(state.network, found, Budget("macs", fraction=0.4))
    first, *others = found
    assert counts[first] >= 5 and not any(counts.get(key, 0) for key in others)
    assert state.network.cost(Plan({k: range(n) for k, n in counts.items()})).macs <= 0.4 * state.network.cost().macs


# -- closing -----------------------------------------------------------------------------------------------------------


def closed_while_training(spec: HookSpec, digits: Parts, epochs: int = 1) -> tuple[Any, list[Epoch]]:
    fit, held_out, test = digits
    state = begun(residual())
    config = FineTune(epochs=epochs, batch_size=128, lr=0.05, weight_decay=0.05, device="cpu")
    training = fine_tune(state.model, fit, test, config, (spec,), held_out, network=state.network, keep="last")
    return training, [event for event in training if isinstance(event, Epoch)]


def test_a_closed_channel_is_a_removed_one() -> None:
    state = begun(residual())
    plan = {group.key: (0, 3) for group in state.network.groups}
    hook = Closing(state.model, state.network, plan)
    hook.close(plan)
    x = torch.randn(4, 1, 8, 8)
    shown = torch.func.functional_call(state.model, dict(hook.overrides(moment(0.5))), (x,))
    removed = remove(state.model, state.network, Plan(plan)).model
    assert torch.allclose(shown, removed(x), atol=1e-5) and not torch.allclose(shown, state.model(x), atol=1e-3)


def test_closed_channels_stand_still_and_come_back_as_they_were() -> None:
    state = begun(residual())
    model = state.model
    inner = state.network.groups[1].key
    hook = Closing(model, state.network, [group.key for group in state.network.groups])
    hook.close({inner: (1, 4)})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(2):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)  # what weight decay does to all of them
        hook.after_step(moment(0.2 + 0.1 * step))
    block: Any = model[3]
    still = before["3.first.weight"][[1, 4]], before["3.norm.bias"][[1, 4]], before["3.second.weight"][:, [1, 4]]
    hook.close({inner: ()})
    now = block.first.weight[[1, 4]], block.norm.bias[[1, 4]], block.second.weight[:, [1, 4]]
    assert all(torch.equal(one, other) for one, other in zip(still, now))
    assert torch.allclose(block.first.weight[0], 0.81 * before["3.first.weight"][0]), "others move"
    assert not hook.overrides(moment(0.5))
    with torch.no_grad():
        block.first.weight.mul_(0.5)
    hook.after_step(moment(0.6))
    assert torch.allclose(block.first.weight[1], 0.5 * before["3.first.weight"][1]), "open again, they learn again"


# -- exploring ---------------------------------------------------------------------------------------------------------


def test_channels_grow_again_with_their_last_weights_and_the_last_structure_stays() -> None:
    state = begun(residual())
    hook: Any = LeverageExploration(HALF, rounds=6, regrown=0.4).begin(state.model, state.network)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    torch.manual_seed(0)
    opens = []
    for done in (0.1, 0.2, 0.4, 0.6, 0.8, 0.9):
        hook.after_step(moment(done, state.model))
        opens.append({key: opened.clone() for key, opened in hook.opened.items()})
    hook.epoch_end(moment(1.0, state.model))
    opens.append({key: opened.clone() for key, opened in hook.opened.items()})
    shares = [float(torch.cat(list(each.values())).float().mean()) for each in opens]
    assert shares[0] == 1 and shares[1] > shares[4] >= shares[-1]
    assert any(bool((late[key] & ~early[key]).any()) for early, late in pairwise(opens) for key in late)
    assert float(hook.watched(moment(1.0))["regrown"]) == 0
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items()), "none is reset"
    plan = Plan({key: (values == 0).nonzero().flatten().tolist() for key, values in hook.learnt().items()})
    assert 0.3 * state.network.cost().macs < state.network.cost(plan).macs <= 0.5 * state.network.cost().macs
    hook.epoch_end(moment(1.0, state.model))
    assert all(torch.equal(opened, opens[-1][key]) for key, opened in hook.opened.items()), "no round is made twice"


def test_what_was_seen_of_the_exploration_is_what_was_done(digits: Parts) -> None:
    training, epochs = closed_while_training(LeverageExploration(HALF, rounds=4, regrown=0.5), digits, epochs=2)
    seen = [{watched.key: watched.values[0] for watched in epoch.watched} for epoch in epochs]
    assert seen[0]["open"] == 1 and seen[1]["open"] > seen[2]["open"] and seen[1]["regrown"] > 0 == seen[2]["regrown"]
    values = torch.cat(list(training.learnt.values()))
    assert float((values == 1).float().mean()) == pytest.approx(seen[2]["open"])


def test_exploring_a_residual_network(digits: Parts) -> None:
    state, ends = performed(ChannelExploration(), digits)
    explored, cut = ends[0].state, ends[1].state
    assert Plan({key: (v == 0).nonzero().flatten().tolist() for key, v in explored.learnt.items()}) == cut.plan
    with torch.no_grad():
        x = digits[2].normalised(digits[2].images[:32])
        assert torch.allclose(explored.model(x), cut.model(x), atol=1e-4), "what was closed was not there any more"
    assert len({len(units) for units in cut.plan.values()}) > 1 or len(cut.plan) < len(state.network.groups)
    assert evaluate(ends[-1].state.model, digits[2], device="cpu").top1 > 0.4
    bare = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()
    assert ChannelExploration().obstacle(capture(bare, torch.zeros(1, 1, 8, 8))) == NO_SCALES
