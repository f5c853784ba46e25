"""Kernel representatives: keep the filters whose kernels stand for most of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pruning_core.criteria.base import Criterion
from pruning_core.knobs import Range
from pruning_core.numeric.kernel_clusters import covering_order, kernel_trees
from pruning_core.numeric.weight_hash import lots
from pruning_core.probe.site import Need, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published


@dataclass(frozen=True)
class KernelRepresentatives(Criterion):
    r"""Cluster the kernels of each input channel; keep the filters that cover most clusters.

    REPrune, one shot: $s_c = 1 - \tfrac{1}{C}\,\text{position of } c \text{ in } \arg\max_i \#\{j : \text{cluster of }
    W_{i,j} \text{ uncovered}\}$, filters in the order in which a greedy cover of kernel clusters takes them.

    For every input channel j the kernels $W_{1,j}, W_{2,j}, \ldots$ are clustered by Ward's method; one cut, the lowest
    that lets every tree merge $\lceil r C \rceil$ times, is shared by all j. Then filters are taken one by one, each
    time the one whose kernels lie in most clusters not covered yet. When all clusters are covered, counting starts anew
    (our reading; the paper was read in secondary notes only). Ties are settled by a lot drawn from the filter's own
    bits.

    When it fails: the order depends on the ratio that the clusters are cut for, so set it near the ratio you prune at.
    The paper applies it during training with regrowth; one shot on a trained network is a weaker method.
    """

    joint: ClassVar = True
    needs: ClassVar = Need.KERNELS
    card: ClassVar = Card(
        key="reprune",
        name="Kernel representatives (REPrune)",
        family=Family.KERNELS,
        data=Data.NONE,
        cost="one cluster tree of C kernels per input channel",
        paper=Paper(
            "REPrune: Channel Pruning via Kernel Representative Selection",
            "Park, Kim, Park, Park, Gong, Ro, Kim",
            "AAAI",
            2024,
            "2402.17862",
        ),
        published=(
            Published(
                "ResNet-56", "CIFAR-10", "93.40 % at 60.38 % fewer FLOPs, during training", "notes on the paper", False
            ),
            Published(
                "ResNet-50", "ImageNet", "77.04 % at 56.09 % fewer FLOPs, 250 epochs", "notes on the paper", False
            ),
        ),
        builds_on=("netslim", "chex"),
    )
    ratio: Annotated[float, Range(0.05, 0.95, "Ratio the clusters are cut for", step=0.05)] = 0.5
    seed: Annotated[int, Range(0, 10_000, "Seed of the lots", step=1)] = 0

    def score(self, site: Site) -> Tensor:
        count = site.channels
        if count < 2:
            return torch.ones(count, dtype=torch.float64)
        trees = kernel_trees(site.kernels)
        cut = trees.common_cut(min(math.ceil(self.ratio * count), count - 1))
        order, _ = covering_order(trees.labels(cut), lots(site.weight, self.seed))
        scores = torch.empty(count, dtype=torch.float64)
        scores[order] = 1 - torch.arange(count, dtype=torch.float64) / count
        return scores
