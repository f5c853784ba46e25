"""The fast closed forms and compiled loops, against the definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from pruning_core.criteria.feature_maps import row_independence
from pruning_core.criteria.reconstruction import lasso, removal_errors, ridge
from pruning_core.numeric.compiled import compiled
from pruning_core.numeric.distances import correlation, cosine, euclidean
from pruning_core.numeric.kernel_clusters import covering_order, kernel_trees
from pruning_core.numeric.rank import ranks
from pruning_core.numeric.trees import absorption, average, ward
from pruning_core.numeric.weight_hash import lots, signs
from pruning_core.probe.moments import Moments

pytestmark = pytest.mark.usefixtures("one_thread")
quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10_000)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 7), (14, 14), (28, 28), (56, 56), (9, 4), (3, 17)])
def test_ranks_of_products_are_the_inner_size(height: int, width: int):
    for inner in {1, min(height, width) // 2 or 1, min(height, width)}:
        made = noise(inner, 20, height, inner) @ noise(inner + 1, 20, inner, width)
        assert ranks(made.float()).tolist() == [inner] * 20


def test_ranks_agree_with_singular_values_on_rectified_smooth_maps():
    generator = torch.Generator().manual_seed(0)
    maps = torch.nn.functional.interpolate(torch.randn(1, 400, 5, 5, generator=generator), 14, mode="bicubic")[0]
    maps = (maps + 0.02 * torch.randn(maps.shape, generator=generator) - 0.5).relu()
    found, expected = ranks(maps), torch.linalg.matrix_rank(maps)
    assert (found == expected).float().mean() > 0.97
    assert (found - expected).abs().max() <= 1
    assert len(expected.unique()) > 3  # the maps do differ in rank


def test_eigenvalues_of_the_gram_matrix_would_be_wrong():
    maps = torch.diag_embed(torch.tensor([[1.0, 1e-2, 1e-4]])).expand(5, 3, 3)
    eigenvalues = torch.linalg.eigvalsh(maps @ maps.mT)
    assert (eigenvalues > eigenvalues.amax(-1, keepdim=True) * 3 * 1.2e-7).sum(-1).tolist() == [2] * 5
    assert ranks(maps).tolist() == [3] * 5


def test_ranks_of_zeros_scale_and_two_threads():
    maps = noise(3, 31, 6, 6).float()
    expected = ranks(maps)
    assert ranks(torch.zeros(4, 5, 5)).tolist() == [0] * 4
    assert torch.equal(ranks(maps * 1e-30), expected) and torch.equal(ranks(maps * 1e30), expected)
    torch.set_num_threads(2)
    assert torch.equal(ranks(maps), expected)
    assert ranks(torch.zeros(0, 5, 5)).tolist() == []


def nuclear_norm(rows: torch.Tensor) -> float:
    return float(torch.linalg.svdvals(rows).sum())


@quick
@given(seeds, st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_row_independence_is_the_loss_of_nuclear_norm(seed: int, count: int, positions: int, deficient: bool):
    rows = noise(seed, count, positions).relu()
    if deficient and count > 2:
        rows[1] = 2 * rows[0]
    expected = []
    for i in range(count):
        without = rows.clone()
        without[i] = 0
        expected.append(nuclear_norm(rows) - nuclear_norm(without))
    scale = max(nuclear_norm(rows), 1e-12)
    assert torch.allclose(
        row_independence(rows) / scale, torch.tensor(expected, dtype=torch.float64) / scale, atol=2e-5
    )


@pytest.mark.parametrize(("count", "positions"), [(40, 400), (150, 49)])
def test_row_independence_of_feature_maps(count: int, positions: int):
    rows = (noise(1, count, positions) + 0.5 * noise(2, 1, positions)).relu()
    found = row_independence(rows.float())
    for i in (0, count // 2, count - 1):
        without = rows.float().double().clone()
        without[i] = 0
        assert found[i] == pytest.approx(nuclear_norm(rows.float().double()) - nuclear_norm(without), rel=1e-4)


@pytest.mark.parametrize(("count", "positions"), [(256, 400), (300, 196)])
def test_row_independence_is_exact_where_one_direction_dominates(count: int, positions: int):
    """As behind a rectifier: one direction a hundred times the median, singular values over six digits, dead rows."""
    fall = torch.logspace(0, -6, min(count, positions), dtype=torch.float64)
    left, right = (torch.linalg.qr(noise(n, size, len(fall)))[0] for n, size in ((1, count), (2, positions)))
    rows = (left * fall) @ right.T + 0.5 * noise(3, count, 1).abs() @ noise(4, 1, positions).abs() / count
    rows[::5] = 0
    found = row_independence(rows)
    assert not found[::5].any()
    for i in (1, count // 2, count - 1):
        without = rows.clone()
        without[i] = 0
        expected = nuclear_norm(rows) - nuclear_norm(without)
        assert float(found[i]) == pytest.approx(expected, abs=4e-5 * float(found.mean()))


def same_partition(first, second) -> bool:
    first, second = np.asarray(first), np.asarray(second)
    return bool(((first[:, None] == first) == (second[:, None] == second)).all())


@quick
@given(seeds, st.integers(2, 20), st.integers(1, 4), st.sampled_from([1, 1, 4, 9]))
def test_kernel_trees_are_wards(seed: int, filters: int, inputs: int, size: int):
    kernels = noise(seed, filters, inputs, size)
    trees = kernel_trees((kernels,))
    cut = trees.common_cut(max(1, filters // 2))
    labels = trees.labels(cut)
    for j in range(inputs):
        merges = linkage(kernels[:, j].numpy(), "ward")
        assert np.allclose(trees.cost[j], merges[:, 2] ** 2 / 2, rtol=1e-4, atol=1e-6)
        count = len(set(labels[j]))
        assert same_partition(labels[j], fcluster(merges, count, "maxclust"))
    assert labels.max() < filters and labels.min() == 0


def test_every_tree_makes_the_asked_merges_at_the_common_cut():
    trees = kernel_trees((noise(5, 12, 6, 9), noise(6, 12, 3, 1)))
    assert trees.cost.shape == (9, 11)
    labels = trees.labels(trees.common_cut(7))
    clusters = [len(set(row)) for row in labels]
    assert max(clusters) == 12 - 7
    assert [len(set(row)) for row in trees.labels(0)] == [12] * 9


def test_equal_kernels_are_one_cluster():
    kernels = torch.tensor([1.0, 2, 1, 2, 1]).view(5, 1, 1).expand(5, 2, 9)
    labels = kernel_trees((kernels,)).labels(0.0)
    assert all(same_partition(row, [0, 1, 0, 1, 0]) for row in labels)


@quick
@given(seeds, st.integers(1, 12), st.integers(1, 6))
def test_covering_order_is_greedy(seed: int, filters: int, inputs: int):
    labels = np.random.default_rng(seed).integers(0, max(1, filters // 2), (inputs, filters))
    order, gains = covering_order(labels, torch.arange(filters))
    assert sorted(order.tolist()) == list(range(filters))
    covered: set[tuple[int, int]] = set()
    left = set(range(filters))
    for pick, gain in zip(order.tolist(), gains.tolist()):
        worth = {i: sum((j, labels[j, i]) not in covered for j in range(inputs)) for i in left}
        if max(worth.values()) == 0:
            covered = set()
            worth = dict.fromkeys(left, inputs)
        assert gain == worth[pick] == max(worth.values())
        assert pick == max(i for i in left if worth[i] == gain)
        covered |= {(j, labels[j, pick]) for j in range(inputs)}
        left.remove(pick)


@quick
@given(seeds, st.integers(2, 15), st.floats(0.05, 5))
def test_absorption_keeps_one_per_cluster_at_every_height(seed: int, count: int, height: float):
    rows = noise(seed, count, 3)
    merges = ward(rows)
    height = min(height, 1.9 * merges[-1, 2])  # the last one of all is never absorbed
    kept = (absorption(merges, rows.norm(dim=1)) > height).nonzero().flatten().tolist()
    clusters = fcluster(merges, height, "distance")
    assert len(kept) == len(set(clusters)) == len({clusters[i] for i in kept})
    for i in kept:
        assert rows[i].norm() == max(rows[j].norm() for j in range(count) if clusters[j] == clusters[i])


@quick
@given(seeds)
def test_distances_agree_with_their_definitions(seed: int):
    rows = noise(seed, 7, 5)
    assert torch.allclose(euclidean(rows), torch.cdist(rows, rows), atol=1e-7)
    assert torch.allclose(
        cosine(rows), 1 - torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2), atol=1e-12
    )
    assert torch.allclose(correlation(rows), 1 - torch.corrcoef(rows), atol=1e-12)
    for distances in (euclidean(rows), cosine(rows), correlation(rows)):
        assert torch.equal(distances, distances.T) and not distances.diagonal().any() and distances.min() >= 0


def test_distances_of_degenerate_rows():
    rows = torch.tensor([[0.0, 0], [0, 0], [3, 4], [0.1, 0.1]])
    assert euclidean(rows)[0].tolist() == pytest.approx([0, 0, 5, 0.1414], abs=1e-4)
    assert cosine(rows)[0].tolist() == [0, 0, 1, 1]
    assert correlation(rows)[3].tolist() == [0, 0, 1, 0]
    assert average(euclidean(rows)).shape == (3, 4)


@quick
@given(seeds, st.integers(1, 4))
def test_moments_of_parts_are_the_moments_of_the_whole(seed: int, parts: int):
    maps = noise(seed, 8, 3, 4, 5) + 10
    whole = Moments.of(maps)
    merged = None
    for part in maps.split(parts):
        merged = Moments.of(part) if merged is None else merged.merge(Moments.of(part))
    flat = maps.transpose(0, 1).flatten(1)
    for moments in (whole, merged):
        assert moments.count == 8 * 20
        assert torch.allclose(moments.mean, flat.mean(1))
        assert torch.allclose(moments.variance, flat.var(1, correction=0))
        assert torch.allclose(moments.square, flat.square().mean(1))
        assert torch.allclose(moments.absolute, flat.abs().mean(1))
        assert torch.equal(moments.low, flat.amin(1)) and torch.equal(moments.high, flat.amax(1))


def test_a_constant_channel_has_no_variance_at_all():
    maps = torch.full((6, 2, 9, 9), 0.1)
    merged = Moments.of(maps[:2]).merge(Moments.of(maps[2:]))
    assert merged.variance.tolist() == [0, 0]


@quick
@given(seeds, st.integers(1, 8), st.floats(0.001, 1))
def test_lasso_meets_its_optimality_conditions(seed: int, count: int, share: float):
    x = noise(seed, 30, count)
    gram, target = x.T @ x / 30, x.T @ noise(seed + 1, 30) / 30
    penalty = share * float(target.abs().max())
    b = lasso(gram, target, penalty)
    slope = target - gram @ b
    assert (slope.abs() <= penalty + 1e-6).all()
    assert torch.allclose(slope[b != 0], penalty * b[b != 0].sign(), atol=1e-6)


@quick
@given(seeds, st.integers(1, 9))
def test_removal_errors_are_those_of_the_greedy_removal(seed: int, count: int):
    x = noise(seed, 12, count)
    errors = removal_errors(x.T @ x)
    gone: list[int] = []
    for pick in errors.argsort().tolist():
        cost = {j: float(x[:, [*gone, j]].sum(1).square().sum()) for j in range(count) if j not in gone}
        assert cost[pick] <= min(cost.values()) * (1 + 1e-9)
        gone.append(pick)
        assert errors[pick] >= cost[pick] * (1 - 1e-9)
    assert len(set(errors.tolist())) == count


@pytest.mark.parametrize(("rows", "size"), [(40, 6), (6, 40)])
def test_ridge_is_the_same_from_both_sides(rows: int, size: int):
    x, t = noise(1, rows, size), noise(2, rows, 3)
    mu = 1e-3 * float(x.square().sum()) / size
    expected = torch.linalg.solve(x.T @ x + mu * torch.eye(size, dtype=x.dtype), x.T @ t)
    assert torch.allclose(ridge(x, t, 1e-3), expected, atol=1e-9)


def test_signs_are_fair_and_belong_to_the_weight():
    weight = noise(0, 40, 50, 3).float()
    drawn = signs(weight, 1)
    assert set(drawn.unique().tolist()) == {-1.0, 1.0} and drawn.mean().abs() < 0.05
    assert torch.equal(signs(weight.flip(0), 1), drawn.flip(0))
    assert (drawn * signs(weight, 2)).mean().abs() < 0.05
    numbers = lots(weight.flatten(1), 3)
    assert torch.equal(lots(weight.flip(1).flatten(1), 3), numbers) and len(numbers.unique()) == 40


def test_compiled_code_runs_where_nothing_can_be_written(monkeypatch, tmp_path):
    import numba

    real, asked = numba.njit, []

    def njit(function, cache=False, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(function, **options)

    monkeypatch.setattr(numba, "njit", njit)
    double = compiled(lambda x: x + x)
    assert double(3) == 6 and double(4) == 8 and asked == [True, False]
