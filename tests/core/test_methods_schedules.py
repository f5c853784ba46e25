"""Methods that are an order of cuts: layer by layer, stage by stage, and a few channels between updates."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import Plan, capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.layer_by_layer import LayerByLayer
from pruning_core.methods.link_pruning import LinkPruning, stages
from pruning_core.methods.phases import Cut, Mend, Recover, Train, Widths
from pruning_core.methods.state import State
from pruning_core.methods.transfer_pruning import TaylorSteps, TransferPruning, comparable
from pruning_core.training.hooks import Moment
from tests.core.small_programs import Parts, begun
from tests.core.small_residual import performed, residual

pytestmark = pytest.mark.usefixtures("one_thread")


def chain(layers: int) -> State:
    """So many convolutions after the other, whose channels are groups of their own."""
    parts: list[nn.Module] = []
    for number in range(layers):
        parts += [nn.Conv2d(10 if number else 1, 10, 3, padding=1), nn.ReLU()]
    return begun(nn.Sequential(*parts, nn.Flatten(), nn.Linear(640, 10)).eval())


def goal(state: State, fraction: float = 0.5) -> Goal:
    return Goal(state.network, Budget("macs", fraction=fraction))


# -- layer by layer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "kind"), [("mending", Mend), ("statistics", Recover), ("training", Train)])
def test_each_layer_is_made_good_before_the_next_is_judged(after: str, kind: type) -> None:
    state = begun(residual())
    *phases, last = LayerByLayer(after=after).phases(goal(state))
    assert [type(phase) for phase in phases] == [Cut, kind] * 3 and isinstance(last, Train)
    cut = [
        key for phase in phases if isinstance(phase, Cut) and isinstance(phase.to, Widths) for key in phase.to.counts
    ]
    assert cut == [group.key for group in state.network.groups], "in the order of the network, coupled layers at once"
    trained = [phase.share for phase in (*phases, last) if isinstance(phase, Train)]
    assert sum(trained) == pytest.approx(1)


def test_a_later_layer_is_judged_as_it_is_after_the_earlier_ones(digits: Parts) -> None:
    state, ends = performed(LayerByLayer(), digits)
    first = ends[0].state
    assert len(first.plan) == 1 and {*first.plan} == {state.network.groups[0].key}
    reader: Any = ends[1].state.model[3]
    assert not torch.equal(reader.first.weight, first.model.get_submodule("3").first.weight), "mended"
    norms = ends[3].state.model[3].first.weight.flatten(1).abs().sum(1)  # after the second cut and its mending
    assert len(norms) < 6
    before = ends[1].state.model[3].first.weight.flatten(1).abs().sum(1)
    gone = set(ends[2].state.plan[state.network.groups[1].key])
    assert gone == set(before.argsort()[: len(gone)].tolist())


# -- stage by stage ----------------------------------------------------------------------------------------------------


def test_stages_are_consecutive_and_merge_two_by_two() -> None:
    keys = [f"layer{number}" for number in range(9)]
    parts = [stages(keys, count) for count in (4, 2, 1)]
    assert [len(each) for each in parts] == [4, 2, 1] and all(sum(each, ()) == tuple(keys) for each in parts)
    assert stages(keys[:2], 4) == [("layer0",), ("layer1",)] and stages([], 4) == []


def test_every_channel_is_judged_in_every_round_and_every_round_removes_the_same_share() -> None:
    state = chain(6)
    phases = tuple(LinkPruning().phases(goal(state, 0.125)))
    cuts: list[list[Widths]] = [[]]
    for phase in phases:
        if isinstance(phase, Train):
            cuts.append([])
        elif isinstance(phase, Cut) and isinstance(phase.to, Widths):
            cuts[-1].append(phase.to)
    assert [len(each) for each in cuts[:-1]] == [4, 2, 1] and not cuts[-1]
    left = []
    for each in cuts[:-1]:
        counts = {key: count for widths in each for key, count in widths.counts.items()}
        assert set(counts) == {group.key for group in state.network.groups}
        gone = Plan({key: range(count) for key, count in counts.items()})
        left.append(state.network.cost(gone).macs / state.network.cost().macs)
    assert all(share <= 0.5**number and share > 0.5**number - 0.12 for number, share in enumerate(left, 1))


def test_it_says_that_nobody_published_it() -> None:
    card = LinkPruning.card
    assert card.paper is None and not card.published and "without a paper" in card.name


# -- between updates ---------------------------------------------------------------------------------------------------


def test_what_only_the_old_task_needed_goes_first(digits: Parts) -> None:
    """Channels that these data never excite have no effect on their loss, however large their weights are."""
    model: Any = residual().train()
    with torch.no_grad():
        model[5].norm.bias[[2, 7]] = -50.0
        model[5].second.weight[:, [2, 7]] *= 30
    state = begun(model.eval())
    hook: Any = TaylorSteps(Budget("macs", fraction=0.97), rounds=1).begin(model, state.network)
    inner = state.network.groups[2].key
    x, y = digits[0].normalised(digits[0].images[:64]), digits[0].labels[:64]
    for part in (slice(0, 32), slice(32, 64)):
        model.zero_grad()
        nn.functional.cross_entropy(model(x[part]), y[part]).backward()
        hook.after_backward(Moment(model, 1, 0, 2, 0.0, 0.1))
    hook.epoch_end(Moment(model, 1, 2, 2, 1.0, 0.1))
    closed = {key: (~opened).nonzero().flatten().tolist() for key, opened in hook.opened.items()}
    assert set(closed[inner]) & {2, 7} and not any(units for key, units in closed.items() if key != inner)


def test_effects_are_absolute_for_each_batch_and_divided_by_their_layers_norm() -> None:
    """Two gates with slopes +1 and -1, and 2 and 2: added up before the absolute value the first were zero."""
    model: Any = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1, bias=False)).eval()
    state = begun_with(model)
    hook: Any = TaylorSteps(rounds=2).begin(model, state.network)
    with torch.no_grad():
        model[3].weight.copy_(torch.tensor([[1.0, 2.0]]))
    for slope in ([1.0, 1.0], [-1.0, 1.0]):
        model[3].weight.grad = torch.tensor([slope])
        hook.after_backward(Moment(model, 1, 0, 2, 0.0, 0.1))
    (effects,) = hook._effects.values()
    assert effects.tolist() == [2, 4]
    resumed: Any = TaylorSteps(rounds=2).begin(model, state.network)
    resumed.load(hook.state())
    assert [values.tolist() for values in resumed._effects.values()] == [[2, 4]]
    fair = comparable(torch.tensor([3.0, 5.0, 4.0]), torch.tensor([True, False, True]))
    assert fair.tolist() == pytest.approx([0.6, -1, 0.8]), "what is closed ranks below everything open"


def begun_with(model: nn.Module) -> State:
    return State.of(model, capture(model, torch.zeros(1, 1, 1, 1)))


def test_what_is_closed_stays_closed_and_every_step_takes_some() -> None:
    state = begun(residual())
    hook: Any = TaylorSteps(rounds=4).begin(state.model, state.network)
    seen = []
    for number in range(1, 5):
        generator = torch.Generator().manual_seed(number)
        hook._effects = {key: torch.rand(len(v), generator=generator).double() for key, v in hook._effects.items()}
        hook.round(number)
        seen.append({key: opened.clone() for key, opened in hook.opened.items()})
    for early, late in pairwise(seen):
        assert all(not (late[key] & ~early[key]).any() for key in late)
        assert sum(int(v.sum()) for v in late.values()) < sum(int(v.sum()) for v in early.values())


def test_the_network_adapts_before_anything_goes() -> None:
    first, second, *_ = TransferPruning().phases(goal(begun(residual())))
    assert isinstance(first, Train) and not first.hooks and isinstance(second, Train) and second.hooks


@pytest.mark.parametrize("method", [TransferPruning(), LinkPruning()], ids=lambda m: m.card.key)
def test_a_residual_network_is_pruned(method: Method, digits: Parts) -> None:
    assert evaluate(performed(method, digits)[1][-1].state.model, digits[2], device="cpu").top1 > 0.4
