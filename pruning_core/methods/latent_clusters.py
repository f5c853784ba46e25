"""LSC-style pruning: clusters in a space of filters and maps, and new directions for some of those that stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.feature_maps import cosines, products
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.judgement import Judgement, Judging
from pruning_core.methods.phases import Cut, Diversify, Judge, Learnt, Phase, Train, Zeros
from pruning_core.methods.staged import staged
from pruning_core.methods.units import cuttable, joined, producers, uniform_counts
from pruning_core.numeric.trees import ward
from pruning_core.taxonomy import Card, Data, Family, Paper, Published


def latent(filters: Tensor, likeness: Tensor) -> Tensor:
    """(C, d): every filter, at length 1, mixed with those whose maps are like its own.

    One step of a graph convolution without weights: $D^{-1/2} (E + I) D^{-1/2} X$. Opposite maps are no neighbours.
    """
    nodes = filters / filters.norm(dim=1, keepdim=True).clamp_min(1e-300)
    edges = likeness.clamp_min(0).fill_diagonal_(0) + torch.eye(len(nodes), dtype=nodes.dtype)
    degree = edges.sum(1).rsqrt()
    return (degree[:, None] * edges * degree) @ nodes


def representatives(points: Tensor, keep: int) -> list[int]:
    """Of ``keep`` clusters by Ward's method the member nearest to each centre; of equally near ones the first."""
    members = {number: [number] for number in range(len(points))}
    merges = ward(points)[: len(points) - keep].tolist() if keep < len(points) else []
    for step, (left, right, *_) in enumerate(merges):
        members[len(points) + step] = members.pop(int(left)) + members.pop(int(right))
    found = []
    for cluster in members.values():
        own = sorted(cluster)
        centre = points[own].mean(0)
        found.append(own[int((points[own] - centre).norm(dim=1).argmin())])
    return sorted(found)


@dataclass(frozen=True)
class LatentClusters(Judgement):
    """1 for the representative of each of so many clusters as each group is to keep (``left``), 0 for the others."""

    left: Mapping[str, int] = field(default_factory=dict)

    def judging(
        self, model: nn.Module, network: Network, images: Dataset, learnt: Mapping[str, Tensor], device: str
    ) -> Judging:
        made = producers(model, network)
        groups = cuttable(network)
        maps = yield from products(model, network, groups, images, device)
        filters = {
            group.key: joined(made[group.key]).detach().cpu().double()
            if group.key in made
            else torch.eye(group.size, dtype=torch.float64)  # no weight makes them: their maps alone tell them apart
            for group in groups
        }
        return {key: self._marks(key, rows, cosines(maps, key, len(rows))) for key, rows in filters.items()}

    def _marks(self, key: str, filters: Tensor, likeness: Tensor) -> Tensor:
        marks = torch.zeros(len(filters), dtype=torch.float64)
        keep = min(len(filters), self.left.get(key, len(filters)))
        marks[representatives(latent(filters, likeness), keep)] = 1
        return marks


@dataclass(frozen=True)
class LatentClustering(Method):
    r"""LSC-style: keep one filter of each cluster of filters and maps, and give some that stay a new direction.

    $Z = D^{-1/2}(E + I)D^{-1/2} X$: filters of length 1 are the nodes $X$, cosines of their feature maps the edges $E$;
    one step along the edges, then Ward's clusters of $Z$, as many as the layer keeps. The member nearest to each centre
    stays, small or not. Of what stays, a share that is most like another filter is drawn anew, orthogonal to the rest,
    so that the network depends less on what it came from.

    When it fails: a new direction throws away what a filter had learnt, and a short training does not bring it back; at
    a share of 0 nothing is drawn anew. Only the abstract of the paper could be read: this is our reading of it, and no
    number here is the paper's method.
    """

    card: ClassVar = Card(
        key="lsc",
        name="Latent space clusters (LSC-style)",
        family=Family.CLUSTERING,
        data=Data.TRAINING,
        cost="products of all maps and one cluster tree per layer for every round; as many trainings",
        paper=Paper(
            "Filter Pruning and Re-Initialization via Latent Space Clustering",
            "Lee, Heo, Ha, Song",
            "IEEE Access",
            2020,
        ),
        published=(
            Published("VGG-16", "CIFAR-100", "56.6 % fewer FLOPs, 84.6 % parameters", "abstract of the paper", True),
            Published("ResNet-56", "CIFAR-10", "93.39 to 93.16 % at 55.5 % fewer FLOPs", "notes on the paper", False),
        ),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "How the paper builds its graph, what its graph convolution learns and how it clusters could not be read; one "
        "step without learnt weights stands for it. Every layer loses the same share, in few rounds."
    )
    in_paper: ClassVar = (
        InPaper("rounds", UNREAD),
        InPaper("renewed", UNREAD),
        InPaper("epochs", UNREAD),
    )

    rounds: Annotated[int, Range(1, 5, "Rounds", step=1)] = 2
    renewed: Annotated[float, Range(0.0, 0.5, "Share of filters drawn anew", step=0.05)] = 0.1

    def phases(self, goal: Goal) -> Iterator[Phase]:
        sizes = {group.key: group.size for group in cuttable(goal.network)}
        for number in range(1, self.rounds + 1):
            named = f", round {number}" if self.rounds > 1 else ""
            counts = uniform_counts(goal.network, staged(goal, number / self.rounds))
            left = {key: size - counts.get(key, 0) for key, size in sizes.items()}
            yield Judge(LatentClusters(left), name=f"clusters{named}")
            yield Cut(Learnt(), Zeros(), name=f"all but one of each cluster{named}")
            yield Diversify(self.renewed, name=f"new directions{named}")
            yield Train(1 / self.rounds, name=f"what is left{named}")
