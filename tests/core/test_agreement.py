"""Rank agreement of criteria, and the conditions under which a criterion can tell channels apart."""

import math

import numpy as np
import pytest
import torch
from criteria_nets import Residual, make
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import Tensor

from pruning_core.analysis.agreement import (
    MEASURES,
    RankCorrelation,
    RemovedOverlap,
    cluster_order,
    global_agreement,
    layer_agreement,
    mean_agreement,
    norm_conditions,
    removed_overlap,
    separation,
    spearman,
)
from pruning_core.criteria import BatchNormScale, GeometricMedian, L1Norm, L2Norm, Random, Scores, Site, score

pytestmark = pytest.mark.usefixtures("one_thread")
NORMS = Site(weight=torch.tensor([[3.0, 3], [0, 5], [1, 1], [4, 4]], dtype=torch.float64))


def scored(**values: list[float]) -> Scores:
    return Scores(L1Norm(), {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()})


def test_the_four_filters_of_the_paper():
    l1, l2, fpgm = (c.score(NORMS) for c in (L1Norm(), L2Norm(), GeometricMedian()))
    assert spearman(l1, l2) == pytest.approx(0.8)
    assert spearman(l2, fpgm) == pytest.approx(0, abs=1e-12)
    assert removed_overlap(l1, l2, 0.5) == 0.5  # {2, 1} and {2, 0}
    assert removed_overlap(l1, l2, 0.25) == 1


def test_norms_of_gaussian_filters_rank_almost_alike():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        site = Site(weight=torch.randn(64, 576, generator=generator, dtype=torch.float64))
        assert spearman(L1Norm().score(site), L2Norm().score(site)) > 0.8


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_ties_get_average_ranks(pairs):
    first, second = torch.tensor(pairs, dtype=torch.float64).T
    if len(first.unique()) > 1 and len(second.unique()) > 1:
        assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    else:
        assert math.isnan(spearman(first, second))


def test_overlap_of_nothing_is_unknown():
    assert math.isnan(removed_overlap(torch.arange(3.0), torch.arange(3.0), 0.1))
    assert removed_overlap(torch.arange(10.0), -torch.arange(10.0), 0.5) == 0


def test_means_over_layers_count_the_layers_that_both_score():
    a, b, c = L1Norm(), L2Norm(), BatchNormScale()
    verdicts = {
        a: scored(x=[1, 2, 3], y=[1, 2, 3]),
        b: scored(x=[1, 2, 3], y=[3, 2, 1]),
        c: scored(x=[1, 3, 2]),
    }
    found = mean_agreement(verdicts)
    at = {criterion: i for i, criterion in enumerate(found.criteria)}
    assert found.matrix[at[a], at[b]] == pytest.approx(0) and found.layers[at[a], at[b]] == 2
    assert found.matrix[at[a], at[c]] == pytest.approx(0.5) and found.layers[at[a], at[c]] == 1
    assert np.array_equal(found.matrix, found.matrix.T) and (np.diag(found.matrix) == 1).all()
    on_y = layer_agreement(verdicts, "y")
    assert set(on_y.criteria) == {a, b} and on_y.matrix[0, 1] == pytest.approx(-1)
    overlap = mean_agreement(verdicts, RemovedOverlap(0.4))
    at = {criterion: i for i, criterion in enumerate(overlap.criteria)}
    assert overlap.matrix[at[a], at[b]] == 0.5


def test_a_global_view_compares_layers_too():
    a, b = L1Norm(), L2Norm()
    verdicts = {a: scored(x=[1, 2], y=[10, 20]), b: scored(x=[10, 20], y=[1, 2])}
    assert mean_agreement(verdicts).matrix[0, 1] == pytest.approx(1)
    assert global_agreement(verdicts).matrix[0, 1] == pytest.approx(spearmanr([1, 2, 10, 20], [10, 20, 1, 2]).statistic)
    assert global_agreement(verdicts).layers.tolist() == [[2, 2], [2, 2]]


def test_a_criterion_that_rates_all_alike_agrees_with_nobody_knows_what():
    verdicts = {L1Norm(): scored(x=[1, 1, 1]), L2Norm(): scored(x=[1, 2, 3])}
    assert math.isnan(mean_agreement(verdicts).matrix[0, 1])
    assert mean_agreement(verdicts).layers[0, 1] == 0


def test_criteria_without_a_common_layer():
    verdicts = {L1Norm(): scored(x=[1, 2, 3]), L2Norm(): scored(y=[1, 2, 3])}
    assert math.isnan(mean_agreement(verdicts).matrix[0, 1]) and math.isnan(global_agreement(verdicts).matrix[0, 1])
    assert layer_agreement(verdicts, "z").criteria == ()


def test_like_criteria_stand_side_by_side():
    def criteria(seeds: list[int]) -> list[Tensor]:
        return [torch.rand(200, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds]

    near, far = criteria([0, 1])
    values = [near, far, near + 0.01 * far, far + 0.01 * near]
    verdicts = {Random(i): Scores(Random(i), {"x": v}) for i, v in enumerate(values)}
    order = [c.seed for c in mean_agreement(verdicts).criteria]
    assert abs(order.index(0) - order.index(2)) == 1 and abs(order.index(1) - order.index(3)) == 1
    assert sorted(cluster_order(np.full((5, 5), np.nan)).tolist()) == [0, 1, 2, 3, 4]


def test_agreement_of_a_real_network():
    case = make(Residual)
    criteria = [L1Norm(), L2Norm(), GeometricMedian(), BatchNormScale(), Random(0), Random(1)]
    verdicts = score(case.model, case.network, criteria)
    for measure in MEASURES:
        for found in (mean_agreement(verdicts, measure()), global_agreement(verdicts, measure())):
            assert set(found.criteria) == set(criteria)
            known = found.matrix[~np.isnan(found.matrix)]
            assert known.min() >= -1 and known.max() <= 1
    assert set(layer_agreement(verdicts, "inner").criteria) == set(criteria) - {BatchNormScale()}


def test_separation_sees_spread_and_ties():
    spread = separation(torch.tensor([1.0, 2, 3, 4]))
    assert spread.variation == pytest.approx(math.sqrt(1.25) / 2.5) and spread.ties == 0
    alike = separation(torch.tensor([0.0, 0, 0, 1]))
    assert alike.ties == 0.5
    assert separation(torch.zeros(3)).ties == 1 and math.isnan(separation(torch.zeros(3)).variation)
    assert separation(torch.ones(1)).ties == 1


def test_fpgms_two_conditions():
    found = norm_conditions(NORMS.weight)
    assert list(found.norms) == pytest.approx(sorted([18**0.5, 5, 2**0.5, 32**0.5]))
    mean = float(np.mean(found.norms))
    assert found.smallest == pytest.approx(2**0.5 / mean)
    assert found.spread == pytest.approx(float(np.std(found.norms)) / mean)
    even = norm_conditions(torch.ones(5, 3))
    assert even.spread == pytest.approx(0, abs=1e-12) and even.smallest == pytest.approx(1)
    assert norm_conditions(torch.zeros(2, 2)).smallest == 0


def test_measures_name_themselves():
    assert RankCorrelation().name != RemovedOverlap().name
    with pytest.raises(ValueError, match="ratio"):
        RemovedOverlap(1.5)
