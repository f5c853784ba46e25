"""ACP: clusters of like feature maps say where a swarm begins that looks for the widths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from pruning_core.allocation.search import Search
from pruning_core.allocation.space import Space
from pruning_core.allocation.swarm import Shares, Swarm
from pruning_core.datasets import Dataset
from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.feature_maps import cosines, products
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.judgement import Judgement, Judging
from pruning_core.methods.phases import Cut, FindWidths, Judge, Learnt, Phase, Recover, Train, Zeros
from pruning_core.methods.staged import staged
from pruning_core.methods.units import cuttable, joined, producers
from pruning_core.taxonomy import Card, Data, Family, Published

Eps = Annotated[float, Range(0.01, 0.9, "Like maps", step=0.01, help="1 - cosine, up to which two maps are neighbours")]


def clusters(likeness: Tensor, eps: float) -> Tensor:
    """(C,) which cluster each channel lies in: channels are in one where neighbours lead from one to the other.

    This is clustering by density in which one neighbour is enough.
    """
    return torch.from_numpy(connected_components((1 - likeness <= eps).numpy(), directed=False)[1])


@dataclass(frozen=True)
class MapClusters(Judgement):
    """Above 1 the channel with the largest filter of every cluster of like maps, below 1 all others."""

    eps: Eps = 0.2

    def judging(
        self, model: nn.Module, network: Network, images: Dataset, learnt: Mapping[str, Tensor], device: str
    ) -> Judging:
        made = producers(model, network)
        groups = [group for group in cuttable(network) if group.key in made]
        maps = yield from products(model, network, groups, images, device)
        norms = {group.key: joined(made[group.key]).detach().cpu().double().norm(dim=1) for group in groups}
        return {key: standing(clusters(cosines(maps, key, len(n)), self.eps), n) for key, n in norms.items()}


def standing(labels: Tensor, norms: Tensor) -> Tensor:
    """(C,): 1 to 2 for the largest of every cluster, 0 to 1 for the others, by their norms."""
    size = norms / norms.max().clamp_min(1e-300)
    first = [int(torch.where(labels == label, norms, -1.0).argmax()) for label in labels.unique()]
    place = 0.01 + 0.98 * size
    place[first] += 1
    return place


@dataclass(frozen=True)
class ClusterSwarm(Swarm):
    """The swarm begins where every layer keeps one channel of each cluster of like maps."""

    def start(self, space: Space) -> Shares:
        values = space.pool.values
        return np.array([float((values[key] > 1).mean()) for key in space.keys])


@dataclass(frozen=True)
class SwarmWidths(Method):
    r"""Clusters of like feature maps say how wide each layer may be; a swarm of networks near that finds the best.

    $v \leftarrow \omega v + c_1 r_1 (p - x) + c_2 r_2 (g - x), \quad x \leftarrow x + v$ for the widths $x$ of each
    particle, its best so far $p$ and the best of all $g$. Channels whose maps have a cosine near 1 lie in one cluster
    (clustering by density); the number of clusters is the first width of a layer, and the channel with the largest
    filter of each stays longest. A particle is measured on held-out images, with the weights that are there and new
    batch-norm statistics, scaled so that the budget is kept.

    When it fails: maps behind a rectifier are all alike where they are mostly positive, and then one cluster is left.
    A few particles follow the first good place that one of them found by chance; only accuracies before any training
    are compared.
    """

    card: ClassVar = Card(
        key="acp",
        name="Clusters and a swarm (ACP)",
        family=Family.CLUSTERING,
        data=Data.TRAINING,
        cost="products of all maps once, one evaluation per trial, then one training",
        paper=Swarm.card.paper,
        published=(
            Published("ResNet-50", "ImageNet", "63.34 % fewer FLOPs, less than 0.9 % lost", "abstract", True),
            Published("ResNet-56", "CIFAR-10", "93.18 to 93.39 % at 54.4 % fewer FLOPs", "notes on the paper", False),
        ),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "Of the paper only the abstract and summaries were read: how large a cluster may be, and the settings of the "
        "swarm, are ours; its number on arXiv is recalled. Particles are not trained before they are measured."
    )
    in_paper: ClassVar = (
        InPaper("eps", UNREAD),
        InPaper("particles", UNREAD),
        InPaper("trials", UNREAD),
        InPaper("epochs", UNREAD),
    )

    eps: Eps = 0.2
    particles: Annotated[int, Range(2, 50, "Particles", step=1)] = 6
    trials: Annotated[int, Range(1, 500, "Networks tried", step=1)] = 30

    def phases(self, goal: Goal) -> Iterator[Phase]:
        budget = staged(goal, 1)
        yield Judge(MapClusters(self.eps), name="clusters of like maps")
        search = Search(ClusterSwarm(self.particles), self.trials, least=0.02)
        yield FindWidths(Learnt(), search, budget, name="swarm")
        yield Cut(Learnt(), Zeros(), name="what the best does without")
        yield Recover(name="statistics")
        yield Train(1.0, name="what is left")
