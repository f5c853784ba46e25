"""Distances, trees, embeddings and representatives of a layer's channels."""

import numpy as np
import pytest
import torch
from criteria_nets import Plain, Residual, make
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import dendrogram as scipy_dendrogram
from scipy.cluster.hierarchy import fcluster
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from torch import Tensor, nn

from pruning_core.analysis.embedding import principal_components, t_sne
from pruning_core.analysis.redundancy import channel_redundancy, kernel_redundancy, producers
from pruning_core.analysis.similarity import (
    AVERAGE,
    COSINE,
    EUCLIDEAN,
    LARGEST,
    LINKAGES,
    MEDOID,
    METRICS,
    REPRESENTATIVES,
    SINGLE,
    WARD,
    all_but_one,
    grow,
    k_means,
    response_rows,
    silhouette,
    weight_rows,
)
from pruning_core.criteria import ClusterPruning, KernelRepresentatives, score
from pruning_core.errors import UserError
from pruning_core.graph import capture

pytestmark = pytest.mark.usefixtures("one_thread")
quick = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 10_000)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blobs(count: int = 4, each: int = 6, size: int = 5) -> tuple[Tensor, np.ndarray]:
    """Well separated clusters, and the cluster of every row."""
    labels = np.arange(count * each) % count
    return noise(0, count, size)[labels] * 20 + noise(1, count * each, size), labels


def same_partition(first, second) -> bool:
    first, second = np.asarray(first), np.asarray(second)
    return bool(((first[:, None] == first) == (second[:, None] == second)).all())


@pytest.mark.parametrize("kind", LINKAGES, ids=lambda k: k.name)
def test_every_linkage_finds_separate_clusters(kind):
    points, truth = blobs()
    for metric in kind.metrics:
        tree = grow(metric.distances(points), kind)
        assert same_partition(tree.split(4), truth)
        assert tree.channels == 24 and tree.merges.shape == (23, 4)


