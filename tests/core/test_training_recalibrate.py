"""Recalibrated statistics are the averages over the batches, and nothing else changes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pruning_core.errors import UserError
from pruning_core.training.recalibrate import recalibrate, recalibrating


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3),
        nn.BatchNorm2d(5, momentum=0.3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(5, 4, 3),
        nn.BatchNorm2d(4),
    )


def test_statistics_are_plain_averages_over_the_batches():
    model = network().eval()
    batches = [torch.randn(8, 2, 9, 9) + shift for shift in (0.0, 1.0, 5.0)]
    fresh = recalibrate(model, batches)
    seen = [model[0](batch) for batch in batches]
    torch.testing.assert_close(fresh[1].running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    torch.testing.assert_close(fresh[1].running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    # the second norm sees what the first makes of each batch, without dropout
    inner = [
        model[4](torch.batch_norm(x, model[1].weight, model[1].bias, None, None, True, 0, model[1].eps, False).relu())
        for x in seen
    ]
    torch.testing.assert_close(fresh[5].running_mean, torch.stack([x.mean((0, 2, 3)) for x in inner]).mean(0))
    assert int(fresh[5].num_batches_tracked) == 3


def test_the_caller_and_the_weights_are_untouched():
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    fresh = recalibrate(model, [torch.randn(4, 2, 9, 9)])
    assert model.training
    assert not any(m.training for m in fresh.modules())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert fresh[1].momentum == 0.3
    for key, value in fresh.state_dict().items():
        if "running" not in key and "tracked" not in key:
            assert torch.equal(value, before[key])


def test_recalibration_does_not_depend_on_the_old_statistics():
    model, batches = network(), [torch.randn(4, 2, 9, 9)]
    other = copy.deepcopy(model)
    other[1].running_mean += 100
    assert torch.equal(recalibrate(model, batches)[5].running_mean, recalibrate(other, batches)[5].running_mean)


def test_a_network_without_batch_norm_comes_back_as_it_was():
    model = nn.Sequential(nn.Linear(3, 2))
    fresh = recalibrate(model, [])
    assert fresh is not model
    assert torch.equal(fresh[0].weight, model[0].weight)


def test_it_reports_every_batch_and_refuses_none():
    assert list(recalibrating(network(), [torch.randn(4, 2, 9, 9)] * 3)) == [1, 2, 3]
    with pytest.raises(UserError, match="at least one batch"):
        recalibrate(network(), [])
    with pytest.raises(UserError, match="larger batch"):
        recalibrate(nn.Sequential(nn.BatchNorm1d(3)), [torch.randn(1, 3)])
