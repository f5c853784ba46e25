"""Magnitude: small filters, or small batch-norm scales, are taken to matter least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness
from pruning_core.knobs import Range
from pruning_core.probe.site import Place, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published


@dataclass(frozen=True)
class L1Norm(Criterion):
    r"""Filters with small weights produce weak feature maps and are removed first.

    Sum of absolute weights of the filter that computes a channel.

    $s_c = \sum_{i,h,w} |W_{c,i,h,w}|$. A filter of small weights makes a small feature map, so little is lost without
    it.

    When it fails: a large filter can be a copy of another one, and what the next layer or a batch norm multiplies a
    channel with is not looked at. Between layers the sums grow with the number of weights, so a global cut needs
    normalised scores. Of coupled layers the norms are added up.
    """

    card: ClassVar = Card(
        key="l1",
        name="L1 norm",
        family=Family.MAGNITUDE,
        data=Data.NONE,
        cost="one pass over the weights",
        paper=Paper(
            "Pruning Filters for Efficient ConvNets", "Li, Kadav, Durdanovic, Samet, Graf", "ICLR", 2017, "1608.08710"
        ),
        published=(
            Published(
                "ResNet-34-A",
                "ImageNet",
                "72.56 % top-1 after fine-tuning",
                "Eric-mingjie/rethinking-network-pruning",
                True,
            ),
            Published(
                "ResNet-34-B",
                "ImageNet",
                "72.29 % top-1 after fine-tuning",
                "Eric-mingjie/rethinking-network-pruning",
                True,
            ),
        ),
        builds_on=("mag",),
    )

    def score(self, site: Site) -> Tensor:
        return site.weight.abs().sum(1)


@dataclass(frozen=True)
class L2Norm(Criterion):
    r"""As the L1 norm, with large single weights counting more.

    Euclidean norm of the filter that computes a channel.

    $s_c = \sqrt{\textstyle\sum_{i,h,w} W_{c,i,h,w}^2}$. As the L1 norm, but one large weight counts more than many
    small ones.

    When it fails: as the L1 norm. On trained layers both rank almost alike, because the weights of a layer are nearly
    Gaussian and the norms then differ little in order.
    """

    card: ClassVar = Card(
        key="l2",
        name="L2 norm",
        family=Family.MAGNITUDE,
        data=Data.NONE,
        cost="one pass over the weights",
        paper=Paper(
            "Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks",
            "He, Kang, Dong, Fu, Yang",
            "IJCAI",
            2018,
            "1808.06866",
        ),
        published=(
            Published(
                "ResNet-56", "CIFAR-10", "93.36 % at 2.11x fewer FLOPs (soft pruning)", "table of the ACSP paper", False
            ),
        ),
        builds_on=("l1",),
    )

    def score(self, site: Site) -> Tensor:
        return site.weight.norm(dim=1)


@dataclass(frozen=True)
class LpNorm(Criterion):
    r"""One knob from counting weights to looking at the largest one only.

    The general norm of a filter, from many small weights (p below 1) to the single largest (p large).

    $s_c = \Big(\sum_{i,h,w} |W_{c,i,h,w}|^p\Big)^{1/p}$. Below p = 1 it is no norm any more (the triangle inequality
    fails) but still ranks.

    When it fails: as p falls to 0 it counts non-zero weights, which are all of them in a dense layer; as p grows a
    single outlier decides.
    """

    card: ClassVar = Card(
        key="lp",
        name="Lp norm",
        family=Family.MAGNITUDE,
        data=Data.NONE,
        cost="one pass over the weights",
    )
    p: Annotated[
        float, Range(0.1, 64, "Power p", log=True, help="1 and 2 are the usual norms; 64 is close to the maximum")
    ] = 4.0

    def score(self, site: Site) -> Tensor:
        size = site.weight.abs()
        largest = size.amax(1, keepdim=True).clamp_min(1e-300)  # powers of w/max neither overflow nor vanish
        return largest.squeeze(1) * (size / largest).pow(self.p).sum(1).pow(1 / self.p) * (size > 0).any(1)


@dataclass(frozen=True)
class BatchNormScale(Criterion):
    r"""A channel that batch norm scales to almost nothing can go.

    Absolute value of the batch-norm scale that multiplies a channel (Network Slimming's measure).

    $s_c = |\gamma_c|$. A channel scaled by almost nothing carries almost nothing, apart from the constant its shift
    makes.

    When it fails: meant for networks trained with an L1 penalty on the scales; without it few of them are small. A
    small scale with a large shift still emits a constant. What follows may scale up again. Where several batch norms
    scale the same channel, their scales are added up.
    """

    place: ClassVar = Place.NORM
    fair: ClassVar = Fairness("none", "Liu et al., ICCV 2017: one percentile of all scales")
    card: ClassVar = Card(
        key="bn-scale",
        name="Batch-norm scale",
        family=Family.PENALTY,
        data=Data.NONE,
        cost="one number per channel",
        paper=Paper(
            "Learning Efficient Convolutional Networks through Network Slimming",
            "Liu, Li, Shen, Huang, Yan, Zhang",
            "ICCV",
            2017,
            "1708.06519",
        ),
        published=(
            Published(
                "VGG-19",
                "CIFAR-10",
                "93.77 to 93.78 % with 70 % of the channels removed",
                "Eric-mingjie/network-slimming",
                True,
            ),
            Published(
                "ResNet-164",
                "CIFAR-10",
                "94.75 to 93.81 % with 60 % of the channels removed",
                "Eric-mingjie/network-slimming",
                True,
            ),
        ),
        builds_on=("netslim",),
    )

    def score(self, site: Site) -> Tensor:
        return site.weight.abs().sum(1)
