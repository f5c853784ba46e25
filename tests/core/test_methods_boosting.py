"""Feature boosting and suppression: every image chooses its channels, within a budget, counted as by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.datasets import DIGITS, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.graph.edits import edited
from pruning_core.graph.gated import Boost, Boosted, TopChannels, share_open
from pruning_core.measuring.gates import GatedLayer, Gates, counting, gated
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.feature_boosting import Boosting, BoostTraining, FeatureBoosting
from pruning_core.methods.normed import HAS_GATES, Normed, normed
from pruning_core.methods.perform import perform
from pruning_core.methods.phases import Phase
from pruning_core.methods.rebuilding import Target
from pruning_core.methods.state import State
from pruning_core.work import finished
from tests.core.small_programs import Parts, begun, blocks, moment, network, seen_by, setup, trained

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = torch.zeros(1, 1, 8, 8)
BOOST = Boost("3", "4", 0.5)


def lively() -> nn.Module:
    """Its norms do something, as those of a trained network."""
    model = network()
    with torch.no_grad():
        for norm in (model[1], model[4]):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape))
    return model


def boosted(density: float = 0.5) -> nn.Module:
    return edited(lively(), (Boost("3", "4", density),)).eval()


def program(method: Method, state: State, share: float = 0.6) -> tuple[Phase, ...]:
    return tuple(method.phases(Goal(state.network, Budget("macs", fraction=share))))


# -- channels of an image ----------------------------------------------------------------------------------------------


def test_the_largest_half_stays_and_all_others_are_exactly_zero() -> None:
    g = torch.tensor([[0.1, 0.9, 0.5, 0.0]])
    assert torch.equal(TopChannels(share_open(0.5, 4))(g), torch.tensor([[0.0, 0.9, 0.5, 0.0]]))
    assert torch.equal(TopChannels(3)(torch.tensor([[-1.0, 0.5, -2.0]])), torch.tensor([[0.0, 0.5, 0.0]]))
    assert torch.equal(TopChannels(4)(g), g) and [share_open(d, 7) for d in (0.01, 3 / 7, 0.5, 1.0)] == [1, 3, 4, 7]


def test_every_image_chooses_for_itself() -> None:
    g = torch.tensor([[5.0, 4.0, 3.0, 2.0], [0.1, 0.2, 0.3, -1.0]])
    expected = torch.tensor([[5.0, 4.0, 0.0, 0.0], [0.0, 0.2, 0.3, 0.0]])
    assert torch.equal(TopChannels(2)(g), expected)
    layer, x = boosted()[3], torch.rand(6, 8, 8, 8)
    assert torch.allclose(layer(x), torch.cat([layer(each[None]) for each in x]), atol=1e-6)


def test_the_choice_has_no_gradient_and_what_was_chosen_has() -> None:
    g = torch.tensor([[0.1, 0.9, 0.5, 0.3]], requires_grad=True)
    TopChannels(2)(g).sum().backward()
    assert torch.equal(g.grad, torch.tensor([[0.0, 1.0, 1.0, 0.0]]))


def test_outputs_of_closed_channels_are_exactly_zero_in_front_of_the_next_layer() -> None:
    layer, x = boosted()[3], torch.rand(5, 8, 8, 8)
    chosen = layer.choice(layer.gate(x.mean((2, 3))))
    closed = layer(x)[chosen == 0]
    assert bool((closed == 0).all()) and len(closed) >= 5 * 6 and bool((layer(x)[chosen > 0] != 0).any())
    assert torch.equal(torch.relu(layer(x))[chosen == 0], closed), "nothing is added behind the gate"


def test_with_every_channel_open_and_gates_of_one_it_is_the_dense_network() -> None:
    model, x = lively(), torch.rand(4, 1, 8, 8)
    whole = boosted(1.0)
    with torch.no_grad():
        whole[3].gate.weight.zero_()
        assert torch.allclose(whole(x), model(x), atol=1e-6)
        whole[3].choice.kept.fill_(6)
        assert not torch.allclose(whole(x), model(x), atol=1e-3)
    assert type(model[3]) is nn.Conv2d and type(model[4]) is nn.BatchNorm2d


def test_convolutions_and_their_norms_are_found_by_running() -> None:
    class Crossed(nn.Module):
        """Its norms stand in another order than its convolutions; some have no partner of their own."""

        def __init__(self) -> None:
            super().__init__()
            self.b2, self.b1 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
            self.a, self.b, self.c, self.d, self.e = (nn.Conv2d(i, 4, 1) for i in (1, 4, 4, 4, 4))
            self.deep = nn.Conv2d(4, 4, 1, groups=4)
            self.b3, self.twice, self.also, self.beside = (nn.BatchNorm2d(4) for _ in range(4))
            self.twice.weight.data.fill_(2.0)
            self.beside.weight.data.fill_(3.0)

        def forward(self, x: Tensor) -> Tensor:
            x = self.b1(self.a(x))
            x = self.b2(self.b(x)) + self.c(x)
            x = self.b3(self.deep(x))
            x = self.twice(d := self.d(x)) + self.also(d)
            return (self.beside(e := self.e(x)) + e).mean((2, 3))

    model = Crossed().eval()
    assert normed(model, capture(model, IMAGE)) == [Normed("a", "b1"), Normed("b", "b2")]
    assert [pair.conv for pair in normed(blocks(), begun(blocks()).network)][:3] == [
        "conv1", "layer1.0.conv1", "layer1.0.conv2",
    ]  # fmt: skip


# -- a budget ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_every_image_keeps_to_the_budget(share: float, digits: Parts) -> None:
    state = begun(blocks())
    end = finished(perform(program(FeatureBoosting(), state, share)[:1], state, setup(digits)))
    gates = finished(counting(end.model, end.network, digits[2], device="cpu"))
    limit = share * state.network.cost().macs
    assert float(gates.macs.max()) <= limit and len(end.edits) == 13
    (density,) = {edit.density for edit in end.edits if isinstance(edit, Boost)}
    widths = [(layer.dense, layer.ran.shape[1]) for layer in gates.layers]
    wider = sum(dense * share_open(density + 1 / 16, width) / width for dense, width in widths)
    assert gates.other + wider > limit, "one step more, of the 16 that the widest layers have, would be too much"
    assert gated(end.model) and not gated(state.model)


def test_the_gates_themselves_are_in_the_budget() -> None:
    state = begun(blocks())
    pairs = normed(state.model, state.network)[1:]
    half = edited(state.model, tuple(Boost(pair.conv, pair.norm, 0.5) for pair in pairs))
    costs = {layer.name: layer.macs for layer in capture(half, IMAGE).layer_costs()}
    limit = sum(macs / 2 if name.endswith(".conv") else macs for name, macs in costs.items())
    assert Boosting().density(state.model, state.network, pairs, limit) == 0.5
    assert Boosting().density(state.model, state.network, pairs, limit - 1) == 7 / 16


def test_what_is_out_of_reach_is_said(digits: Parts) -> None:
    state = begun(blocks())
    with pytest.raises(UserError, match="Even with one open channel"):
        finished(perform(program(FeatureBoosting(), state, 0.05), state, setup(digits)))
    with pytest.raises(UserError, match="budget in MACs only"):
        finished(Boosting().edits(state.model, state.network, Target("parameters", 1e9), digits[0], 0))
    with pytest.raises(UserError, match="budget in MACs only"):
        tuple(FeatureBoosting().phases(Goal(state.network, Budget("parameters", fraction=0.5))))
    bare = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten()).eval()
    assert "none behind its first" in FeatureBoosting().obstacle(capture(bare, IMAGE))
    assert FeatureBoosting().obstacle(capture(boosted(), IMAGE)) == HAS_GATES
    with pytest.raises(UserError, match="none behind its first"):
        BoostTraining().begin(network(), begun().network)


# -- counted -----------------------------------------------------------------------------------------------------------


def test_macs_are_counted_as_by_hand(digits: Parts) -> None:
    """Two layers: an ungated 1 -> 2 one whose second channel is zero, and a gated 2 -> 4 one with two gates open."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10),
    ).eval()  # fmt: skip
    model = edited(model, (Boost("3", "4", 0.5),)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 1.0])[:, None, None, None])
        model[0].bias.copy_(torch.tensor([10.0, -100.0]))
        model[3].gate.weight.zero_()
        model[3].gate.bias.copy_(torch.tensor([0.1, 0.9, 0.5, 0.0]))
    work = counting(model, capture(model, IMAGE), digits[2], images=20, device="cpu")
    assert next(work) == 20 and not model[3].choice._forward_hooks, "others who use it notice nothing"
    gates = finished(work)
    (layer,) = gates.layers
    assert layer.name == "3" and layer.dense == 64 * 4 * 2 and layer.used.tolist() == [64 * 2 * 1] * 20
    assert layer.ran.tolist() == [[0.0, 1.0, 1.0, 0.0]] * 20
    assert gates.other == 64 * 2 + 2 * 4 + 4 * 10
    assert gates.macs.tolist() == [128 + 8 + 40 + 128] * 20 and sorted(set(gates.indices.tolist())) != [0]
    average = gates.average(digits[2])
    assert (average.mean, average.p10, average.p90, average.images) == (304, 304, 304, 20)
    with pytest.raises(ValueError, match="no gates"):
        finished(counting(network(), begun().network, digits[2]))


