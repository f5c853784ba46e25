"""Every criterion against numbers worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from pruning_core.criteria import (
    ActivationL1,
    ActivationL2,
    ActivationMax,
    ActivationMean,
    ActivationMin,
    ActivationStd,
    ActivationVariance,
    BatchNormScale,
    ChannelIndependence,
    ClusterPruning,
    CosineRedundancy,
    DiscriminationAware,
    FeatureMapRank,
    GeometricMedian,
    GradientMagnitude,
    Grasp,
    GreedyReconstruction,
    KernelRepresentatives,
    L1Norm,
    L2Norm,
    LassoReconstruction,
    LpNorm,
    NotScorable,
    Random,
    Site,
    Snip,
    SynFlow,
    TaylorGate,
    TaylorSecond,
    TaylorWeight,
    ZeroFraction,
)
from pruning_core.criteria.reconstruction import entry_penalties, lasso, removal_errors, ridge
from pruning_core.probe.moments import Moments
from pruning_core.probe.samples import Samples
from pruning_core.probe.site import Trial


def rows(*values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def dropped(scores: Tensor, count: int) -> list[int]:
    """The channels that go first: lowest scores, ties by the lower index."""
    return scores.argsort(stable=True)[:count].tolist()


NORMS = Site(weight=rows((3, 3), (0, 5), (1, 1), (4, 4)))


def test_norms_of_four_filters():
    assert L1Norm().score(NORMS).tolist() == [6, 5, 2, 8]
    assert L2Norm().score(NORMS).tolist() == pytest.approx([4.243, 5, 1.414, 5.657], abs=1e-3)
    assert dropped(L1Norm().score(NORMS), 2) == [2, 1]
    assert dropped(L2Norm().score(NORMS), 2) == [2, 0]


def test_lp_runs_from_the_l1_norm_to_the_maximum():
    assert LpNorm(1).score(NORMS).tolist() == pytest.approx([6, 5, 2, 8])
    assert LpNorm(2).score(NORMS).tolist() == pytest.approx([math.sqrt(18), 5, math.sqrt(2), math.sqrt(32)])
    assert LpNorm(64).score(NORMS).tolist() == pytest.approx([3, 5, 1, 4], rel=0.02)
    assert LpNorm(0.5).score(Site(weight=rows((1, 4), (0, 0)))).tolist() == pytest.approx([9, 0])


def test_lp_neither_overflows_nor_vanishes():
    scores = LpNorm(64).score(Site(weight=rows((1e200, 1), (1e-200, 0))))
    assert scores.tolist() == pytest.approx([1e200, 1e-200])


def test_batch_norm_scale_ignores_the_sign():
    assert BatchNormScale().score(Site(weight=rows((0.9,), (0.01,), (-0.5,)))).tolist() == [0.9, 0.01, 0.5]


def test_random_is_its_seed():
    site = Site(weight=torch.zeros(50, 1), name="layer1")
    scores = Random(3).score(site)
    assert torch.equal(scores, Random(3).score(site))
    assert not torch.equal(scores, Random(4).score(site))
    assert not torch.equal(scores, Random(3).score(Site(weight=torch.zeros(50, 1), name="layer2")))
    assert 0 <= scores.min() < 0.1 and 0.9 < scores.max() < 1


def test_fpgm_removes_the_filters_nearest_to_the_others():
    scores = GeometricMedian().score(Site(weight=rows((0,), (1,), (2,), (4,), (10,))))
    assert scores.tolist() == pytest.approx([17, 14, 13, 15, 33])
    assert dropped(scores, 2) == [2, 1]  # the norm would drop 0 and 1, the usual mistake would keep 2, 1, 0


def test_fpgm_of_the_norms_example():
    assert GeometricMedian().score(NORMS).tolist() == pytest.approx([7.848, 11.852, 11.194, 9.78], abs=1e-3)


def test_cosine_keeps_the_larger_of_two_parallel_filters():
    scores = CosineRedundancy().score(Site(weight=rows((1, 0), (2, 0), (0, 1))))
    assert scores.tolist() == pytest.approx([0, 2, 1])  # 0 is absorbed at once, 2 at a right angle, 1 never
    assert dropped(scores, 2) == [0, 2]


def test_cosine_of_a_filter_of_zeros_is_nothing():
    assert CosineRedundancy().score(Site(weight=rows((0, 0), (1, 0), (0, 3)))).tolist() == pytest.approx([0, 1, 2])
    assert CosineRedundancy().score(Site(weight=rows((0, 0), (1, 0)))).tolist() == [0, 1]


def cup_site() -> Site:
    made = rows((1, 0), (1, 0.1), (0, 3)).unsqueeze(2)
    read = rows((1,), (1,), (2,)).unsqueeze(2)
    return Site(weight=made.flatten(1), kernels=(made,), reads=(read,))


def test_cup_cuts_wards_tree_of_kernel_norms():
    scores = ClusterPruning().score(cup_site())
    assert scores[0] == pytest.approx(0.1)
    assert (scores > 0.5).nonzero().flatten().tolist() == [1, 2]  # the threshold of the example keeps 1 and 2
    assert scores[2] == pytest.approx(2 * scores[1])


def test_cup_norms_are_over_whole_kernels():
    made = torch.zeros(2, 1, 4, dtype=torch.float64)
    made[0, 0] = torch.tensor([1.0, 1, 1, 1])
    made[1, 0] = torch.tensor([0.0, -2, 0, 0])
    scores = ClusterPruning().score(Site(weight=made.flatten(1), kernels=(made,)))
    assert scores.tolist() == [1.0, 0.0]  # equal norms, so 1 is absorbed at height 0 and nothing is apart


def reprune_site() -> Site:
    kernels = rows((0, 0), (0.1, 3), (5, 0.1), (5.1, 3.1)).unsqueeze(2)  # (C, C_in, 1)
    return Site(weight=kernels.flatten(1), kernels=(kernels,))


@pytest.mark.parametrize("seed", range(6))
def test_reprune_takes_one_of_the_two_pairs_that_cover_everything(seed: int):
    scores = KernelRepresentatives(0.5, seed).score(reprune_site())
    kept = set(scores.argsort(descending=True)[:2].tolist())
    assert kept in ({0, 3}, {1, 2})  # the L1 norm would keep 2 and 3
    assert sorted(scores.tolist()) == [0.25, 0.5, 0.75, 1.0]


def test_reprune_lots_reach_both_pairs():
    kept = {
        tuple(sorted(KernelRepresentatives(0.5, s).score(reprune_site()).argsort()[2:].tolist())) for s in range(20)
    }
    assert kept == {(0, 3), (1, 2)}


def test_reprune_covers_coupled_layers_together():
    first = rows((0, 0), (0.1, 3), (5, 0.1), (5.1, 3.1)).unsqueeze(2)
    site = Site(weight=first.flatten(1), kernels=(first[:, :1], first[:, 1:]))
    kept = set(KernelRepresentatives(0.5).score(site).argsort()[2:].tolist())
    assert kept in ({0, 3}, {1, 2})


MAPS = torch.tensor([[[[0.0, 0], [0, 3]], [[1, 2], [3, 4]]]])  # one image, two channels


def test_apoz_counts_zeros_behind_the_rectifier():
    observed = ZeroFraction().per_image(MAPS)[0]
    assert observed.tolist() == [0.25, 1.0]
    assert ZeroFraction().score(Site(weight=torch.zeros(2, 1), observed=observed)).tolist() == [0.25, 1.0]
    assert ZeroFraction(0.1).per_image(MAPS / 20).tolist() == [[0.25, 0.5]]


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (ActivationMean(), [0.75, 2.5]),
        (ActivationMax(), [3, 4]),
        (ActivationMin(), [0, 1]),
        (ActivationVariance(), [1.6875, 1.25]),
        (ActivationStd(), [math.sqrt(1.6875), math.sqrt(1.25)]),
        (ActivationL1(), [0.75, 2.5]),
        (ActivationL2(), [1.5, math.sqrt(7.5)]),
    ],
)
def test_activation_statistics(criterion, expected):
    scores = criterion.score(Site(weight=torch.zeros(2, 1), moments=Moments.of(MAPS)))
    assert scores.tolist() == pytest.approx(expected)
    assert dropped(scores, 1) == (
        [1] if "ariance" in criterion.card.name or "deviation" in criterion.card.name else [0]
    )


def test_l1_of_activations_does_not_cancel():
    moments = Moments.of(torch.tensor([[[[-1.0, 1.0]]]]))
    assert ActivationL1().score(Site(weight=torch.zeros(1, 1), moments=moments)).tolist() == [1]
    assert ActivationMean().score(Site(weight=torch.zeros(1, 1), moments=moments)).tolist() == [0]


def test_hrank_is_not_the_size_of_a_map():
    maps = torch.tensor([[[[1.0, 2], [2, 4]], [[1, 0], [0, 1]], [[0, 0], [0, 0]]]])
    scores = FeatureMapRank().per_image(maps)[0]
    assert scores.tolist() == [1, 2, 0]
    assert dropped(scores, 3) == [2, 0, 1]


def test_chip_rates_both_of_two_copies_low_and_depends_on_scale():
    maps = torch.tensor([[[1.0, 0, 0]], [[1, 0, 0]], [[0, 1, 0]]]).unsqueeze(0)
    scores = ChannelIndependence().per_image(maps)[0]
    assert scores.tolist() == pytest.approx([math.sqrt(2) - 1, math.sqrt(2) - 1, 1], abs=1e-5)
    assert set(dropped(scores, 2)) == {0, 1}, "which of two copies goes first is a matter of rounding"
    weak = ChannelIndependence().per_image(maps * torch.tensor([1, 1, 0.3]).view(1, 3, 1, 1))[0]
    assert weak[2] == pytest.approx(0.3, abs=1e-5)
    without_a_copy = ChannelIndependence().per_image(maps * torch.tensor([0.0, 1, 1]).view(1, 3, 1, 1))[0]
    assert without_a_copy.tolist() == pytest.approx([0, 1, 1], abs=1e-5)


def samples_of(contributions: Tensor) -> Samples:
    """One output whose entries the channels make as given, (M, C)."""
    return Samples(
        contributions.unsqueeze(2),
        torch.ones(contributions.shape[1], 1, 1, dtype=torch.float64),
        contributions.sum(1, keepdim=True),
    )


def test_thinet_is_greedy_even_where_that_is_not_optimal():
    x = rows((1, -1, 0.1), (1, -1, 0))
    errors = removal_errors(x.T @ x)
    assert dropped(errors, 2)[0] == 2
    assert errors[2] == pytest.approx(0.01)
    # both 0 and 1 are then left at the same error; their joint removal would have cost nothing
    assert errors[0] == pytest.approx(1.81)
    assert GreedyReconstruction().score(Site(weight=torch.zeros(3, 1), samples=(samples_of(x),))).argmin() == 2


def test_thinet_scales_the_channels_that_stay():
    samples = samples_of(rows((1, 1), (2, 2), (3, 3)))
    weight = GreedyReconstruction().reconstruct(samples, torch.tensor([0]))
    assert weight.flatten().tolist() == pytest.approx([2], rel=1e-5)


HADAMARD = rows((1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1)).T


@pytest.mark.parametrize(("penalty", "expected"), [(0.6, [2.4, 0, -0.4]), (1.2, [1.8, 0, 0])])
def test_lasso_with_orthogonal_columns(penalty: float, expected: list[float]):
    y = HADAMARD @ rows((3,), (0.5,), (-1,)).squeeze(1)
    assert lasso(HADAMARD.T @ HADAMARD / 4, HADAMARD.T @ y / 4, penalty).tolist() == pytest.approx(expected)


def test_lasso_lets_the_channels_in_by_size():
    contributions = HADAMARD * rows((3, 0.5, -1))
    scores = LassoReconstruction().score(Site(weight=torch.zeros(3, 1), samples=(samples_of(contributions),)))
    assert dropped(scores, 3) == [1, 2, 0]
    # entry happens at |x_i . y|, here 9, 1/4 and 1
    assert scores.tolist() == pytest.approx([1, 0.25 / 9, 1 / 9], rel=0.08)
    assert torch.equal(entry_penalties(torch.zeros(3, 3)), torch.zeros(3, dtype=torch.float64))


def test_least_squares_of_three_equations():
    assert ridge(rows((1, 0), (0, 1), (1, 1)), rows((2,), (3,), (5,)), 1e-12).flatten().tolist() == pytest.approx(
        [2, 3]
    )


def test_lasso_refits_all_outputs():
    # channel 1 equals channel 0, so 0 alone can make what both made, with weights doubled
    patches = rows((1, 1), (2, 2), (-1, -1)).unsqueeze(2)
    weight = torch.tensor([[[1.0, 3.0]], [[1.0, -1.0]]], dtype=torch.float64)  # (C, f, O)
    samples = Samples(patches, weight, torch.zeros(3, 2))
    new = LassoReconstruction().reconstruct(samples, torch.tensor([0]))
    assert new.flatten().tolist() == pytest.approx([2, 2], rel=1e-4)


def test_reconstructing_criteria_say_what_they_lack():
    for criterion in (GreedyReconstruction(), LassoReconstruction()):
        with pytest.raises(NotScorable, match="could not be sampled"):
            criterion.score(Site(weight=torch.zeros(2, 1)))


def mean_over_batches(criterion, weight: Tensor, gradients: list[Tensor]) -> Tensor:
    return torch.stack([criterion.per_batch(weight, g) for g in gradients]).mean(0)


def test_taylor_gate_squares_per_batch():
    gates = torch.ones(3, 1, dtype=torch.float64)
    batches = [rows((0.1,), (-0.5,), (0.2,)), rows((-0.1,), (0.5,), (0.2,))]
    observed = mean_over_batches(TaylorGate(), gates, batches)
    assert observed.tolist() == pytest.approx([0.01, 0.25, 0.04])  # the mean gradient would tie 0 and 1 at nothing
    assert dropped(TaylorGate().score(Site(weight=gates, observed=observed)), 1) == [0]


def test_taylor_on_weights_adds_squares_and_on_gates_squares_sums():
    weight, gradient = rows((1, -1)), rows((1, 1))
    assert TaylorWeight().per_batch(weight, gradient).tolist() == [2]
    assert TaylorGate().per_batch(weight, gradient).tolist() == [0]


def test_taylor_second_order_sees_the_curvature():
    def second(curvature: float) -> float:
        site = Site(weight=rows((2,)), gradient=rows((0.5,)), curvature=rows((curvature,)))
        return float(TaylorSecond().score(site))

    assert second(1.0) == pytest.approx(1)
    assert second(0.5) == pytest.approx(0)
    assert TaylorWeight().per_batch(rows((2,)), rows((0.5,))).tolist() == [1]


SALIENCY = Site(weight=rows((1,), (-2,), (0.5,)), gradient=rows((0.1,), (0.2,), (-1,)))


def test_plain_gradient_and_snip_and_the_norm_disagree():
    assert GradientMagnitude().per_batch(SALIENCY.weight, SALIENCY.gradient).tolist() == [0.1, 0.2, 1]
    assert Snip().score(SALIENCY).tolist() == pytest.approx([0.1, 0.4, 0.5])
    assert dropped(Snip().score(SALIENCY), 1) == [0]
    assert dropped(L1Norm().score(SALIENCY), 1) == [2]


def test_grasp_keeps_what_carries_the_gradient_flow():
    # H = diag(1, 2, 3), g = (1, -1, 1), w = 1: the paper's score is (-1, 2, -3) and removes 1 first
    scores = Grasp().score(Site(weight=rows((1,), (1,), (1,)), push=rows((1,), (-2,), (3,))))
    assert scores.tolist() == [1, -2, 3]
    assert dropped(scores, 1) == [1]


def test_synflow_scores_are_weight_times_flow():
    # W1 = (1, 2), W2 = (3, 1): R = 3 + 2, flows behind W1 are (3, 1), before W2 (1, 2)
    assert SynFlow().score(Site(weight=rows((1,), (2,)), gradient=rows((3,), (1,)))).tolist() == [3, 2]
    assert SynFlow().score(Site(weight=rows((3,), (1,)), gradient=rows((1,), (2,)))).tolist() == [3, 2]


class LinearTrial(Trial):
    """One linear output y = w . x with the loss (target - y)^2 / 2."""

    def __init__(self, x: Tensor, target: float) -> None:
        self.x, self.target, self.seen = x, target, []

    def gradient(self, weight: Tensor) -> Tensor:
        self.seen.append(weight.clone())
        return -(self.target - (weight.squeeze(1) * self.x).sum()) * self.x.unsqueeze(1)


def test_dcp_starts_from_nothing_and_takes_the_steepest_channel():
    trial = LinearTrial(rows((1, 2)).squeeze(0), 3)
    assert trial.gradient(torch.zeros(2, 1, dtype=torch.float64)).flatten().tolist() == [-3, -6]
    site = Site(weight=rows((1,), (1.5,)), trial=trial)
    scores = DiscriminationAware(rounds=2, steps=0).score(site)
    assert scores.argmax() == 1
    assert torch.equal(trial.seen[1], torch.zeros(2, 1, dtype=torch.float64))  # not at the pretrained weights
    assert trial.seen[2].flatten().tolist() == [0, 1.5]


def test_dcp_lets_selected_weights_move_only():
    trial = LinearTrial(rows((1, 2, 0.1)).squeeze(0), 3)
    DiscriminationAware(rounds=3, steps=2).score(Site(weight=rows((1,), (1,), (1,)), trial=trial))
    assert all(float(w[2]) == 0 for w in trial.seen[:-1])
    moved = [float(w[1]) for w in trial.seen if float(w[1]) != 0]
    assert moved[0] == 1 and moved[1] == pytest.approx(1 + 0.01 * (3 - 2) * 2 - 0.01 * 1e-4)


def test_dcp_without_a_trial_says_so():
    with pytest.raises(NotScorable, match="No weights read"):
        DiscriminationAware().score(Site(weight=torch.zeros(2, 1)))
