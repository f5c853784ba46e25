"""HRank and CHIP: what the feature maps of single images say about a channel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness, Need, Place, Site
from pruning_core.criteria.cards import channel_card
from pruning_core.criteria.rank import ranks
from pruning_core.taxonomy import Data, Family, Paper, Published


@dataclass(frozen=True)
class FeatureMapRank(Criterion):
    r"""HRank: the average rank of a channel's feature maps.

    $s_c = \operatorname{mean}_n \operatorname{rank}(A_{n,c})$ of the H x W maps that the next layer reads. Maps of
    low rank carry little information.

    When it fails: maps that are not rectified are nearly always of full rank; maps of one pixel have rank 0 or 1, which
    is the share of non-zeros again. Ranks of layers with different map sizes are not comparable.
    """

    place: ClassVar = Place.CONSUMER
    needs: ClassVar = Need.MAPS
    fair: ClassVar = Fairness(
        "max", "our choice: a rank is at most the smaller side of the map, which differs between layers"
    )
    card: ClassVar = channel_card(
        "hrank",
        "Feature-map rank (HRank)",
        idea="Feature maps of low rank carry little information.",
        formula=r"s_c = \operatorname{mean}_n \operatorname{rank}(A_{n,c})",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass and one elimination per image and channel",
        fails="Full rank nearly everywhere without a rectifier; on 1 x 1 maps only counts zeros.",
        paper=Paper(
            "HRank: Filter Pruning using High-Rank Feature Map",
            "Lin, Ji, Wang, Zhang, Zhang, Tian, Shao",
            "CVPR",
            2020,
            "2002.10179",
        ),
        published=(
            Published("ResNet-56", "CIFAR-10", "93.17 % at 50.0 % fewer FLOPs", "lmbxmu/HRank", True),
            Published("ResNet-50", "ImageNet", "71.98 % top-1 at 1.55G multiply-adds", "lmbxmu/HRank", True),
        ),
    )

    def per_image(self, maps: Tensor) -> Tensor:
        return ranks(maps.flatten(0, 1)).reshape(maps.shape[:2]).to(maps.device, torch.float64)

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed


@dataclass(frozen=True)
class ChannelIndependence(Criterion):
    r"""CHIP: how much of the nuclear norm of an image's feature maps goes with a channel.

    With the maps of one image as rows of $M$ (C x HW): $s_c = \operatorname{mean}_n (\|M\|_* - \|M \text{ with row }
    c \text{ zeroed}\|_*)$. A channel that is nearly a mixture of the others takes little with it. Computed for all
    channels from one eigendecomposition per image, to about 1e-6, in wide layers to 1e-3 of the mean.

    When it fails: scale counts, so weak channels look dependent. Two copies are *both* rated low, and both go when
    enough channels are removed at once.
    """

    place: ClassVar = Place.CONSUMER
    needs: ClassVar = Need.MAPS
    card: ClassVar = channel_card(
        "chip",
        "Channel independence (CHIP)",
        idea="A channel that is a mixture of the others can be rebuilt from them.",
        formula=r"s_c = \operatorname{mean}_n \big( \|M_n\|_* - \|M_n \text{ without row } c\|_* \big)",
        family=Family.REDUNDANCY,
        data=Data.UNLABELLED,
        cost="one forward pass and one eigendecomposition per image and layer",
        fails="Depends on scale; rates both of two copies low.",
        paper=Paper(
            "CHIP: CHannel Independence-based Pruning for Compact Neural Networks",
            "Sui, Yin, Xie, Phan, Zonouz, Yuan",
            "NeurIPS",
            2021,
            "2110.13981",
        ),
        published=(
            Published("ResNet-56", "CIFAR-10", "94.16 % at 47.4 % fewer FLOPs", "Eclipsess/CHIP_NeurIPS2021", True),
            Published(
                "ResNet-50", "ImageNet", "76.41 % top-1 at 44.8 % fewer FLOPs", "Eclipsess/CHIP_NeurIPS2021", True
            ),
        ),
    )

    def per_image(self, maps: Tensor) -> Tensor:
        return torch.stack([row_independence(image) for image in maps.flatten(2)])

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed


STEP = 0.7  # of ln s; the trapezoid rule errs by about exp(-pi^2 / STEP) = 8e-7
SINGLE_FROM = 192  # rows or columns, whichever are fewer
LOWEST, HIGHEST = 1e-7, 1e2  # of s, in units of the largest singular value


def row_independence(rows: Tensor) -> Tensor:
    r"""Nuclear norm of (C, N) minus that without each row; (C,) float64, never negative.

    For every matrix $\|A\|_* = \frac{2}{\pi} \int_0^\infty \operatorname{tr}\big(G (G + s^2)^{-1}\big) ds$ with $G =
    A A^T$. Zeroing row i takes $g_i(s) = 1 - s^2 (B^2)_{ii} / B_{ii}$ off the trace, $B = (G + s^2)^{-1}$, so one
    eigendecomposition of $G$ serves all rows. With more rows than columns the same follows from $A^T A$ by a downdate
    of rank one. The integral is a trapezoid sum over ln s; both tails are geometric and added in closed form.
    """
    a = rows.double()
    wide = a.shape[0] <= a.shape[1]
    gram = a @ a.T if wide else a.T @ a
    # the Gram matrix needs double precision, or small singular values drown; a large one is then decomposed in
    # single, twice as fast, which moves no channel by more than a thousandth of the mean
    eigenvalues, vectors = torch.linalg.eigh(gram.float() if len(gram) >= SINGLE_FROM else gram)
    eigenvalues, vectors = eigenvalues.double().clamp_min(0), vectors.double()
    largest = eigenvalues[-1].sqrt()
    if largest == 0:
        return a.new_zeros(len(a))
    count = math.ceil(math.log(HIGHEST / LOWEST) / STEP) + 1
    s = largest * LOWEST * torch.exp(STEP * torch.arange(count, dtype=a.dtype, device=a.device))  # (Q,)
    resolvent = 1 / (eigenvalues[:, None] + s.square())  # (n, Q)
    if wide:
        share = vectors.square()  # (C, C)
        lost = 1 - s.square() * (share @ resolvent.square()) / (share @ resolvent)  # (C, Q)
    else:
        share = (a @ vectors).square()  # (C, N)
        lost = s.square() * (share @ resolvent.square()) / (1 - share @ resolvent).clamp_min(1e-300)
    lost = lost.clamp(0, 1)
    # below the lowest node lost is constant, above the highest it falls with |row|^2 / s^2
    tails = (lost[:, 0] * s[0] + a.square().sum(1) / s[-1]) / math.expm1(STEP)
    return (2 / math.pi) * STEP * (lost @ s + tails)
