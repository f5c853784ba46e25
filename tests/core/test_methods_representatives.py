"""REPrune while a network trains: the cover of kernel clusters, and that it decides."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.graph import capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods.representatives import CoverExploration, TrainedRepresentatives, coverage, kernels
from pruning_core.methods.units import producers
from pruning_core.numeric.kernel_clusters import kernel_trees
from pruning_core.training.hooks import Moment
from tests.core.small_programs import Parts
from tests.core.small_residual import performed

pytestmark = pytest.mark.usefixtures("one_thread")
# four filters, two inputs, 1 x 1 kernels
FOUR = torch.tensor([[0.0, 0.0], [0.1, 3.0], [5.0, 0.1], [5.1, 3.1]], dtype=torch.float64)


def test_the_cover_is_the_papers_and_not_that_of_the_largest_norm() -> None:
    trees = kernel_trees((FOUR[:, :, None],))
    labels = trees.labels(trees.common_cut(2))
    covered = {pair: sum(len({int(row[i]) for i in pair}) for row in labels) for pair in combinations(range(4), 2)}
    assert [pair for pair, count in covered.items() if count == 4] == [(0, 3), (1, 2)]
    for seed in range(5):
        lottery = torch.rand(4, generator=torch.Generator().manual_seed(seed))
        kept = coverage([FOUR[:, :, None]], lottery, 2).topk(2).indices.sort().values.tolist()
        assert kept in ([0, 3], [1, 2])
    assert FOUR.abs().sum(1).topk(2).indices.sort().values.tolist() == [2, 3]


def test_kernels_are_those_of_each_input_whatever_the_layer() -> None:
    model: Any = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    first, second = producers(model, capture(model.eval(), torch.zeros(1, 2, 3, 3))).values()
    assert torch.equal(kernels(first[0]), model[0].weight.detach().double().flatten(2))
    assert torch.equal(kernels(second[0]), model[3].weight.detach().double()[:, :, None])


def test_the_cover_decides_what_is_closed() -> None:
    model: Any = nn.Sequential(
        nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Flatten()
    ).eval()
    with torch.no_grad():
        model[0].weight.copy_(FOUR[:, :, None, None])
    hook: Any = CoverExploration(Budget("macs", fraction=0.5), 1).begin(model, capture(model, torch.zeros(1, 2, 2, 2)))
    hook.epoch_end(Moment(model, 1, 1, 1, 1.0, 0.1))
    (opened,) = hook.opened.values()
    assert opened.nonzero().flatten().tolist() in ([0, 3], [1, 2])


def test_a_residual_network_is_pruned(digits: Parts) -> None:
    _, ends = performed(TrainedRepresentatives(), digits)
    assert evaluate(ends[-1].state.model, digits[2], device="cpu").top1 > 0.4