@quick
@given(seeds, st.integers(2, 20), st.floats(0.1, 4), st.sampled_from(LINKAGES))
def test_a_cut_joins_what_lies_below_it(seed: int, count: int, height: float, kind):
    tree = grow(EUCLIDEAN.distances(noise(seed, count, 3)), kind)
    labels = tree.cut(height)
    assert same_partition(labels, fcluster(tree.merges, height, "distance"))
    firsts = list(dict.fromkeys(labels[tree.order].tolist()))
    assert firsts == list(range(len(firsts)))  # numbered from left to right
    for clusters in {1, (count + 1) // 2, count}:
        assert len(set(tree.split(clusters).tolist())) == clusters
    changes = np.count_nonzero(np.diff(labels[tree.order]))
    assert changes == len(firsts) - 1  # clusters stand side by side


@quick
@given(seeds, st.integers(2, 25), st.sampled_from(LINKAGES))
def test_the_dendrogram_is_the_one_scipy_draws(seed: int, count: int, kind):
    tree = grow(EUCLIDEAN.distances(noise(seed, count, 3)), kind)
    drawn, expected = tree.dendrogram, scipy_dendrogram(tree.merges, no_plot=True)
    assert sorted(drawn.order.tolist()) == list(range(count))
    ours = sorted(map(tuple, np.round(np.sort(drawn.height, axis=1), 9)))
    assert ours == sorted(map(tuple, np.round(np.sort(np.array(expected["dcoord"]), axis=1), 9)))
    feet = {*range(count), *((x[0] + x[2]) / 2 for x in drawn.x)}  # leaves, and the middles of other brackets
    for (x1, x2, x3, x4), (low, top, same, right) in zip(drawn.x, drawn.height):
        assert x1 == x2 < x3 == x4 and {x1, x3} <= feet and top == same >= max(low, right)


def test_a_deep_tree_needs_no_deep_recursion():
    line = torch.cumsum(torch.arange(1500.0), 0)[:, None]
    tree = grow(EUCLIDEAN.distances(line), SINGLE)
    assert tree.dendrogram.x.shape == (1499, 4)
    assert len(set(tree.split(3).tolist())) == 3


def test_trees_of_one_and_no_merge():
    tree = grow(torch.zeros(1, 1, dtype=torch.float64))
    assert tree.order.tolist() == [0] and tree.split(1).tolist() == [0] and tree.dendrogram.x.shape == (0, 4)


def test_like_stands_by_like():
    points, truth = blobs(3, 10)
    tree = grow(COSINE.distances(points), AVERAGE)
    assert np.count_nonzero(np.diff(truth[tree.order])) == 2


@quick
@given(seeds, st.integers(2, 6))
def test_silhouettes_are_sklearns(seed: int, count: int):
    points = noise(seed, 20, 3)
    distances = EUCLIDEAN.distances(points)
    tree = grow(distances, WARD)
    labels = tree.split(count)
    expected = silhouette_score(distances.numpy(), labels, metric="precomputed")
    assert silhouette(distances, labels) == pytest.approx(expected)
    assert tree.silhouettes[count - 1] == pytest.approx(expected)


def test_the_silhouette_peaks_at_the_true_number_of_clusters():
    points, _ = blobs(4)
    tree = grow(EUCLIDEAN.distances(points))
    assert int(np.argmax(tree.silhouettes)) + 1 == 4
    assert len(tree.silhouettes) == 24 and tree.silhouettes[0] == tree.silhouettes[-1] == 0
    assert silhouette(EUCLIDEAN.distances(points), np.arange(24)) == 0


def inertia(points: Tensor, labels: np.ndarray) -> float:
    """Sum of squared distances to the means."""
    rows = points.numpy()
    return sum(float(np.square(rows[labels == k] - rows[labels == k].mean(0)).sum()) for k in np.unique(labels))


def test_k_means_finds_the_clusters():
    points, truth = blobs()
    tree = grow(EUCLIDEAN.distances(points), WARD)
    assert same_partition(k_means(tree, 4), truth)
    assert sorted(k_means(tree, 100).tolist()) == list(range(24))
    assert k_means(grow(torch.zeros(3, 3, dtype=torch.float64), WARD), 2).max() == 1


@quick
@given(seeds, st.integers(5, 60), st.integers(1, 4))
def test_k_means_ends_where_no_mean_is_nearer_and_is_no_worse_than_ward(seed: int, count: int, size: int):
    points = noise(seed, count, size)
    tree = grow(EUCLIDEAN.distances(points), WARD)
    wanted = 1 + count // 4
    labels = k_means(tree, wanted)
    assert set(labels.tolist()) == set(range(wanted))
    assert inertia(points, labels) <= inertia(points, tree.split(wanted)) * (1 + 1e-9)
    means = torch.stack([points[torch.from_numpy(labels == k)].mean(0) for k in range(wanted)])
    apart = torch.cdist(points, means)
    own = apart[torch.arange(count), torch.from_numpy(labels)]
    strays = (own > apart.amin(1) * (1 + 1e-6)).nonzero().flatten().tolist()
    for i in strays:  # only the one that is nearest to its mean may not leave
        assert own[i] == own[torch.from_numpy(labels == labels[i])].min()


def test_k_means_is_as_good_as_many_random_starts():
    points = noise(7, 300, 20).relu()
    found = inertia(points, k_means(grow(EUCLIDEAN.distances(points), WARD), 40))
    assert found <= 1.02 * KMeans(40, n_init=4, random_state=0).fit(points.numpy()).inertia_


@pytest.mark.parametrize("shape", [(30, 5), (5, 30), (90, 300), (300, 90), (520, 600), (2, 7), (3, 1)])
def test_principal_components_are_sklearns(shape):
    points = noise(3, *shape) * torch.linspace(1, 3, shape[1], dtype=torch.float64) ** 2
    found = principal_components(points)
    assert found.points.shape == (shape[0], 2)
    wanted = min(2, *shape)
    expected = PCA(wanted, svd_solver="full").fit(points.numpy())
    places = expected.transform(points.numpy())
    assert np.allclose(np.abs(found.points[:, :wanted]), np.abs(places), atol=2e-2 * np.abs(places).max())
    assert found.explained[:wanted] == pytest.approx(expected.explained_variance_ratio_.tolist(), rel=1e-3, abs=1e-9)
    assert (found.points[np.abs(found.points).argmax(0), [0, 1]] >= 0).all()


def test_t_sne_keeps_neighbours_together_and_repeats_itself():
    points, truth = blobs(3, 12)
    distances = EUCLIDEAN.distances(points)
    places = t_sne(distances)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(36, np.inf))
    assert (truth[apart.argmin(1)] == truth).all()
    assert np.array_equal(places, t_sne(distances))
    assert t_sne(distances[:2, :2]).shape == (2, 2)


