"""One layer cut at every granularity: which weights go, what that costs, and what is timed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pruning_core.analysis import one_layer
from pruning_core.analysis.slider import Slider
from pruning_core.datasets import DIGITS, hold_out, load_splits
from pruning_core.graph import capture
from pruning_core.measuring.beside import ROUNDS
from pruning_core.sparsity import grains
from pruning_core.sparsity.grains import Grain
from pruning_core.zoo import DEMOS, load_model

WEIGHT = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(3))
BLOCKS = {
    Grain.ELEMENT: lambda m: m.reshape(-1, 1),
    Grain.VECTOR: lambda m: m.reshape(-1, 3),
    Grain.COLUMN: lambda m: m.flatten(1).T,
    Grain.KERNEL: lambda m: m.reshape(-1, 9),
    Grain.FILTER: lambda m: m.flatten(1),
    Grain.LAYER: lambda m: m.reshape(1, -1),
}


@pytest.mark.parametrize("grain", list(Grain))
@pytest.mark.parametrize("ratio", [0.5, 0.75])
def test_whole_blocks_go_and_never_more_than_asked(grain, ratio):
    ratio = min(max(ratio, grains.least(grain)), grains.most(grain))
    mask = grains.mask(grain, WEIGHT, ratio)
    zeros = 1 - float(mask.double().mean())
    size = BLOCKS[grain](mask).shape[1] if grain in BLOCKS else 9
    assert zeros >= ratio - size / WEIGHT.numel() - 1e-9
    if grain is not Grain.PATTERN:  # its inside alone says five of nine
        assert zeros <= ratio + 1e-9
    if grain in BLOCKS:
        rows = BLOCKS[grain](mask)
        assert bool((rows.all(1) | ~rows.any(1)).all()), "all of a block or nothing"
        worth = BLOCKS[grain](WEIGHT.abs()).double().mean(1)
        if rows.any() and not rows.all():
            assert worth[rows.all(1)].min() >= worth[~rows.any(1)].max(), "the largest stay"


def test_two_of_four_along_the_input_channels_and_patterns_of_four():
    mask = grains.mask(Grain.N_OF_M, WEIGHT, 0.5)
    assert bool((mask.movedim(1, -1).reshape(-1, 4).sum(1) == 2).all())
    kept = grains.mask(Grain.PATTERN, WEIGHT, grains.least(Grain.PATTERN)).reshape(-1, 9)
    assert bool((kept.sum(1) == 4).all()) and bool(kept[:, 4].all())


def test_a_layer_that_does_not_fit_says_so():
    assert "fours" in grains.obstacle(Grain.N_OF_M, torch.zeros(8, 3, 3, 3))
    assert "3 × 3" in grains.obstacle(Grain.PATTERN, torch.zeros(8, 4, 1, 1))
    assert "kernels" in grains.obstacle(Grain.KERNEL, torch.zeros(8, 4))
    with pytest.raises(ValueError, match="fours"):
        grains.mask(Grain.N_OF_M, torch.zeros(8, 3, 3, 3), 0.5)


def test_bytes_by_hand():
    mask = torch.zeros(4, 2, 1, 1, dtype=torch.bool)
    mask[0, :], mask[2, 1] = True, True
    found = one_layer.stored(torch.ones(4, 2, 1, 1), mask)
    assert found == one_layer.Stored(dense=32, bitmask=1 + 12, csr=3 * 8 + 5 * 4, smaller=2 * 2 * 4)


def test_what_is_timed_computes_the_same_as_the_layer_with_its_zeros(monkeypatch):
    layer = nn.Conv2d(4, 8, 3, padding=1)
    before = layer.weight.detach().clone()
    mask = grains.mask(Grain.FILTER, layer.weight, 0.5)
    built = {}

    def caught(modules, x):
        built.update(modules)
        built["x"] = x
        return {}

    monkeypatch.setattr(one_layer, "timed_in_turns", caught)
    one_layer.timed(layer, (4, 6, 6), mask, macs=10)
    x, zeroed = built.pop("x"), built[one_layer.MASKED]
    assert torch.equal(layer.weight, before), "the caller's layer is as it was"
    with torch.no_grad():
        assert not torch.allclose(built[one_layer.DENSE](x), zeroed(x))
        assert torch.allclose(built[one_layer.SKIPPED](x), zeroed(x), atol=1e-5)
        assert torch.allclose(built[one_layer.SMALLER](x), zeroed(x)[:, mask.flatten(1).any(1)], atol=1e-6)


def test_every_module_is_timed_as_often_and_medians_lie_between_their_bounds():
    found = one_layer.timed(nn.Linear(16, 8), (16,), torch.ones(8, 16, dtype=torch.bool), macs=128)
    assert set(found) == {one_layer.DENSE, one_layer.MASKED, one_layer.SKIPPED}
    assert all(0 < each.p10_ms <= each.median_ms <= each.p90_ms and each.runs == ROUNDS for each in found.values())


@pytest.fixture(scope="module")
def demo():
    loaded = load_model(DEMOS[0].ref)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    _, held_out = hold_out(load_splits(DIGITS)[0], DIGITS)
    return loaded.model, network, Slider(loaded.model, network, held_out.subset(64))


def test_a_network_with_zeros_is_measured_on_the_sliders_images(demo):
    model, network, slider = demo
    weights = one_layer.layers(model, network)
    name = "layer2.0.conv1"
    kept = one_layer.masked(model, {name: torch.ones_like(weights[name], dtype=torch.bool)})
    same = slider.instead(kept)
    assert same.drop.lost == same.drop.gained == 0 and same.accuracy.images == 64
    gone = one_layer.masked(model, {each: torch.zeros_like(w, dtype=torch.bool) for each, w in weights.items()})
    lost = slider.instead(gone)
    assert lost.accuracy.top1 < 0.5 and lost.drop.drop == pytest.approx(same.accuracy.top1 - lost.accuracy.top1)
    assert bool(model.get_parameter(f"{name}.weight").detach().all()), "the model itself has no zeros"
