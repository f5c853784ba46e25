"""Channel gating: decisions for every output and pixel, counted as what they leave out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.graph.edits import edited
from pruning_core.graph.gated import ChannelGated, Decision, GateChannels
from pruning_core.measuring.gates import counting
from pruning_core.methods.base import Goal
from pruning_core.methods.channel_gating import ChannelGating, GateTraining, Gating
from pruning_core.methods.normed import HAS_GATES
from pruning_core.methods.perform import perform
from pruning_core.methods.rebuilding import Target
from pruning_core.training.recalibrate import recalibrate
from pruning_core.work import finished
from tests.core.small_programs import Parts, begun, blocks, moment, network, seen_by, setup, trained

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = torch.zeros(1, 1, 8, 8)
NEVER, ALWAYS = float("inf"), float("-inf")


def gated(threshold: float = 0.0, parts: int = 4) -> nn.Module:
    return edited(network(), (GateChannels("3", parts, threshold),)).eval()


def by_hand(partial: list[float], rest: list[float], threshold: float) -> ChannelGated:
    """Two inputs and two outputs at one pixel, which are to be (1, 1): sums are the weights."""
    layer = ChannelGated(nn.Conv2d(2, 2, 1, bias=False), 2, threshold).eval()
    with torch.no_grad():
        layer.base.weight.copy_(torch.tensor(partial)[:, None, None, None])
        layer.rest.weight.copy_(torch.tensor(rest)[:, None, None, None])
    return layer


def test_the_rest_is_added_where_the_partial_sum_exceeds_the_threshold() -> None:
    layer = by_hand([0.2, -1.0], [5.0, 5.0], 0.0)
    assert layer(torch.ones(1, 2, 1, 1)).flatten().tolist() == pytest.approx([5.2, -1.0])


def test_it_is_the_normalised_sum_that_is_compared_and_every_channel_has_its_threshold() -> None:
    layer, x = by_hand([0.2, -1.0], [5.0, 5.0], 0.0), torch.ones(1, 2, 1, 1)
    layer.norm.running_mean.copy_(torch.tensor([1.0, -2.0]))
    assert layer(x).flatten().tolist() == pytest.approx([0.2, 4.0])
    with torch.no_grad():
        layer.decision.threshold.copy_(torch.tensor([-1.0, 1.5]))
    assert layer(x).flatten().tolist() == pytest.approx([5.2, -1.0])


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_with_every_gate_open_it_is_the_dense_convolution_and_with_none_its_first_part(parts: int) -> None:
    model, x = network(), torch.rand(4, 1, 8, 8)
    assert torch.allclose(gated(ALWAYS, parts)(x), model(x), atol=1e-5)
    with torch.no_grad():
        model[3].weight[:, 8 // parts :] = 0
    assert torch.allclose(gated(NEVER, parts)(x), model(x), atol=1e-5)
    assert not torch.allclose(gated(0.0, parts)(x), model(x), atol=1e-3)


def test_the_step_is_exact_and_its_gradients_are_those_of_a_sigmoid() -> None:
    decision = Decision(1, 0.5).train()
    z = torch.tensor([-3.0, 0.4, 0.5, 0.6, 3.0])[:, None, None, None].requires_grad_()
    d = decision(z)
    assert d.flatten().tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    d.sum().backward()
    smooth = (z.detach() - 0.5).sigmoid()
    assert torch.allclose(z.grad, smooth * (1 - smooth))
    assert torch.allclose(decision.threshold.grad, -z.grad.sum().view(1))
    assert torch.equal(decision.eval()(z), d) and not decision(z).requires_grad


def test_macs_are_those_of_the_decisions(digits: Parts) -> None:
    """1/p of the layer always, and of the others the share of outputs for which it was decided."""
    model = gated(0.0)
    kept = model[3].decision.register_forward_hook(lambda module, given, made: seen.append(made.mean((1, 2, 3))))
    seen: list[torch.Tensor] = []
    images = digits[2].subset(32, 0)
    gates = finished(counting(model, capture(model, IMAGE), images, device="cpu"))
    kept.remove()
    seen.clear()
    with torch.no_grad():
        x = model[:3](images.normalised(images.images))
        decided = model[3].decision(model[3].norm(model[3].base(x[:, :2])))
    (layer,) = gates.layers
    assert layer.dense == 4 * layer.always == 64 * 12 * 8 * 9 and gates.other == 64 * 8 * 9 + 48 * 10
    expected = layer.dense * (1 / 4 + 3 / 4 * decided.double().mean((1, 2, 3)))[gates.indices]
    assert torch.allclose(layer.used, expected) and torch.allclose(layer.ran, decided.mean((2, 3))[gates.indices])
    assert 0.3 * layer.dense < float(layer.used.mean()) < 0.99 * layer.dense
    assert float(layer.used.std()) > 0
    for threshold, share in ((NEVER, 0.25), (ALWAYS, 1.0)):
        end = gated(threshold)
        gates = finished(counting(end, capture(end, IMAGE), images, device="cpu"))
        assert gates.layers[0].used.tolist() == [share * layer.dense] * 32


def test_thresholds_rise_to_their_target_and_are_learned(digits: Parts) -> None:
    spec = GateTraining(target=1.0)
    training, epochs = trained(spec, digits, gated(1.0), epochs=5)
    shares = [seen_by(epoch, "open")[0] for epoch in epochs]
    assert [seen_by(epoch, "threshold")[0] for epoch in epochs[:2]] == pytest.approx([-3, -3 + 4 / 3], abs=0.1)
    assert shares[0] > 0.9 and shares[1] > shares[-1] and 0.02 < shares[-1] < 0.6
    learned = training.best_model()[3].decision.threshold.detach()
    assert len(set(learned.tolist())) == 12 and float((learned - 1.0).abs().max()) < 1.5
    hook = spec.begin(model := gated(1.0), begun().network)
    moments = [moment(model, done=done) for done in (0, 0.3, 0.6, 1)]
    rising = [hook.overrides(each)["3.decision.threshold"].detach()[0].item() for each in moments]
    assert rising == pytest.approx([-3, -1, 1, 1])
    hook.stop(model)
    assert not model[3].decision._forward_hooks


def test_the_penalty_is_the_squared_distance_from_the_target(digits: Parts) -> None:
    model = gated(1.0)
    hook = GateTraining(target=-1.0, strength=0.01).begin(model, begun().network)
    assert float(hook.penalty(moment(model)).detach()) == pytest.approx(0.01 * 12 * 4)
    near, _ = trained(GateTraining(-1.0, strength=0.5), digits, gated(1.0))
    far, _ = trained(GateTraining(-1.0, strength=0.0), digits, gated(1.0))
    ends = [each.best_model()[3].decision.threshold.detach().mean() for each in (near, far)]
    assert float(ends[0]) < -0.5 and float(ends[1]) > 0.5


def test_a_higher_target_leaves_more_out(digits: Parts) -> None:
    def average(target: float) -> float:
        state = begun(blocks())
        phases = tuple(ChannelGating(target=target).phases(Goal(state.network, Budget("macs", fraction=0.5))))
        end = finished(perform(phases[:2], state, setup(digits)))
        assert len(end.edits) == 13 and not any(edit.layer == "conv1" for edit in end.edits)
        gates = finished(counting(end.model, end.network, digits[2].subset(64, 0), device="cpu"))
        return gates.average(digits[2]).mean / state.network.cost().macs

    found = [average(target) for target in (-4.0, 0.0, 4.0)]
    assert found[0] > 0.95 > found[1] > 0.45 > found[2] > 0.25


def test_the_first_layer_stays_whole_whatever_it_reads(digits: Parts) -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 3)).eval()
    work = Gating(4, 0.5).edits(model, capture(model, torch.zeros(1, 4, 8, 8)), Target("macs", 1.0), digits[0], 0)
    assert finished(work) == (GateChannels("2", 4, 0.5),)


def test_the_norm_of_the_partial_sums_gets_statistics(digits: Parts) -> None:
    images = digits[0].subset(128, 0)
    model = recalibrate(gated(0.0), [images.normalised(images.images)])
    with torch.no_grad():
        normal = model[3].norm(model[3].base(model[:3](images.normalised(images.images))[:, :2]))
    assert torch.allclose(normal.mean((0, 2, 3)), torch.zeros(12), atol=0.01)
    assert torch.allclose(normal.std((0, 2, 3)), torch.ones(12), atol=0.01)


def test_what_it_cannot_do_is_said(digits: Parts) -> None:
    odd = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.Flatten(), nn.Linear(128, 3)).eval()
    assert "4 equal parts" in ChannelGating().obstacle(capture(odd, IMAGE))
    assert not ChannelGating(parts=2).obstacle(capture(odd, IMAGE)) and not ChannelGating().obstacle(begun().network)
    assert ChannelGating().obstacle(capture(gated(), IMAGE)) == HAS_GATES
    with pytest.raises(UserError, match="no channel gates"):
        GateTraining().begin(network(), begun().network)
    with pytest.raises(UserError, match="cannot be divided into 3 parts"):
        edited(network(), (GateChannels("3", 3, 0.0),))
    with pytest.raises(UserError, match="no plain convolution"):
        edited(network(), (GateChannels("4", 2, 0.0),))


def test_the_step_and_its_gradients_are_those_of_the_operators_it_stands_for() -> None:
    torch.manual_seed(0)
    decision = Decision(3, 0.2).train()
    z = torch.randn(4, 3, 5, 5, requires_grad=True)
    z.data[0, 0, 0, 0] = 0.2  # at its threshold: not above it
    pull = torch.randn(4, 3, 5, 5)
    decided = decision(z)
    assert decided[0, 0, 0, 0] == 0 and 0 < decided.mean() < 1
    found = torch.autograd.grad(decided, (z, decision.threshold), pull)
    above = z - decision.threshold[:, None, None]
    smooth = above.sigmoid()
    by_hand = torch.zeros_like(above).masked_fill(above > 0, 1.0) + (smooth - smooth.detach())
    assert torch.equal(decided, by_hand)
    expected = torch.autograd.grad(by_hand, (z, decision.threshold), pull)
    assert torch.equal(found[0], expected[0]) and torch.allclose(found[1], expected[1], rtol=1e-6)
    assert bool(found[0].any()) and bool(found[1].all())
