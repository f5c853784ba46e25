"""Gradients, curvatures and flows of the probe, against autograd by hand and against what a removal does."""

import copy

import pytest
import torch
import torch.nn.functional as F
from criteria_nets import Grouped, Plain, Residual, case_of, make, tensors_of, values, whole_batch
from torch import Tensor, nn

from pruning_core.criteria import (
    Grasp,
    Snip,
    SynFlow,
    TaylorGate,
    TaylorSecond,
    TaylorWeight,
    score,
)
from pruning_core.graph import Plan, capture, silence
from pruning_core.probe.evidence import Evidence

pytestmark = pytest.mark.usefixtures("one_thread")


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
