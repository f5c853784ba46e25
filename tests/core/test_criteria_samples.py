"""The positions drawn for reconstruction, against what the layer really wrote."""

import pytest
import torch
import torch.nn.functional as F
from criteria_nets import Grouped, Plain, Residual, case_of, make, tensors_of, values, whole_batch
from torch import nn

from pruning_core.criteria import (
    ActivationMean,
    GreedyReconstruction,
    LassoReconstruction,
    TaylorGate,
    score,
)
from pruning_core.probe.activity import Activity

pytestmark = pytest.mark.usefixtures("one_thread")


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
