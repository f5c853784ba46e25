"""What the probe sees of activations and kernels, against what the network really does."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from criteria_nets import Plain, Residual, case_of, make, values, whole_batch
from torch import nn

from pruning_core.criteria import (
    ActivationMax,
    ActivationMean,
    BatchNormScale,
    ClusterPruning,
    FeatureMapRank,
    GreedyReconstruction,
    L1Norm,
    L2Norm,
    Random,
    SynFlow,
    TaylorGate,
    TaylorSecond,
    ZeroFraction,
    score,
)
from pruning_core.graph import capture
from pruning_core.probe.readings import Readings, channel_maps

pytestmark = pytest.mark.usefixtures("one_thread")


def test_activations_are_those_behind_norm_and_rectifier():
    case = make(Plain)
    x, _ = whole_batch(case)
    with torch.no_grad():
        maps = case.model.norm(case.model.one(x)).relu()
        flat = case.model.two(maps).relu()
        last = case.model.three(flat.flatten(1)).relu()
    mean = values(case, ActivationMean(), batch_size=7)
    assert torch.allclose(mean["one"], maps.mean((0, 2, 3)))
    assert torch.allclose(mean["two"], flat.mean((0, 2, 3)))
    assert torch.allclose(mean["three"], last.mean(0))
    zeros = values(case, ZeroFraction(), batch_size=7)
    assert torch.allclose(zeros["two"], (flat != 0).double().mean((0, 2, 3)))


def test_a_flattened_map_is_a_square_again():
    case = make(Plain)
    x, _ = whole_batch(case)
    with torch.no_grad():
        flat = case.model.two(case.model.norm(case.model.one(x)).relu()).relu()
    ranks = torch.linalg.matrix_rank(flat.float()).double().mean(0)
    assert torch.allclose(values(case, FeatureMapRank())["two"], ranks)


def test_a_sum_read_by_two_layers_is_measured_once():
    case = make(Residual)
    x, _ = whole_batch(case)
    model = case.model
    with torch.no_grad():
        stem = model.stem_norm(model.stem(x)).relu()
        total = (stem + model.outer_norm(model.outer(model.inner(stem).relu()))).relu()
    assert len(case.network.group("stem").consumers) == 3  # inner, left and right
    found = values(case, ActivationMean())["stem"]
    assert torch.allclose(found, stem.mean((0, 2, 3)) + total.mean((0, 2, 3)))


def test_values_changed_in_place_are_not_taken_for_the_same():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Conv2d(1, 4, 1)
            self.before, self.after = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1)

        def forward(self, x):
            x = self.one(x)
            early = self.before(x)
            return (early + self.after(x.relu_())).mean((2, 3))

    model = InPlace().eval()
    # the graph sees one group; what its two readers get differs although it is one tensor
    case = case_of(model, size=4)
    with torch.no_grad():
        raw = model.one(next(case.data.batches(24))[0])
    found = values(case, ActivationMean())["one"]
    assert torch.allclose(found, (raw.mean((0, 2, 3)) + raw.relu().mean((0, 2, 3))).double(), atol=1e-6)


def test_scores_of_coupled_layers_add_up():
    case = make(Residual)
    model = case.model
    expected = model.stem.weight.abs().sum((1, 2, 3)) + model.outer.weight.abs().sum((1, 2, 3))
    assert torch.allclose(values(case, L1Norm())["stem"], expected)
    scales = model.stem_norm.weight.abs() + model.outer_norm.weight.abs()
    assert torch.allclose(values(case, BatchNormScale())["stem"], scales)


def test_a_lot_of_coupled_layers_is_drawn_once():
    case = make(Residual)
    assert values(case, Random())["stem"].max() < 1


def test_cup_reads_the_kernels_on_both_sides():
    case = make(Plain)
    found = score(case.model, case.network, [ClusterPruning()])[ClusterPruning()].values["one"]
    with torch.no_grad():
        features = torch.cat(
            [case.model.one.weight.flatten(2).norm(dim=2), case.model.two.weight.flatten(2).norm(dim=2).T], 1
        )
        case.model.two.weight[:, 0] *= 50
    assert features.shape == (6, 1 + 5)
    after = score(case.model, case.network, [ClusterPruning()])[ClusterPruning()].values["one"]
    assert after.argmax() == 0 and not torch.allclose(found, after)


def test_a_fused_call_hides_its_activations_and_says_so():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(1, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            x = self.embed(x.flatten(1)[..., None])
            return self.head(self.attention(x, x, x, need_weights=False)[0]).mean(1)

    model = Attention().eval()
    case = case_of(model, size=3)
    heads = next(g.key for g in case.network.groups if g.key.startswith("attention"))
    for criterion in (ActivationMean(), FeatureMapRank(), GreedyReconstruction()):
        found = score(model, case.network, [criterion], case.data)[criterion]
        assert "fused call" in found.missing[heads]
    for criterion in (L2Norm(), TaylorGate(), TaylorSecond(), SynFlow()):
        found = score(model, case.network, [criterion], case.data)[criterion]
        assert found.values[heads].shape == (case.network.group(heads).size,)


def test_an_exported_program_is_probed_like_its_module():
    case = make(Residual)
    x = torch.zeros(2, 1, 6, 6, dtype=torch.float64)
    program = torch.export.export(case.model, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},)).module()
    del program.eval, program.train  # which only raise
    network = capture(program, x)
    assert {g.size for g in network.groups} == {g.size for g in case.network.groups}
    for criterion in (L1Norm(), BatchNormScale(), ActivationMax(), TaylorGate(), GreedyReconstruction()):
        there = score(program, network, [criterion], case.data, batch_size=8)[criterion]
        here = score(case.model, case.network, [criterion], case.data, batch_size=8)[criterion]
        assert torch.allclose(there.values["stem"], here.values["stem"])


def test_readings_see_transposed_convolutions_and_products():
    torch.manual_seed(0)
    weight, matrix = torch.randn(4, 3, 2, 2), torch.randn(5, 6)
    seen = {}
    with Readings({"up": weight, "p": matrix}, lambda name, reading: seen.setdefault(name, reading)):
        F.conv_transpose2d(torch.randn(2, 4, 3, 3), weight, stride=2)
        torch.randn(2, 7, 5) @ matrix
        F.linear(torch.randn(2, 9), torch.randn(3, 9))
    assert set(seen) == {"up", "p"} and seen["up"].transposed and seen["up"].groups == 1
    assert channel_maps(seen["up"], torch.arange(4)[:, None]).shape == (2, 4, 3, 3)
    assert channel_maps(seen["p"], torch.arange(5)[:, None]).shape == (2, 5, 1, 7)


def test_heads_and_flattened_maps_are_rows():
    case = make(Plain)
    member = case.network.group("two").consumers[0]
    assert member.index.shape == (5, 9) and np.array_equal(member.index[1], np.arange(9, 18))
    with torch.no_grad():
        case.model.three.weight[:, 9:18] = 0
    gates = values(case, TaylorGate())["two"]
    assert gates[1] == 0 and (gates[[0, 2, 3, 4]] > 0).all()
