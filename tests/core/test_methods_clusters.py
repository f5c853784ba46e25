"""Clusters of maps and filters, the swarm that begins there, and filters that get a direction of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pruning_core.allocation import swarm
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.space import Space
from pruning_core.allocation.swarm import Swarm, velocity
from pruning_core.allocation.trial import Trial
from pruning_core.graph import capture
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods import latent_clusters
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.diversity import diversified, renewed
from pruning_core.methods.feature_maps import cosines, likeness, products
from pruning_core.methods.latent_clusters import LatentClustering, LatentClusters, latent, representatives
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Diversify, Judge, Train
from pruning_core.methods.swarm_widths import ClusterSwarm, MapClusters, SwarmWidths, clusters, standing
from pruning_core.work import finished
from tests.core.small_programs import Parts, begun, setup
from tests.core.small_residual import performed, residual, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


# -- maps --------------------------------------------------------------------------------------------------------------


def test_maps_are_compared_over_all_images_positions_and_readers(digits: Parts) -> None:
    layers = (nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))
    model: Any = nn.Sequential(*layers)
    network = capture(model.eval(), torch.zeros(1, 1, 8, 8))
    images = digits[0].subset(70, 1)
    found = finished(products(model, network, network.groups, images, "cpu"))
    x = images.normalised(images.images)
    for key, read in zip((group.key for group in network.groups), (model[:2](x), model[:4](x))):
        rows = read.detach().double().transpose(0, 1).flatten(1)
        assert torch.allclose(found[key], rows @ rows.T, rtol=1e-5)
        cosines = nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
        assert torch.allclose(likeness(found[key]), cosines, atol=1e-5)


def test_the_channels_of_a_residual_stream_are_compared_wherever_they_are_read(digits: Parts) -> None:
    state = begun(residual())
    images = digits[0].subset(20, 1)
    found = finished(products(state.model, state.network, state.network.groups, images, "cpu"))
    model: Any = state.model
    x = images.normalised(images.images)
    stem = model[:3](x)
    stream = (stem, model[4](model[3](stem)), model[:8](x).unflatten(1, (8, 4)))
    rows = torch.cat([each.detach().double().transpose(0, 1).flatten(1) for each in stream], 1)
    assert torch.allclose(found[state.network.groups[0].key], rows @ rows.T, rtol=1e-4)


def test_dead_channels_are_like_none() -> None:
    maps = torch.tensor([[1.0, 0, 0], [2, 0, 0], [0, 0, 0], [0, 0, 0]]).double()
    assert likeness(maps @ maps.T).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


# -- ACP ---------------------------------------------------------------------------------------------------------------


def test_like_maps_are_one_cluster_and_its_largest_filter_stands_for_it() -> None:
    """Maps (1, 0), (2, 0), (0, 1): two clusters, so the first width is two."""
    maps = torch.tensor([[1.0, 0], [2, 0], [0, 1]]).double()
    labels = clusters(likeness(maps @ maps.T), 0.1)
    assert labels[0] == labels[1] != labels[2]
    place = standing(labels, torch.tensor([3.0, 2.0, 0.5]).double())
    assert (place > 1).tolist() == [True, False, True] and bool((place > 0).all())
    chain = torch.tensor([[1.0, 0.9, 0.6], [0.9, 1, 0.9], [0.6, 0.9, 1]])
    assert len(clusters(chain, 0.15).unique()) == 1 and len(clusters(chain, 0.05).unique()) == 3


def test_a_particle_without_memory_jumps_to_the_best() -> None:
    x, best = np.array([0.2, 0.9]), np.array([0.7, 0.4])
    luck = (np.ones(2), np.ones(2))
    assert np.allclose(x + velocity(np.ones(2), x, x * 2, best, luck, (0.0, 0.0, 1.0)), best)
    assert np.allclose(velocity(np.ones(2), x, x + 1, x, luck, (0.5, 2.0, 1.0)), 2.5)


def test_every_particle_remembers_its_own_best(monkeypatch: pytest.MonkeyPatch) -> None:
    state = begun(residual())
    scores = {group.key: torch.rand(group.size) for group in state.network.groups}
    told: list[Any] = []

    def spied(v: Any, x: Any, own: Any, best: Any, *rest: Any) -> Any:
        told.append((own.copy(), best.copy()))
        return velocity(v, x, own, best, *rest)

    monkeypatch.setattr(swarm, "velocity", spied)
    walk = Swarm(3).walk(Space(Pool.of(state.network, scores, Limits()), 0.1, 40, (Budget("macs", 0.5),)), seed=2)
    draw, seen = next(walk), []
    for number in range(1 + 4 * 3):
        accuracy = 0.9 - abs(draw.shares[0] - 0.4) + 0.01 * number
        seen.append((accuracy, draw.shares))
        draw = walk.send(Trial(0, draw.shares, {}, {}, 1, 1, None, accuracy, True, True, 0.0))
    own, best = told[-1]
    for particle in range(3):
        assert tuple(own[particle]) == max(seen[1 + particle :: 3])[1]
    assert tuple(best) == max(seen)[1]


def test_the_swarm_begins_at_the_clusters_and_moves_to_what_was_best() -> None:
    state = begun(residual())
    scores = {group.key: torch.linspace(0.02, 1.98, group.size).double() for group in state.network.groups}
    scores[state.network.groups[1].key][3:] = 0.5
    space = Space(Pool.of(state.network, scores, Limits()), 0.02, 40, (Budget("macs", 0.5),))
    at = [float((scores[key] > 1).double().mean()) for key in space.keys]
    assert at == [0.5, 0, 0.5]
    walk = ClusterSwarm(4).walk(space, seed=0)
    draw = next(walk)
    assert draw.shares == (1.0, 1.0, 1.0), "never below the uniform allocation"
    target, draws = np.array([0.9, 0.3, 0.1]), []
    for _ in range(40):
        accuracy = 1 - float(np.abs(np.array(draw.shares) - target).mean())
        draws.append(np.array(draw.shares))
        draw = walk.send(Trial(0, draw.shares, {}, {}, 1, 1, None, accuracy, True, True, 0.0))
    begin = np.clip(at, 0.02, 1)
    assert all(np.abs(each - begin).max() <= 0.1 * begin.max() + 1e-9 for each in draws[1:5])
    far = [np.abs(each - target).mean() for each in draws]
    assert min(far[25:]) < min(far[:5]) and np.mean(far[-4:]) < np.mean(far[1:5])
    assert Swarm().start(space).tolist() == [1, 1, 1]


# -- LSC ---------------------------------------------------------------------------------------------------------------


def test_like_filters_with_like_maps_are_one_cluster_and_every_distinct_one_survives() -> None:
    filters = torch.tensor([[1.0, 0, 0], [0, 5, 0], [1, 0, 0], [0, 0, 0.1]]).double()
    maps = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]).double()
    points = latent(filters, likeness(maps @ maps.T))
    assert torch.allclose(points[0], points[2])
    assert representatives(points, 3) == [0, 1, 3], "the tiny one too"
    assert representatives(points, 4) == [0, 1, 2, 3] and len(representatives(points, 1)) == 1


def test_what_maps_alike_is_drawn_together() -> None:
    filters = torch.eye(3).double()
    apart = latent(filters, torch.eye(3).double())
    assert torch.allclose(apart, filters)
    cosines = torch.tensor([[1.0, 0.8, 0], [0.8, 1, 0], [0, 0, 1]]).double()
    near = latent(filters, cosines)
    assert torch.allclose(near[0], torch.tensor([1, 0.8, 0]).double() / 1.8)
    assert (near[0] - near[1]).norm() < (apart[0] - apart[1]).norm()


def test_the_member_nearest_to_the_centre_stays() -> None:
    points = torch.tensor([[0.0], [1.0], [1.1], [9.0]]).double()
    assert representatives(points, 2) == [1, 3]


def test_new_filters_are_orthogonal_to_the_rest_and_of_the_layers_size() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 12, generator=generator).double()
    rows[3] = rows[1] * 0.5  # the smaller of the two that are most alike
    new = renewed(rows, 1, generator)
    assert torch.equal(new[[0, 1, 2, 4]], rows[[0, 1, 2, 4]])
    assert torch.allclose(new[[0, 1, 2, 4]] @ new[3], torch.zeros(4).double(), atol=1e-10)
    assert float(new[3].norm()) == pytest.approx(float(rows.norm(dim=1).mean()))
    full = torch.cat([torch.eye(3), torch.tensor([[1.0, 0.1, 0]])]).double()  # three dimensions, four filters
    least = torch.linalg.svd(full[1:])[2][-1]  # of those that stay
    made = renewed(full, 1, generator)
    assert abs(float(made[0] @ least)) == pytest.approx(float(made[0].norm())) and torch.equal(made[1:], full[1:])


def test_a_share_of_every_layer_is_drawn_anew_and_nothing_else_changes() -> None:
    state = begun(residual())
    before = tensors(state.model)
    changed: Any = diversified(state.model, state.network, 0.2, seed=3)
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    filters = {name: value for name, value in before.items() if value.dim() == 4}
    rows = {name: (tensors(changed)[name] != value).flatten(1).any(1).sum() for name, value in filters.items()}
    assert rows["3.first.weight"] == 1 and rows["5.first.weight"] == 2
    assert {int(rows[name]) for name in ("0.weight", "3.second.weight", "5.second.weight")} == {2}, "coupled: at once"
    others = [name for name, value in before.items() if value.dim() != 4]
    assert all(torch.equal(tensors(changed)[name], before[name]) for name in others)
    same = diversified(state.model, state.network, 0.0, 3).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in same.items())


# -- both --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [MapClusters(), LatentClusters()], ids=["acp", "lsc"])
def test_judging_looks_at_so_many_fitted_images_and_changes_nothing(by: Any, digits: Parts) -> None:
    state = begun(residual())
    left = {group.key: 3 for group in state.network.groups}
    by = LatentClusters(left) if isinstance(by, LatentClusters) else by
    before = tensors(state.model)
    work = perform((Judge(by, 50), Diversify(0.3)), state, setup(digits))
    judged, renewed_one = [event.state for event in work if isinstance(event, Done)]
    expected = finished(by.judging(state.model, state.network, digits[0].subset(50, 3), {}, "cpu"))
    assert {k: v.tolist() for k, v in judged.learnt.items()} == {k: v.tolist() for k, v in expected.items()}
    assert all(torch.equal(value, before[name]) for name, value in judged.model.state_dict().items())
    assert not torch.equal(renewed_one.model.state_dict()["5.first.weight"], before["5.first.weight"])
    if isinstance(by, LatentClusters):
        assert all(int(marks.sum()) == 3 for marks in judged.learnt.values())


@pytest.mark.parametrize("method", [LatentClustering(), SwarmWidths(trials=8)], ids=lambda m: m.card.key)
def test_a_residual_network_is_pruned(method: Method, digits: Parts) -> None:
    assert evaluate(performed(method, digits)[1][-1].state.model, digits[2], device="cpu").top1 > 0.4


def test_rounds_renew_between_cut_and_training() -> None:
    state = begun(residual())
    phases = tuple(LatentClustering(rounds=2).phases(Goal(state.network, Budget("macs", fraction=0.5))))
    assert [type(phase).__name__ for phase in phases] == ["Judge", "Cut", "Diversify", "Train"] * 2
    first, second = (p.by.left for p in phases if isinstance(p, Judge) and isinstance(p.by, LatentClusters))
    assert all(second[key] <= first[key] for key in first) and sum(second.values()) < sum(first.values())
    assert sum(p.share for p in phases if isinstance(p, Train)) == pytest.approx(1)


def test_channels_whose_maps_nobody_sees_are_judged_by_their_filters(digits: Parts) -> None:
    """Fused attention hides what it reads; its heads must go too, or the budget is not kept."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 4, 16, batch_first=True, dropout=0.0)
            self.last = nn.Linear(8, 10)

        def forward(self, x: Any) -> Any:
            return self.last(self.layer(x[:, 0]).mean(1))

    model = Attention().eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    left = {group.key: 2 for group in network.groups}
    for by in (LatentClusters(left), MapClusters()):
        found = finished(by.judging(model, network, digits[0].subset(16, 1), {}, "cpu"))
        assert found.keys() == {group.key for group in network.groups if group.exact} and len(found) == 2
    assert cosines({}, "any", 3).tolist() == torch.eye(3).tolist()


def test_channels_that_no_weight_makes_are_judged_by_their_maps(digits: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_clusters, "producers", lambda *_: {})
    state = begun(residual())
    by = LatentClusters({group.key: 3 for group in state.network.groups})
    found = finished(by.judging(state.model, state.network, digits[0].subset(16, 1), {}, "cpu"))
    assert len(found) == 3 and all(int(marks.sum()) == 3 for marks in found.values())
