"""Saliency: what the loss says about removing a channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness
from pruning_core.probe.site import Need, Place, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published, channel_card

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


def _card(
    key: str,
    name: str,
    idea: str,
    formula: str,
    cost: str,
    fails: str,
    paper: Paper | None = MOLCHANOV_2019,
    published: tuple[Published, ...] = (),
) -> Card:
    return channel_card(
        key,
        name,
        idea=idea,
        formula=formula,
        family=Family.GRADIENT,
        data=Data.LABELLED,
        cost=cost,
        fails=fails,
        paper=paper,
        published=published,
    )


@dataclass(frozen=True)
class TaylorWeight(Criterion):
    r"""First-order Taylor on weights: $s_c = \operatorname{mean}_b \sum_{m \in W_c} (g_{b,m} w_m)^2$ over batches b.

    Setting a weight to zero changes the loss by $g w$ to first order; squares are taken per batch, so that gradients of
    opposite sign do not cancel, and added over the filter's weights.

    When it fails: assumes the weights of a filter act independently; at a minimum the mean gradient is nearly zero and
    only its noise is left. Depends on the batch size.
    """

    needs: ClassVar = Need.BATCH_GRADIENTS
    fair: ClassVar = ONE_RANKING
    card: ClassVar = _card(
        "taylor-weight",
        "Taylor, weights",
        "A filter matters if zeroing its weights one by one would change the loss.",
        r"s_c = \operatorname{mean}_b \sum_{m \in W_c} (g_{b,m} w_m)^2",
        "forward and backward",
        "Treats the weights of a filter as independent; depends on the batch size.",
        published=(RESNET_101,),
    )

    def per_batch(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return (weight * gradient).square().sum(1)

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed


@dataclass(frozen=True)
class TaylorGate(Criterion):
    r"""First-order Taylor on a gate: $s_c = \operatorname{mean}_b (\partial L_b / \partial z_c)^2$ over batches b.

    The gate is a factor $z_c = 1$ on the channel, placed where the channel is read, so closing it is exactly the
    removal. Its gradient is $\sum W_{in} \cdot \partial L / \partial W_{in}$ over the slices that read the channel: no
    extra pass. A gate of coupled layers acts on all their readers at once. The variant the authors recommend (they
    put the gate behind batch norm).

    When it fails: first order only, so a channel whose removal costs much but whose gate is at a minimum looks useless.
    Depends on the batch size.
    """

    place: ClassVar = Place.CONSUMER
    joint: ClassVar = True
    needs: ClassVar = Need.BATCH_GRADIENTS
    fair: ClassVar = ONE_RANKING
    card: ClassVar = _card(
        "taylor",
        "Taylor, gates",
        "A channel matters if closing it would change the loss.",
        r"s_c = \operatorname{mean}_b \Big(\frac{\partial L_b}{\partial z_c}\Big)^2, \quad z_c = 1",
        "forward and backward",
        "First order only; depends on the batch size.",
        published=(RESNET_101,),
    )

    def per_batch(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return (weight * gradient).sum(1).square()

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed


@dataclass(frozen=True)
class TaylorSecond(Criterion):
    r"""Second-order Taylor, diagonal: $s_c = \sum_{m \in W_c} \big(g_m w_m - \tfrac{1}{2} H_{mm} w_m^2\big)^2$.

    Adds the curvature, so that a weight at a minimum of the loss no longer looks free. $g$ is the gradient over all
    images; the diagonal of the Hessian is estimated by Hutchinson's method, one random sign per weight and batch.

    When it fails: the diagonal ignores that weights act together; its estimate is noisy with few batches.
    """

    needs: ClassVar = Need.GRADIENT | Need.CURVATURE
    fair: ClassVar = ONE_RANKING
    card: ClassVar = _card(
        "taylor-so",
        "Taylor, second order",
        "As Taylor on weights, with the curvature of the loss.",
        r"s_c = \sum_{m \in W_c} \big(g_m w_m - \tfrac{1}{2} H_{mm} w_m^2\big)^2",
        "forward, backward, and a second backward through both",
        "Diagonal only, and the estimate is noisy with few batches.",
    )

    def score(self, site: Site) -> Tensor:
        assert site.gradient is not None and site.curvature is not None
        w = site.weight
        return (site.gradient * w - site.curvature * w.square() / 2).square().sum(1)


@dataclass(frozen=True)
class GradientMagnitude(Criterion):
    r"""Plain size of the gradient: $s_c = \operatorname{mean}_b \sum_{m \in W_c} |g_{b,m}|$.

    Filters the loss still pulls at are kept.

    When it fails: says how fast a filter would change, not what it contributes; a filter of zeros can have a large
    gradient. Layers of small gradients are emptied by a shared threshold.
    """

    needs: ClassVar = Need.BATCH_GRADIENTS
    fair: ClassVar = Fairness("L2", "as Molchanov et al., ICLR 2017, do with their gradient criterion")
    card: ClassVar = _card(
        "grad",
        "Gradient magnitude",
        "Keep the filters that the loss still pulls at.",
        r"s_c = \operatorname{mean}_b \sum_{m \in W_c} |g_{b,m}|",
        "forward and backward",
        "Measures how fast a filter changes, not what it contributes.",
        paper=None,
    )

    def per_batch(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return gradient.abs().sum(1)

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        return site.observed