def test_one_of_each_cluster_stays():
    points = torch.tensor([[0.0], [1], [1.1], [5], [4]], dtype=torch.float64)
    distances = EUCLIDEAN.distances(points)
    labels = np.array([0, 0, 0, 1, 1])
    assert all_but_one(points, distances, labels, MEDOID) == (0, 2, 4)
    assert all_but_one(points, distances, labels, LARGEST) == (0, 1, 4)
    for keep in REPRESENTATIVES:
        assert all_but_one(points, distances, np.arange(5), keep) == ()
        assert len(all_but_one(points, distances, np.zeros(5, np.int64), keep)) == 4


def test_weights_of_coupled_layers_stand_side_by_side():
    case = make(Residual)
    group = case.network.group("stem")
    both = weight_rows(case.model, group)
    assert both.shape == (6, 9 + 36)
    assert torch.equal(weight_rows(case.model, group, "outer"), case.model.outer.weight.detach().flatten(1))
    with pytest.raises(UserError, match="computes no channel"):
        weight_rows(case.model, group, "head")


def test_responses_tell_copies_that_weights_do_not():
    case = make(Plain)
    with torch.no_grad():  # channel 1 answers as channel 0 although a batch norm scales it differently
        case.model.one.weight[1] = 2 * case.model.one.weight[0]
        case.model.norm.weight[1], case.model.norm.bias[1] = case.model.norm.weight[0] / 2, case.model.norm.bias[0]
        case.model.norm.running_mean[1] = 2 * case.model.norm.running_mean[0]
        case.model.norm.running_var[1] = case.model.norm.running_var[0]
    group = case.network.group("one")
    answers = response_rows(case.model, group, case.data, images=10)
    assert answers.shape == (6, 10 * 36)
    assert EUCLIDEAN.distances(answers)[0, 1] < 1e-6
    assert EUCLIDEAN.distances(weight_rows(case.model, group))[0, 1] > 0.1
    for metric in METRICS:
        assert torch.isfinite(metric.distances(answers)).all()


def test_responses_inside_a_fused_call_are_refused_in_words():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Linear(1, 8), nn.Linear(8, 3)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            x = self.embed(x.flatten(1)[..., None])
            return self.head(self.attention(x, x, x, need_weights=False)[0]).mean(1)

    model = Attention().eval()
    network = capture(model, torch.zeros(1, 1, 6, 6))
    heads = next(g for g in network.groups if g.key.startswith("attention"))
    with pytest.raises(UserError, match="Compare their weights instead"):
        response_rows(model, heads, make(Plain).data)


def test_one_threshold_gives_every_layer_its_own_width():
    case = make(Residual)
    profile = channel_redundancy(case.model, case.network)
    scores = score(case.model, case.network, [ClusterPruning()])[ClusterPruning()].values
    assert [p.key for p in profile] == [g.key for g in case.network.groups]
    for layer in profile:
        assert layer.clusters(0) == layer.channels and layer.clusters(1e9) == 1
        middle = float(np.median(layer.heights))
        assert layer.clusters(middle) == int((scores[layer.key] > middle).sum())


def test_kernel_clusters_and_their_cover():
    case = make(Residual)
    group = case.network.group("stem")
    found = kernel_redundancy(case.model, group, KernelRepresentatives(0.5))
    assert len(found.clusters) == 1 + 4  # input channels of stem and outer
    assert found.clusters.max() == 3 and found.coverage.shape == (6,)
    assert (np.diff(found.coverage) >= 0).all() and found.coverage[-1] == 1
    assert 1 <= found.filters_for(0.5) <= found.filters_for(1.0) <= 6
    picked = score(case.model, case.network, [KernelRepresentatives(0.5)])[KernelRepresentatives(0.5)].values["stem"]
    assert found.order.tolist() == picked.argsort(descending=True).tolist()
    assert len(kernel_redundancy(case.model, group, layer="outer").clusters) == 4
    assert len(producers(case.model, group)) == 2


def test_copies_of_a_filter_are_covered_by_one():
    case = make(Plain)
    with torch.no_grad():
        case.model.one.weight[3:] = case.model.one.weight[:3]
    found = kernel_redundancy(case.model, case.network.group("one"), KernelRepresentatives(0.5))
    assert found.clusters.tolist() == [3] and found.filters_for(1.0) == 3
