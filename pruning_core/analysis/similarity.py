"""Which channels of a layer are alike: distances, cluster trees, and what to keep of each cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from torch import Tensor, nn

from pruning_core.analysis.redundancy import producers
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Group
from pruning_core.numeric.distances import correlation, cosine, euclidean
from pruning_core.numeric.silhouettes import mean_silhouette, silhouettes_of, sums_by_cluster
from pruning_core.probe.places import index_of, members_at, rows
from pruning_core.probe.readings import Reading, Readings, channel_maps
from pruning_core.probe.shadow import shadow
from pruning_core.probe.site import Place

Labels = NDArray[np.int64]  # (C,) cluster of each channel, counted from 0
ORDERED_UP_TO = 256  # channels: the optimal order of leaves takes time that grows with the square and more
LLOYD_STEPS = 100  # at most; from Ward's clusters a few are enough
POOLED = 7  # maps are averaged down to at most 7 x 7 before channels are compared by what they answer


@dataclass(frozen=True)
class Metric:
    """How far apart two channels are; ``distances`` maps (C, d) to a symmetric (C, C) float64 with a zero diagonal."""

    name: str
    distances: Callable[[Tensor], Tensor]


EUCLIDEAN = Metric("Euclidean", euclidean)
COSINE = Metric("Cosine", cosine)
CORRELATION = Metric("Correlation", correlation)
METRICS = (EUCLIDEAN, COSINE, CORRELATION)


@dataclass(frozen=True)
class Linkage:
    """How the distance of two clusters follows from that of their members; ``method`` is scipy's name of it."""

    name: str
    method: str
    metrics: tuple[Metric, ...] = METRICS  # those it is meant for


AVERAGE = Linkage("Average", "average")
COMPLETE = Linkage("Complete", "complete")
SINGLE = Linkage("Single", "single")
WARD = Linkage("Ward", "ward", (EUCLIDEAN,))
LINKAGES = (AVERAGE, COMPLETE, SINGLE, WARD)


def weight_rows(model: nn.Module, group: Group, layer: str | None = None) -> Tensor:
    """(C, fan) float64: the weights that compute each channel, in one layer or in all coupled ones side by side."""
    return torch.cat([rows(tensor, member).double() for tensor, member in producers(model, group, layer)], 1).cpu()


def response_rows(model: nn.Module, group: Group, data: Dataset, *, images: int = 64, seed: int = 0) -> Tensor:
    """(C, d) float64: what each channel answers to the same images, where it is first read.

    Maps are averaged down to at most 7 x 7. The model is untouched. Raises UserError when the activations cannot be
    observed because what reads them runs inside one fused call.
    """
    stand_in = shadow(model)
    tensors = dict(stand_in.named_parameters())
    members = {m.parameter: m for m in members_at(group, Place.CONSUMER, tensors)}
    parts: dict[str, list[Tensor]] = {}

    def keep(name: str, reading: Reading) -> None:
        if parts and name not in parts:
            return
        maps = channel_maps(reading, index_of(members[name], tensors[name].device))  # (N, C, H, W)
        size = (min(maps.shape[2], POOLED), min(maps.shape[3], POOLED))
        pooled = F.adaptive_avg_pool2d(maps, size).flatten(2)  # (N, C, positions)
        parts.setdefault(name, []).append(pooled.transpose(0, 1).flatten(1))

    weight = next(iter(tensors.values()))
    for x, _ in data.subset(images, seed).batches(16, weight.device, weight.dtype):
        with torch.no_grad(), Readings({n: tensors[n] for n in members}, keep):
            stand_in(x)
    if not parts:
        raise UserError(
            f"What reads the channels of {group.key} runs inside one fused call, so their activations cannot be "
            "observed. Compare their weights instead."
        )
    return torch.cat(next(iter(parts.values())), 1).double().cpu()