def test_images_need_different_amounts_and_the_middle_is_told() -> None:
    used = torch.arange(11, dtype=torch.float64)
    gates = Gates(torch.arange(11), torch.ones(11).bool(), (GatedLayer("a", 10, used, torch.ones(11, 2)),), 100)
    average = gates.average(load_splits(DIGITS)[1])
    assert (average.mean, average.p10, average.p90, average.images) == (105.0, 101.0, 109.0, 11)
    assert average.dataset.endswith("(test)")


# -- trained -----------------------------------------------------------------------------------------------------------


def test_channels_close_while_it_trains_and_the_gates_are_watched(digits: Parts) -> None:
    training, epochs = trained(BoostTraining(), digits, boosted(0.5), epochs=5)
    shares = [seen_by(epoch, "open")[0] for epoch in epochs]
    assert shares[0] > 0.95 and shares[-1] <= 0.5 and shares == sorted(shares, reverse=True)
    end = training.best_model()
    assert int(end[3].choice.kept) == 6 and isinstance(end[3], Boosted)
    hook = BoostTraining().begin(boosted(0.5), begun().network)
    kept = [int(hook.overrides(moment(boosted(), done=done))["3.choice.kept"]) for done in (0, 0.3, 0.59, 0.6, 1)]
    assert kept == [12, 9, 7, 6, 6]


def test_the_penalty_is_the_mean_of_the_sum_of_gates(digits: Parts) -> None:
    model, x = boosted().train(), torch.rand(4, 1, 8, 8)
    hook = BoostTraining(0.01).begin(model, begun().network)
    hook.overrides(moment(model))
    model(x)
    g = torch.relu(model[3].gate(torch.relu(model[1](model[0](x))).mean((2, 3))))
    assert float(hook.penalty(moment(model)).detach()) == pytest.approx(0.01 * float(g.detach().sum()) / 4, rel=1e-4)
    hook.stop(model)
    assert not model[3].choice._forward_hooks
    small, _ = trained(BoostTraining(1e-2), digits, boosted())
    free, _ = trained(BoostTraining(0.0), digits, boosted())
    assert small.best_model()[3].gate.bias.mean() < free.best_model()[3].gate.bias.mean()
