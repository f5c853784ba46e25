"""HRank and CHIP: what the feature maps of single images say about a channel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness
from pruning_core.numeric.rank import ranks
from pruning_core.probe.site import Need, Place, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published


@dataclass(frozen=True)
class FeatureMapRank(Criterion):
    r"""Feature maps of low rank carry little information.

    HRank: the average rank of a channel's feature maps.

    $s_c = \operatorname{mean}_n \operatorname{rank}(A_{n,c})$ of the H x W maps that the next layer reads. Maps of low
    rank carry little information.

    When it fails: maps that are not rectified are nearly always of full rank; maps of one pixel have rank 0 or 1, which
    is the share of non-zeros again. Ranks of layers with different map sizes are not comparable.
    """

    place: ClassVar = Place.CONSUMER
    needs: ClassVar = Need.MAPS
    fair: ClassVar = Fairness(
        "max", "our choice: a rank is at most the smaller side of the map, which differs between layers"
    )
    card: ClassVar = Card(
        key="hrank",
        name="Feature-map rank (HRank)",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass and one elimination per image and channel",
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
        builds_on=("apoz", "l1"),
    )

    def per_image(self, maps: Tensor) -> Tensor:
        return ranks(maps.flatten(0, 1)).reshape(maps.shape[:2]).to(maps.device, torch.float64)

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed


@dataclass(frozen=True)
class ChannelIndependence(Criterion):
    r"""A channel that is a mixture of the others can be rebuilt from them.

    CHIP: how much of the nuclear norm of an image's feature maps goes with a channel, $s_c = \operatorname{mean}_n
    \big( \|M_n\|_* - \|M_n \text{ without row } c\|_* \big)$ with the maps of image n as rows of $M_n$ (C x HW), and
    the row that goes set to zero. Computed for all channels from one eigendecomposition per image, to about 1e-5 of the
    mean.

    When it fails: scale counts, so weak channels look dependent. Two copies are *both* rated low, and both go when
    enough channels are removed at once.
    """

    place: ClassVar = Place.CONSUMER
    needs: ClassVar = Need.MAPS
    card: ClassVar = Card(
        key="chip",
        name="Channel independence (CHIP)",
        family=Family.REDUNDANCY,
        data=Data.UNLABELLED,
        cost="one forward pass and one eigendecomposition per image and layer",
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
        builds_on=("hrank",),
    )

    def per_image(self, maps: Tensor) -> Tensor:
        return torch.stack([row_independence(image) for image in maps.flatten(2)])

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed


STEP = 0.8  # of ln s; the trapezoid rule errs by about exp(-pi^2 / STEP) = 4e-6
LOWEST, HIGHEST = 1e-8, 1e2  # of s, in units of the largest singular value


def row_independence(rows: Tensor) -> Tensor:
    r"""Nuclear norm of (C, N) minus that without each row; (C,) float64, never negative.

    For every matrix $\|A\|_* = \frac{1}{\pi} \int_0^\infty \ln\det(1 + G / s^2)\, ds$ with $G = A A^T$, and a minor
    of a matrix over its determinant is an entry of its inverse: zeroing row i takes $-\frac{1}{\pi} \int_0^\infty
    \ln\big(s^2 B_{ii}\big) ds$ with it, $B = (G + s^2)^{-1}$. So one eigendecomposition of $G$ serves all rows. With
    more rows than columns the same follows from $A^T A$, since $s^2 B = 1 - A (A^T A + s^2)^{-1} A^T$. The integral is
    a trapezoid sum over ln s; both tails are geometric and added in closed form.

    Double precision throughout: squares of singular values span more digits than single precision has.
    """
    # a row of zeros takes nothing with it, and the cost of a decomposition grows with the cube of the rows
    alive = rows.abs().amax(1).nonzero()[:, 0]
    found = rows.new_zeros(len(rows), dtype=torch.float64)
    if not len(alive):
        return found
    a = rows.index_select(0, alive).double()
    wide = a.shape[0] <= a.shape[1]
    gram = a @ a.T if wide else a.T @ a
    eigenvalues, vectors = torch.linalg.eigh(gram)
    eigenvalues.clamp_min_(0)
    largest = eigenvalues[-1].sqrt()
    count = math.ceil(math.log(HIGHEST / LOWEST) / STEP) + 1
    s = largest * LOWEST * torch.exp(STEP * torch.arange(count, dtype=a.dtype, device=a.device))  # (Q,)
    square = s.square()
    resolvent = 1 / (eigenvalues[:, None] + square)  # (n, Q)
    kept = vectors.square_() @ (resolvent * square) if wide else 1 - (a @ vectors).square_() @ resolvent
    lost = kept.clamp_(1e-300, 1).log_().neg_()  # (C, Q): -ln(s^2 B_ii)
    # towards 0 it grows so slowly that it counts as constant, towards infinity it falls with |row|^2 / s^2
    energy = gram.diagonal() if wide else a.square().sum(1)
    tails = (lost[:, 0] * s[0] + energy / s[-1]) / math.expm1(STEP)
    found[alive] = STEP / math.pi * (lost @ s + tails)
    return found
