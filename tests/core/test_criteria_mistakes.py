"""Faults that are easily made when these criteria are written again: each is put beside what is right, by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pruning_core.criteria import CRITERIA, ChannelIndependence, FeatureMapRank, GeometricMedian, L1Norm, LpNorm, score
from pruning_core.graph import capture
from pruning_core.methods.registry import METHODS
from pruning_core.taxonomy import Execution, Family, Structure, Time

pytestmark = pytest.mark.usefixtures("one_thread")


def test_independence_is_the_mean_over_images_and_not_that_of_a_mean_map() -> None:
    """chip: what two images show in different places does not cancel, and is no one large matrix."""
    first, second = torch.eye(2).view(1, 2, 1, 2), torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(1, 2, 1, 2)
    both = ChannelIndependence().per_image(torch.cat([first, second]))
    assert torch.allclose(both.double(), torch.ones(2, 2).double(), atol=1e-5)
    assert torch.allclose(
        ChannelIndependence().per_image((first + second) / 2).double(),
        torch.full((1, 2), 2**0.5 / 2 * (2**0.5 - 1)).double(),
        atol=1e-4,
    ), "the mean of both maps: two equal channels"
    beside = ChannelIndependence().per_image(torch.cat([first, second], 3))[0]
    assert not torch.allclose(beside.double(), torch.ones(2).double(), atol=1e-2), "one matrix of both"


def test_scores_of_filters_know_nothing_of_the_norm_behind_them() -> None:
    """fpgm, l1: a scale may say what it likes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(180, 3)).eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        scaled[1].weight.copy_(torch.linspace(0.01, 9, 5))
        scaled[1].bias.normal_()
    for criterion in (GeometricMedian(), L1Norm()):
        one, other = (score(each, network, (criterion,), None)[criterion].values for each in (model, scaled))
        assert all(torch.equal(one[key], other[key]) for key in one) and one


def test_a_count_of_zeros_is_no_norm_and_is_refused() -> None:
    """lp: dense weights have none, so all filters would be alike."""
    with pytest.raises(ValueError, match="p"):
        LpNorm(0)


def test_ranks_of_maps_of_different_sizes_are_made_comparable() -> None:
    """hrank: a map of 2 x 2 has a rank of 2 at most, one of 8 x 8 of 8."""
    assert FeatureMapRank.fair.by != "none"


FACTS = {
    "sfp": (Family.MAGNITUDE, Time.DURING, Structure.STRUCTURED, Execution.STATIC),  # no geometric median
    "admm": (Family.PROXY, Time.DURING, Structure.UNSTRUCTURED, Execution.STATIC),  # not dynamic
    "admm-filters": (Family.PROXY, Time.DURING, Structure.STRUCTURED, Execution.STATIC),
    "autocompress": (Family.SEARCH, Time.DURING, Structure.STRUCTURED, Execution.STATIC),  # not dynamic
    "lth": (Family.MAGNITUDE, Time.AFTER, Structure.UNSTRUCTURED, Execution.STATIC),  # not structured
    "dcff": (Family.REDUNDANCY, Time.DURING, Structure.STRUCTURED, Execution.STATIC),  # no penalty
    "tmi-gkp": (Family.KERNELS, Time.AFTER, Structure.STRUCTURED, Execution.STATIC),  # dense and grouped, not sparse
    "pconv": (Family.KERNELS, Time.AFTER, Structure.SEMI, Execution.STATIC),
    "gbn": (Family.GRADIENT, Time.AFTER, Structure.STRUCTURED, Execution.STATIC),  # its penalty is beside the point
    "dcp-losses": (Family.GRADIENT, Time.DURING, Structure.STRUCTURED, Execution.STATIC),  # no redundancy
    "dcp": (Family.GRADIENT, Time.AFTER, Structure.STRUCTURED, Execution.STATIC),
    "taylor": (Family.GRADIENT, Time.AFTER, Structure.STRUCTURED, Execution.STATIC),  # no magnitude
    "thinet": (Family.PROXY, Time.AFTER, Structure.STRUCTURED, Execution.STATIC),  # no penalty
    "cp-lasso": (Family.PROXY, Time.AFTER, Structure.STRUCTURED, Execution.STATIC),
    "chip": (Family.REDUNDANCY, Time.AFTER, Structure.STRUCTURED, Execution.STATIC),
    "snip": (Family.INITIALISATION, Time.BEFORE, Structure.STRUCTURED, Execution.STATIC),
    "fbs": (Family.DYNAMIC, Time.DURING, Structure.STRUCTURED, Execution.DYNAMIC),
    "cgate": (Family.DYNAMIC, Time.DURING, Structure.STRUCTURED, Execution.DYNAMIC),
}


@pytest.mark.parametrize("key", FACTS)
def test_methods_stand_where_their_papers_put_them(key: str) -> None:
    """Not where surveys do that file ADMM as dynamic, Taylor as a magnitude, tickets as structured."""
    (card,) = [each.card for each in (*CRITERIA, *METHODS) if each.card.key == key]
    assert (card.family, card.time, card.structure, card.execution) == FACTS[key]


def test_discrimination_is_what_blocks_are_judged_by() -> None:
    """dbp: its letters are no "dense to sparse"."""
    (card,) = [each.card for each in METHODS if each.card.key == "dbp"]
    assert card.paper is not None and "Discrimination" in card.paper.title and "1912.10178" in str(card.paper)
