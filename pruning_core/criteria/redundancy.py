"""Redundancy: remove what the remaining filters can replace, whatever its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness
from pruning_core.numeric.distances import cosine, euclidean
from pruning_core.numeric.trees import absorption, average, ward
from pruning_core.probe.site import Need, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published


@dataclass(frozen=True)
class GeometricMedian(Criterion):
    r"""Filters close to the middle of their layer are replaceable by the others, and go. Norm criteria need two
    conditions that often fail: that the norms differ widely, and that the smallest is near zero. This one needs
    neither.

    FPGM: sum of the distances from a filter to all others of its layer.

    $s_c = \sum_j \|W_c - W_j\|_2$. Filters near the geometric median of their layer are the easiest to replace by the
    others, so the *smallest* sums are removed.

    When it fails: the sum is led by the norm wherever norms differ a lot, and it then removes what the L2 norm removes.
    A pair of equal filters far from the median is kept twice.
    """

    card: ClassVar = Card(
        key="fpgm",
        name="Geometric median (FPGM)",
        family=Family.REDUNDANCY,
        data=Data.NONE,
        cost="all pairs of filters: C^2 times the filter's size",
        paper=Paper(
            "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration",
            "He, Liu, Wang, Hu, Yang",
            "CVPR",
            2019,
            "1811.00250",
        ),
        published=(
            Published(
                "ResNet-110",
                "CIFAR-10",
                "more than 52 % of FLOPs removed, relative error 2.69 % lower",
                "abstract of the paper",
                True,
            ),
            Published(
                "ResNet-50",
                "ImageNet",
                "74.8 % top-1 at 53.5 % fewer FLOPs",
                "table of a transform-quantisation paper",
                False,
            ),
        ),
        builds_on=("l1", "sfp"),
    )

    def score(self, site: Site) -> Tensor:
        return euclidean(site.weight).sum(1)


@dataclass(frozen=True)
class CosineRedundancy(Criterion):
    r"""Of filters that point in the same direction, keep the largest.

    $s_c = \text{height at which } c \text{ is absorbed, linkage on } 1-\cos(W_i, W_j)$: filters are clustered by
    average linkage, a cluster is represented by its largest filter, and the height is where $c$ stops being a
    representative. Removing all scores up to $1 - \tau$ leaves one filter per group of filters more similar than $\tau$
    (Ayinde and Zurada keep one at random).

    When it fails: filters of one direction and different size, which a next layer could tell apart, count as copies; in
    wide layers random filters are all nearly orthogonal, and the score then says little. A filter of zeros scores 0.
    """

    fair: ClassVar = Fairness("none", "an angle has no scale")
    card: ClassVar = Card(
        key="cosine",
        name="Cosine redundancy",
        family=Family.REDUNDANCY,
        data=Data.NONE,
        cost="all pairs of filters, then a cluster tree: C^2 times the filter's size",
        paper=Paper(
            "Building Efficient ConvNets using Redundant Feature Pruning",
            "Ayinde, Zurada",
            "ICLR workshop",
            2018,
            "1802.07653",
        ),
        published=(
            Published("ResNet-56", "CIFAR-10", "27 % of inference cost removed", "abstract of the paper", True),
            Published("VGG-16", "CIFAR-10", "40 % of inference cost removed", "abstract of the paper", True),
        ),
        builds_on=("l1",),
    )

    def score(self, site: Site) -> Tensor:
        norm = site.weight.norm(dim=1)
        alive = (norm > 0).nonzero().squeeze(1)
        height = torch.zeros_like(norm)
        if len(alive) > 1:
            height[alive] = absorption(average(cosine(site.weight[alive])), norm[alive])
        elif len(alive):
            height[alive] = 1.0
        return height


def cluster_features(site: Site) -> Tensor:
    """CUP's features, (C, d) float64: norms of the kernels that make each channel and of those that read it."""
    return torch.cat([k.norm(dim=2) for k in (*site.kernels, *site.reads)], dim=1)


@dataclass(frozen=True)
class ClusterPruning(Criterion):
    r"""Cluster channels by the kernel norms before and after them; keep the strongest of each cluster.

    CUP: $s_c = \text{Ward height at which } c \text{ is absorbed},\quad f_c = (\|W_{c,i}\|_F)_i \oplus
    (\|W'_{o,c}\|_F)_o$, which joins the kernels that compute a channel and those that read it. In Ward's tree of these
    features a cluster keeps its channel of largest $\|f\|_2$; the height is where $c$ stops being kept. Keeping scores
    above t is CUP's cut at height t, and one t for the whole network gives every layer its own width.

    When it fails: norms forget the sign and the shape of kernels, so different detectors can look alike. Coupled layers
    share one tree.
    """

    joint: ClassVar = True
    needs: ClassVar = Need.KERNELS
    fair: ClassVar = Fairness("none", "the paper cuts the trees of all layers at one height")
    card: ClassVar = Card(
        key="cup",
        name="Cluster pruning (CUP)",
        family=Family.CLUSTERING,
        data=Data.NONE,
        cost="a cluster tree per layer: C^2 times the number of neighbouring channels",
        paper=Paper(
            "CUP: Cluster Pruning for Compressing Deep Neural Networks",
            "Duggal, Xiao, Vuduc, Sun",
            "arXiv",
            2019,
            "1911.08630",
        ),
        published=(
            Published(
                "ResNet-56",
                "CIFAR-10",
                "93.67 to 93.27 %, multiply-adds counted twice .25G to .09G",
                "duggalrahul/CUP_Public",
                True,
            ),
            Published("ResNet-50", "ImageNet", "75.07 % top-1 at 2.18x fewer FLOPs", "duggalrahul/CUP_Public", True),
        ),
    )

    def score(self, site: Site) -> Tensor:
        features = cluster_features(site)
        if len(features) < 2:
            return torch.ones(len(features), dtype=torch.float64)
        return absorption(ward(features), features.norm(dim=1))