@dataclass(frozen=True, eq=False)
class Dendrogram:
    """A tree to draw: merge t is the bracket through the four points ``x[t], height[t]``, both (C - 1, 4).

    Leaf i of ``order`` stands at x = i; brackets go up from the left cluster, across, and down to the right one.
    """

    order: Labels
    x: NDArray[np.float64]
    height: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tree:
    """A cluster tree over C channels; ``merges`` is scipy's linkage matrix (C - 1, 4), heights ascending."""

    merges: NDArray[np.float64]
    distances: Tensor  # (C, C)

    @property
    def channels(self) -> int:
        return len(self.distances)

    @cached_property
    def order(self) -> Labels:
        """Channels from left to right, so that no brackets cross; like next to like in layers of up to 256."""
        if self.channels < 2:
            return np.zeros(self.channels, np.int64)
        return leaves_list(self.merges).astype(np.int64)

    def cut(self, height: float) -> Labels:
        """Clusters that are joined at or below ``height``, numbered from left to right."""
        return self.split(self.channels - int((self.merges[:, 2] <= height).sum()))

    def split(self, count: int) -> Labels:
        """Exactly ``count`` clusters, numbered from left to right."""
        parent = np.arange(2 * self.channels - 1)
        for step in range(self.channels - count):
            parent[self.merges[step, :2].astype(np.int64)] = self.channels + step
        for node in range(len(parent) - 1, -1, -1):  # parents have higher numbers
            parent[node] = parent[parent[node]]
        roots = parent[self.order]
        first = {root: number for number, root in enumerate(dict.fromkeys(roots.tolist()))}
        labels = np.empty(self.channels, np.int64)
        labels[self.order] = [first[root] for root in roots.tolist()]
        return labels

    @cached_property
    def dendrogram(self) -> Dendrogram:
        """Coordinates of all brackets."""
        count = self.channels
        at = np.empty(2 * count - 1)
        at[self.order] = np.arange(count)
        top = np.zeros(2 * count - 1)
        x, height = np.empty((count - 1, 4)), np.empty((count - 1, 4))
        for step, (a, b, level, _) in enumerate(self.merges):
            left, right = sorted((int(a), int(b)), key=lambda node: at[node])
            x[step] = at[left], at[left], at[right], at[right]
            height[step] = top[left], level, level, top[right]
            at[count + step], top[count + step] = (at[left] + at[right]) / 2, level
        return Dendrogram(self.order, x, height)

    @cached_property
    def silhouettes(self) -> NDArray[np.float64]:
        """(C,) mean silhouette of 1, 2, ..., C clusters of this tree."""
        return silhouettes_of(self.distances.numpy(), self.merges)


def grow(distances: Tensor, kind: Linkage = AVERAGE) -> Tree:
    """The cluster tree of a symmetric distance matrix (C, C).

    Ward's method reads the distances as Euclidean. The leaves are put in optimal order where that is cheap.
    """
    if len(distances) < 2:
        return Tree(np.empty((0, 4)), distances)
    condensed = squareform(distances.cpu().numpy(), checks=False)
    merges = linkage(condensed, kind.method)
    if len(distances) <= ORDERED_UP_TO:
        merges = optimal_leaf_ordering(merges, condensed)
    return Tree(merges, distances)


def k_means(ward: Tree, count: int) -> Labels:
    """``count`` clusters by Lloyd's steps from those of Ward's tree over Euclidean distances.

    The tree is a better start than random centres, and the same every time. Means are never made: the squared
    distance to the mean of a cluster is the mean of those to its members less half the mean of those among them. The
    channel nearest to its mean stays, so that no cluster is left empty.
    """
    square = np.square(ward.distances.numpy())
    labels = ward.split(min(count, ward.channels))
    channels = np.arange(len(labels))
    for _ in range(LLOYD_STEPS):
        sums, sizes = sums_by_cluster(square, labels)
        means = sums / sizes[:, None]  # (K, C)
        apart = means - np.bincount(labels, means[labels, channels])[:, None] / (2 * sizes[:, None])
        own = apart[labels, channels]
        by_nearness = np.lexsort((own, labels))
        nearer = apart.min(0) < own * (1 - 1e-9)
        nearer[by_nearness[np.cumsum(sizes) - sizes]] = False
        if not nearer.any():
            break
        labels = np.where(nearer, apart.argmin(0), labels)
    return labels


def silhouette(distances: Tensor, labels: Labels) -> float:
    """Mean silhouette in [-1, 1]: how much nearer channels are to their own cluster than to the next one.

    Channels that are alone in their cluster count 0, as Rousseeuw defined it. 0 for a single cluster.
    """
    return mean_silhouette(distances.numpy(), labels)


@dataclass(frozen=True)
class Representative:
    """Which member stands for its cluster: the one of the highest ``worth`` (C,), ties by the lower index."""

    name: str
    worth: Callable[[Tensor, Tensor, Labels], Tensor]


def _centrality(points: Tensor, distances: Tensor, labels: Labels) -> Tensor:
    same = torch.from_numpy(labels[:, None] == labels[None, :]).to(distances)
    return -(distances * same).sum(1)


MEDOID = Representative("Medoid", _centrality)
LARGEST = Representative("Largest norm", lambda points, distances, labels: points.double().norm(dim=1))
REPRESENTATIVES = (MEDOID, LARGEST)


def all_but_one(points: Tensor, distances: Tensor, labels: Labels, keep: Representative = MEDOID) -> tuple[int, ...]:
    """The channels to drop so that one of each cluster stays, sorted."""
    worth = keep.worth(points, distances, labels).cpu().numpy()
    order = np.lexsort((np.arange(len(labels)), -worth))
    _, kept = np.unique(labels[order], return_index=True)
    return tuple(sorted(set(range(len(labels))) - set(order[kept].tolist())))
