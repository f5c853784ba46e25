"""Saliency: what the loss says about removing a channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness
from pruning_core.probe.site import Need, Place, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published

MOLCHANOV_2019 = Paper(
    "Importance Estimation for Neural Network Pruning",
    "Molchanov, Mallya, Tyree, Frosio, Kautz",
    "CVPR",
    2019,
    "1906.10771",
)
ONE_RANKING = Fairness("none", "Molchanov et al., CVPR 2019: one ranking of all layers, scores as they are")
RESNET_101 = Published(
    "ResNet-101", "ImageNet", "0.02 points of top-1 lost at 40 % fewer FLOPs", "abstract of the paper", True
)


@dataclass(frozen=True)
class TaylorWeight(Criterion):
    r"""A filter matters if zeroing its weights one by one would change the loss.

    First-order Taylor on weights: $s_c = \operatorname{mean}_b \sum_{m \in W_c} (g_{b,m} w_m)^2$ over batches b.

    Setting a weight to zero changes the loss by $g w$ to first order; squares are taken per batch, so that gradients of
    opposite sign do not cancel, and added over the filter's weights.

    When it fails: assumes the weights of a filter act independently; at a minimum the mean gradient is nearly zero and
    only its noise is left. Depends on the batch size.
    """

    needs: ClassVar = Need.BATCH_GRADIENTS
    fair: ClassVar = ONE_RANKING
    card: ClassVar = Card(
        key="taylor-weight",
        name="Taylor, weights",
        family=Family.GRADIENT,
        data=Data.LABELLED,
        cost="forward and backward",
        paper=MOLCHANOV_2019,
        published=(RESNET_101,),
        builds_on=("transfer-prune",),
    )

    def per_batch(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return (weight * gradient).square().sum(1)

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed


@dataclass(frozen=True)
class TaylorGate(Criterion):
    r"""A channel matters if closing it would change the loss.

    First-order Taylor on a gate: $s_c = \operatorname{mean}_b \Big(\frac{\partial L_b}{\partial z_c}\Big)^2, \quad z_c
    = 1$, the mean over batches b.

    The gate is a factor on the channel, placed where the channel is read, so closing it is exactly the removal. Its
    gradient is $\sum W_{in} \cdot \partial L / \partial W_{in}$ over the slices that read the channel: no extra pass. A
    gate of coupled layers acts on all their readers at once. The variant the authors recommend (they put the gate
    behind batch norm).

    When it fails: first order only, so a channel whose removal costs much but whose gate is at a minimum looks useless.
    Depends on the batch size.
    """

    place: ClassVar = Place.CONSUMER
    joint: ClassVar = True
    needs: ClassVar = Need.BATCH_GRADIENTS
    fair: ClassVar = ONE_RANKING
    card: ClassVar = Card(
        key="taylor",
        name="Taylor, gates",
        family=Family.GRADIENT,
        data=Data.LABELLED,
        cost="forward and backward",
        paper=MOLCHANOV_2019,
        published=(RESNET_101,),
        builds_on=("transfer-prune",),
    )

    def per_batch(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return (weight * gradient).sum(1).square()

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed


@dataclass(frozen=True)
class TaylorSecond(Criterion):
    r"""As Taylor on weights, with the curvature of the loss.

    Second-order Taylor, diagonal: $s_c = \sum_{m \in W_c} \big(g_m w_m - \tfrac{1}{2} H_{mm} w_m^2\big)^2$.

    Adds the curvature, so that a weight at a minimum of the loss no longer looks free. $g$ is the gradient over all
    images; the diagonal of the Hessian is estimated by Hutchinson's method, one random sign per weight and batch.

    When it fails: the diagonal ignores that weights act together; its estimate is noisy with few batches.
    """

    needs: ClassVar = Need.GRADIENT | Need.CURVATURE
    fair: ClassVar = ONE_RANKING
    card: ClassVar = Card(
        key="taylor-so",
        name="Taylor, second order",
        family=Family.GRADIENT,
        data=Data.LABELLED,
        cost="forward, backward, and a second backward through both",
        paper=MOLCHANOV_2019,
        builds_on=("transfer-prune", "surgeon"),
    )

    def score(self, site: Site) -> Tensor:
        assert site.gradient is not None and site.curvature is not None
        w = site.weight
        return (site.gradient * w - site.curvature * w.square() / 2).square().sum(1)


@dataclass(frozen=True)
class GradientMagnitude(Criterion):
    r"""Keep the filters that the loss still pulls at.

    Plain size of the gradient: $s_c = \operatorname{mean}_b \sum_{m \in W_c} |g_{b,m}|$.

    Filters the loss still pulls at are kept.

    When it fails: says how fast a filter would change, not what it contributes; a filter of zeros can have a large
    gradient. Layers of small gradients are emptied by a shared threshold.
    """

    needs: ClassVar = Need.BATCH_GRADIENTS
    fair: ClassVar = Fairness("L2", "as Molchanov et al., ICLR 2017, do with their gradient criterion")
    card: ClassVar = Card(
        key="grad",
        name="Gradient magnitude",
        family=Family.GRADIENT,
        data=Data.LABELLED,
        cost="forward and backward",
    )

    def per_batch(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return gradient.abs().sum(1)

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed
