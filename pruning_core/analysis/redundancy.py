"""How much of a whole network is redundant: channel clusters under one threshold, kernel clusters and their cover."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pruning_core.criteria import ClusterPruning, KernelRepresentatives, score
from pruning_core.errors import UserError
from pruning_core.graph import Group, Member, Network
from pruning_core.numeric.kernel_clusters import covering_order, kernel_trees
from pruning_core.numeric.weight_hash import lots
from pruning_core.probe.places import kernels, members_at, rows
from pruning_core.probe.site import Place

Floats = NDArray[np.float64]


def producers(model: nn.Module, group: Group, layer: str | None = None) -> tuple[tuple[Tensor, Member], ...]:
    """The weights that compute a group's channels: of one layer, or of all that are coupled.

    Raises UserError when the layer computes none of them.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    found = [m for m in members_at(group, Place.PRODUCER, tensors) if layer in (None, m.layer)]
    if not found:
        raise UserError(f"{layer} computes no channel of {group.key}. Choose one of its layers, or all.")
    return tuple((tensors[m.parameter].detach(), m) for m in found)


@dataclass(frozen=True, eq=False)
class ChannelRedundancy:
    """One group in CUP's view: the heights at which its channels are absorbed, ascending."""

    key: str
    heights: Floats  # (C,)

    @property
    def channels(self) -> int:
        return len(self.heights)

    def clusters(self, threshold: float) -> int:
        """Clusters when the tree is cut at ``threshold``: the channels CUP keeps."""
        return max(1, int((self.heights > threshold).sum()))


def channel_redundancy(model: nn.Module, network: Network) -> tuple[ChannelRedundancy, ...]:
    """Every group in the order of execution; one threshold for all gives each layer its own width."""
    found = score(model, network, [ClusterPruning()])[ClusterPruning()].values
    return tuple(ChannelRedundancy(g.key, np.sort(found[g.key].numpy())) for g in network.groups if g.key in found)


@dataclass(frozen=True, eq=False)
class KernelRedundancy:
    """One group in REPrune's view.

    ``clusters`` (J,) counts the kernel clusters of every input channel; ``coverage`` (C,) is the share of all of them
    that lies in the first 1, 2, ... filters of ``order``.
    """

    key: str
    clusters: NDArray[np.int64]
    order: NDArray[np.int64]
    coverage: Floats

    def filters_for(self, share: float) -> int:
        """How many filters cover ``share`` of the kernel clusters."""
        return int(np.searchsorted(self.coverage, share - 1e-12)) + 1


def kernel_redundancy(
    model: nn.Module, group: Group, criterion: KernelRepresentatives | None = None, layer: str | None = None
) -> KernelRedundancy:
    """Clusters of the kernels of a group, or of one of its layers, cut for the criterion's ratio, and their cover."""
    criterion = criterion or KernelRepresentatives()
    made = producers(model, group, layer)
    trees = kernel_trees(tuple(kernels(tensor, member) for tensor, member in made))
    labels = trees.labels(trees.common_cut(min(math.ceil(criterion.ratio * group.size), group.size - 1)))
    weight = torch.cat([rows(tensor, member) for tensor, member in made], 1)
    order, gains = covering_order(labels, lots(weight, criterion.seed))
    clusters = labels.max(1).astype(np.int64) + 1
    # once everything is covered the count starts anew; the share stays at 1
    coverage = np.minimum(np.cumsum(gains.numpy()) / clusters.sum(), 1.0)
    return KernelRedundancy(group.key, clusters, order.numpy(), coverage)
