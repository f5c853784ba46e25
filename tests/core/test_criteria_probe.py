"""What the probe collects, against what the network really does."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from criteria_nets import Case, Grouped, Plain, Residual, case_of, make
from torch import Tensor, nn

from pruning_core.criteria import (
    CRITERIA,
    ActivationMax,
    ActivationMean,
    BatchNormScale,
    ClusterPruning,
    FeatureMapRank,
    Grasp,
    GreedyReconstruction,
    L1Norm,
    L2Norm,
    LassoReconstruction,
    Random,
    Snip,
    Step,
    SynFlow,
    TaylorGate,
    TaylorSecond,
    TaylorWeight,
    ZeroFraction,
    score,
    scoring,
)
from pruning_core.criteria.activity import Activity
from pruning_core.criteria.evidence import Evidence
from pruning_core.criteria.readings import Readings, channel_maps
from pruning_core.criteria.shadow import shadow
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, silence

pytestmark = pytest.mark.usefixtures("one_thread")


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def values(case: Case, criterion, **options) -> dict[str, Tensor]:
    return score(case.model, case.network, [criterion], case.data, **options)[criterion].values


def whole_batch(case: Case) -> tuple[Tensor, Tensor]:
    return next(case.data.batches(len(case.data), dtype=torch.float64))


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


@pytest.mark.parametrize("kind", [Plain, Residual, Grouped])
def test_the_gate_gradient_is_the_slope_of_closing_the_channel(kind):
    case = make(kind)
    x, y = whole_batch(case)
    found = values(case, TaylorGate(), batch_size=len(case.data))
    for group in case.network.groups:
        for unit in range(group.size):
            losses = []
            for step in (1e-6, -1e-6):  # the channel's slices at its readers, scaled by 1 - step
                model = copy.deepcopy(case.model)
                tensors = tensors_of(model)
                with torch.no_grad():
                    for member in group.consumers:
                        tensors[member.parameter].movedim(member.dim, 0)[member.index[unit]] *= 1 - step
                    losses.append(float(F.cross_entropy(model(x), y)))
            slope = (losses[0] - losses[1]) / 2e-6
            assert float(found[group.key][unit]) == pytest.approx(slope**2, rel=1e-3, abs=1e-12)


def test_the_gate_gradient_predicts_the_cost_of_a_small_removal():
    case = make(Plain)
    x, y = whole_batch(case)
    with torch.no_grad():
        case.model.two.weight *= 1e-4  # so that a removal is a small step
        base = float(F.cross_entropy(case.model(x), y))
        steps = [
            float(F.cross_entropy(silence(case.model, case.network, Plan({"one": [u]}))(x), y)) - base for u in range(6)
        ]
    found = values(case, TaylorGate(), batch_size=len(case.data))["one"]
    assert torch.allclose(found, torch.tensor(steps, dtype=torch.float64).square(), rtol=1e-2, atol=0)


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters())
    return dict(zip(names, torch.autograd.grad(loss, parameters, create_graph=True)))


def test_taylor_on_weights_squares_each_batch_and_weighs_them_by_images():
    case = make(Plain, images=20)
    parts = list(case.data.subset(20).batches(8, dtype=torch.float64))
    expected = torch.zeros(6, dtype=torch.float64)
    for x, y in parts:
        g = gradients(case.model, F.cross_entropy(case.model(x), y))["one.weight"]
        expected += len(x) / 20 * (g * case.model.one.weight).square().sum((1, 2, 3))
    assert torch.allclose(values(case, TaylorWeight(), batch_size=8)["one"], expected)


def test_snip_takes_the_gradient_of_all_images_whatever_the_batches():
    case = make(Plain)
    x, y = whole_batch(case)
    g = gradients(case.model, F.cross_entropy(case.model(x), y))["one.weight"]
    for batch in (5, 24):
        found = values(case, Snip(), batch_size=batch)["one"]
        assert torch.allclose(found, (g * case.model.one.weight).abs().sum((1, 2, 3)))


def test_grasp_is_the_change_of_the_squared_gradient_norm():
    case = make(Plain)
    x, y = whole_batch(case)
    weights = [n for n, p in case.model.named_parameters() if p.ndim > 1]
    flow = gradients(case.model, F.cross_entropy(case.model(x) / 5, y))
    half = sum(flow[n].square().sum() for n in weights) / 2  # its gradient is H g
    push = torch.autograd.grad(half, case.model.one.weight)[0]
    found = values(case, Grasp(temperature=5.0), batch_size=7)["one"]
    assert torch.allclose(found, (case.model.one.weight * push).sum((1, 2, 3)), rtol=1e-6)


def test_the_estimated_curvature_is_unbiased():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.two(torch.tanh(self.one(x.flatten(1))))

    torch.manual_seed(0)
    model = Small().double().eval()
    case = case_of(model, images=4, size=2)
    x, y = whole_batch(case)
    slope = gradients(model, F.cross_entropy(model(x), y))["one.weight"].flatten()
    diagonal = torch.stack(
        [torch.autograd.grad(g, model.one.weight, retain_graph=True)[0].flatten()[i] for i, g in enumerate(slope)]
    )
    found = []
    for seed in range(200):
        evidence = Evidence(model, case.network, [TaylorSecond()], case.data, 4, seed)
        list(evidence.gather())
        found.append(next(iter(evidence.slopes.values())).curvature["one.weight"].flatten())
    estimate, error = torch.stack(found).mean(0), torch.stack(found).std(0) / 200**0.5
    assert (estimate - diagonal).abs().max() < 5 * error.max() + 1e-12
    assert torch.corrcoef(torch.stack([estimate, diagonal]))[0, 1] > 0.95


def test_synaptic_flow_is_conserved_from_layer_to_layer():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU6(),
        nn.Conv2d(4, 5, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 6),
        nn.Hardswish(),
        nn.Linear(6, 3),
    ).eval()
    network = capture(model, torch.zeros(1, 1, 6, 6))
    found = score(model, network, [SynFlow()])[SynFlow()].values
    totals = [float(v.sum()) for v in found.values()]
    assert len(totals) == 3 and totals == pytest.approx([totals[0]] * 3)


def test_synaptic_flow_of_the_example():
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-2.0]]))
        model[2].weight.copy_(torch.tensor([[-3.0, 1.0]]))
    found = score(model, capture(model, torch.zeros(1, 1)), [SynFlow()])[SynFlow()]
    assert found.values["0"].tolist() == pytest.approx([3, 2])
    assert found.images == 0


@pytest.mark.parametrize("kind", [Plain, Residual, Grouped])
def test_samples_rebuild_what_the_layer_wrote(kind):
    case = make(kind)
    tensors = tensors_of(case.model)
    activity = Activity(case.network.groups, tensors, [GreedyReconstruction()], 0)
    for x, _ in case.data.batches(9, dtype=torch.float64):
        with torch.no_grad(), activity.watch():
            case.model(x)
    seen = 0
    for group in case.network.groups:
        for member in group.consumers:
            for part, samples in enumerate(found := activity.samples((group.key, member.parameter))):
                seen += 1
                bias = tensors.get(member.parameter.removesuffix("weight") + "bias")
                wrote = samples.outputs if bias is None else samples.outputs - bias.chunk(len(found))[part]
                whole = member.index.size == tensors[member.parameter].shape[member.dim]
                if whole:  # no other group feeds this layer
                    assert torch.allclose(samples.target, wrote)
                assert torch.allclose(samples.contributions(3).sum(1), samples.targets(3))
    assert seen >= 3


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"padding": 2, "dilation": 2},
        {"padding": "same"},
        {"padding": (0, 1), "kernel_size": (2, 3)},
        {"padding": 1, "padding_mode": "circular"},
        {"padding": 1, "groups": 2},
    ],
)
def test_samples_know_every_kind_of_window(options):
    torch.manual_seed(1)
    second = nn.Conv2d(4, 6, **{"kernel_size": 3, **options})
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), second, nn.AdaptiveAvgPool2d(1), nn.Flatten()).double().eval()
    case = case_of(model, size=7)
    activity = Activity(case.network.groups, tensors_of(model), [GreedyReconstruction()], 0)
    with torch.no_grad(), activity.watch():
        model(whole_batch(case)[0])
    found = activity.samples(("0", "2.weight"))
    assert len(found) == options.get("groups", 1)
    for part, samples in enumerate(found):
        assert torch.allclose(samples.target, samples.outputs - second.bias.chunk(len(found))[part])


def test_tokens_and_one_dimensional_convolutions_are_sampled():
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.mix = nn.Conv1d(1, 6, 3, padding=1), nn.Conv1d(6, 4, 3, padding=1)
            self.wide, self.narrow = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x):
            x = self.mix(self.embed(x.flatten(2)).relu())  # (N, 4, T)
            return self.narrow(F.gelu(self.wide(x.mT))).mean(1)

    torch.manual_seed(0)
    model = Sequence().double().eval()
    case = case_of(model, size=6)
    for criterion in (GreedyReconstruction(), LassoReconstruction(), ActivationMean(), TaylorGate()):
        found = score(case.model, case.network, [criterion], case.data)[criterion]
        assert not found.missing and {"embed", "wide"} <= set(found.values)
    with torch.no_grad():
        x = whole_batch(case)[0]
        hidden = F.gelu(model.wide(model.mix(model.embed(x.flatten(2)).relu()).mT))
    assert torch.allclose(values(case, ActivationMean())["wide"], hidden.mean((0, 1)))


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


def test_a_shadow_shares_weights_and_nothing_else():
    case = make(Plain)
    copy_of = shadow(case.model.train(), gradients=True)
    assert copy_of.one.weight.data_ptr() == case.model.one.weight.data_ptr()
    assert copy_of.norm.running_mean.data_ptr() != case.model.norm.running_mean.data_ptr()
    assert not copy_of.training and case.model.training
    assert list(copy_of.state_dict()) == list(case.model.state_dict())


def test_a_network_that_cannot_be_copied_is_told_to_the_person():
    case = make(Plain)
    case.model.cache = case.model.one.weight * 2  # in the middle of a graph
    with pytest.raises(UserError, match="cannot be copied"):
        score(case.model, case.network, [L1Norm()])


def test_scoring_tells_its_progress_and_can_be_closed():
    case = make(Plain)
    criteria = [ActivationMean(), TaylorSecond()]
    steps = list(scoring(case.model, case.network, criteria, case.data, images=20, batch_size=8))
    assert steps == [Step("probe", n, 6) for n in range(1, 7)] + [Step("score", n, 6) for n in range(1, 7)]
    run = scoring(case.model, case.network, criteria, case.data)
    next(run)
    run.close()
    assert torch.overrides._get_current_function_mode() is None


def test_images_are_drawn_by_the_seed():
    case = make(Plain)
    first, again, other = (values(case, ActivationMean(), images=5, seed=s)["one"] for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    found = score(case.model, case.network, [ActivationMean()], case.data, images=5)[ActivationMean()]
    assert found.images == 5


def test_seconds_count_what_a_criterion_needs():
    case = make(Plain)
    found = score(case.model, case.network, [c() for c in CRITERIA], case.data)
    seconds = {c.card.key: s.seconds for c, s in found.items()}
    assert seconds["l1"] < seconds["act-mean"] and seconds["taylor"] < seconds["grasp"]


def test_labels_must_fit_the_model():
    case = make(Plain)
    data = Dataset(case.data.images, torch.full((24,), 3), tuple("abcd"), (0.5,), (0.25,), "four")
    with pytest.raises(UserError, match="tells 3 classes apart"):
        score(case.model, case.network, [Snip()], data)
    assert score(case.model, case.network, [ActivationMean()], data)[ActivationMean()].values


def test_a_model_that_is_no_classifier_is_told_to_the_person():
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1)).eval()
    network = capture(model, torch.zeros(1, 1, 6, 6))
    with pytest.raises(UserError, match="needs a classifier"):
        score(model, network, [TaylorGate()], make(Plain).data)


def test_overflow_is_a_reason_not_a_score():
    case = make(Plain)
    with torch.no_grad():
        case.model.one.weight[0] = float("inf")
    found = score(case.model, case.network, [L1Norm()])[L1Norm()]
    assert "not finite" in found.missing["one"] and "two" in found.values


def test_an_empty_network_has_no_scores():
    model = nn.Linear(3, 2)
    network: Network = capture(model, torch.zeros(1, 3))
    assert score(model, network, [L1Norm()])[L1Norm()].values == {}


def test_heads_and_flattened_maps_are_rows():
    case = make(Plain)
    member = case.network.group("two").consumers[0]
    assert member.index.shape == (5, 9) and np.array_equal(member.index[1], np.arange(9, 18))
    with torch.no_grad():
        case.model.three.weight[:, 9:18] = 0
    gates = values(case, TaylorGate())["two"]
    assert gates[1] == 0 and (gates[[0, 2, 3, 4]] > 0).all()


def test_what_is_never_read_is_a_reason_not_a_zero():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)
            self.spare, self.side = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x):
            x = self.one(x).relu().mean((2, 3))
            out = self.head(x)
            return out + self.side(self.spare(x)) if self.training else out

    case = case_of(Auxiliary().eval())
    for criterion in (ActivationMean(), GreedyReconstruction(), TaylorGate(), TaylorSecond(), Snip(), SynFlow()):
        found = score(case.model, case.network, [criterion], case.data)[criterion]
        assert "training only" in found.missing["spare"] and "one" in found.values
    assert {"one", "spare"} <= set(values(case, L1Norm()))


def test_a_criterion_that_rates_all_alike_says_so():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    case = case_of(model.eval())
    for criterion in (BatchNormScale(), FeatureMapRank()):  # all scales are 1, all maps of one pixel are not zero
        assert "rated alike" in score(model, case.network, [criterion], case.data)[criterion].missing["0"]
    assert "ever zero" in score(model, case.network, [ZeroFraction()], case.data)[ZeroFraction()].missing["0"]
    assert values(case, ZeroFraction(threshold=0.05))["0"].shape == (4,)


def test_tiny_gradients_do_not_vanish_when_they_are_squared():
    case = make(Plain)
    model = case.model.float()
    with torch.no_grad():
        model.four.weight *= 1e-25
    found = score(model, case.network, [TaylorGate()], case.data)[TaylorGate()].values["one"]
    assert (found > 0).any() and found.max() < 1e-40


def test_hard_sigmoids_are_differentiated_twice():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(36, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.two(F.hardsigmoid(self.one(x.flatten(1))))

    torch.manual_seed(0)
    case = case_of(Gate().double().eval())
    for criterion in (TaylorSecond(), Grasp()):
        found = score(case.model, case.network, [criterion], case.data)[criterion]
        assert not found.missing and found.values["one"].abs().max() > 0


def test_an_operator_without_a_second_derivative_is_named():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return Twice.apply(gradient)

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("derivative for aten::wobble_backward is not implemented")

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(36, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.two(Once.apply(torch.tanh(self.one(x.flatten(1)))))

    torch.manual_seed(0)
    case = case_of(Odd().eval())
    found = score(case.model, case.network, [TaylorSecond(), TaylorGate()], case.data)
    assert found[TaylorSecond()].missing["one"] == (
        "PyTorch cannot differentiate the operator aten::wobble of this network twice."
    )
    assert found[TaylorGate()].values["one"].shape == (5,)
