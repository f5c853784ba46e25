"""Activation statistics: channels that answer little, rarely or always alike."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness, NotScorable
from pruning_core.knobs import Range
from pruning_core.probe.moments import Moments
from pruning_core.probe.site import Need, Place, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published

MOLCHANOV_2017 = Paper(
    "Pruning Convolutional Neural Networks for Resource Efficient Inference",
    "Molchanov, Tyree, Karras, Aila, Kautz",
    "ICLR",
    2017,
    "1611.06440",
)


@dataclass(frozen=True)
class ZeroFraction(Criterion):
    r"""A channel that is zero almost everywhere contributes almost nothing.

    APoZ: the share of a channel's activations that are *not* zero.

    $s_c = 1 - \operatorname{mean}_{n,h,w}\,[A_{n,c,h,w} = 0]$, measured where the next layer reads the channel, so
    behind the rectifier. Channels that are hardly ever switched on are removed.

    When it fails: smooth activations (GELU, SiLU) have no exact zeros: raise the threshold, and say so. A channel that
    fires for one rare class only looks dead. How much the next layer makes of the rest is not looked at.
    """

    place: ClassVar = Place.CONSUMER
    needs: ClassVar = Need.MAPS
    fair: ClassVar = Fairness("none", "a share of positions has no scale")
    card: ClassVar = Card(
        key="apoz",
        name="Share of non-zeros (APoZ)",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass",
        paper=Paper(
            "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures",
            "Hu, Peng, Tai, Tang",
            "arXiv",
            2016,
            "1607.03250",
        ),
        published=(
            Published(
                "VGG-16",
                "ImageNet",
                "2 to 3 times fewer parameters at equal or better accuracy",
                "summary of the paper",
                False,
            ),
        ),
    )
    threshold: Annotated[float, Range(0.0, 0.1, "Counts as zero up to", step=0.001)] = 0.0

    def per_image(self, maps: Tensor) -> Tensor:
        return (maps.abs() > self.threshold).double().mean(dim=(2, 3))

    def score(self, site: Site) -> Tensor:
        assert site.observed is not None
        if bool((site.observed == 1).all()):
            raise NotScorable("No activation is ever zero where these channels are read. Raise the threshold.")
        return site.observed


class ActivationStatistic(Criterion):
    """A number read off the running statistics of what the next layer reads; several readers are added up."""

    place = Place.CONSUMER
    needs = Need.MOMENTS

    @abstractmethod
    def of(self, moments: Moments) -> Tensor:
        """(C,) float64."""

    def score(self, site: Site) -> Tensor:
        assert site.moments is not None
        return self.of(site.moments)


@dataclass(frozen=True)
class ActivationMean(ActivationStatistic):
    r"""Channels that answer strongly on average stay.

    Mean activation of a channel, $s_c = \operatorname{mean}_{n,h,w} A_{n,c,h,w}$.

    When it fails: a small activation can meet large weights in the next layer. A constant channel scores high although
    the next bias could take it over. Without a rectifier positive and negative answers cancel.
    """

    card: ClassVar = Card(
        key="act-mean",
        name="Mean activation",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass",
        paper=MOLCHANOV_2017,
    )

    def of(self, moments: Moments) -> Tensor:
        return moments.mean


@dataclass(frozen=True)
class ActivationMax(ActivationStatistic):
    r"""Channels that can answer strongly, if rarely, stay.

    Largest activation a channel ever made, $s_c = \max_{n,h,w} A_{n,c,h,w}$.

    When it fails: a single outlier decides, and more images mean larger values. It does spare rare but strong
    detectors.
    """

    card: ClassVar = Card(
        key="act-max",
        name="Largest activation",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass",
    )

    def of(self, moments: Moments) -> Tensor:
        return moments.high


@dataclass(frozen=True)
class ActivationMin(ActivationStatistic):
    r"""Channels that never fall low stay.

    Smallest activation a channel ever made, $s_c = \min_{n,h,w} A_{n,c,h,w}$.

    When it fails: almost always behind a rectifier, where it is 0 for nearly every channel and ranks nothing. It says
    something only where activations can be negative or never switch off.
    """

    card: ClassVar = Card(
        key="act-min",
        name="Smallest activation",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass",
    )

    def of(self, moments: Moments) -> Tensor:
        return moments.low


@dataclass(frozen=True)
class ActivationVariance(ActivationStatistic):
    r"""Channels that always answer alike tell nothing.

    Population variance of a channel's activations, $s_c = \operatorname{var}_{n,h,w} A_{n,c,h,w}$.

    A channel that always answers alike tells nothing: it scores exactly 0, and the next bias can take its constant
    over.

    When it fails: scale dependent; a channel of small variance can meet large weights.
    """

    card: ClassVar = Card(
        key="act-var",
        name="Variance of activations",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass",
    )

    def of(self, moments: Moments) -> Tensor:
        return moments.variance


@dataclass(frozen=True)
class ActivationStd(ActivationStatistic):
    r"""As the variance, in the activation's own unit.

    Standard deviation of a channel's activations, the square root of the variance.

    Ranks a single layer as the variance does; sums over coupled layers and global cuts differ.

    $s_c = \sqrt{\operatorname{var}_{n,h,w} A_{n,c,h,w}}$

    When it fails: as the variance.
    """

    card: ClassVar = Card(
        key="act-std",
        name="Standard deviation of activations",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass",
    )

    def of(self, moments: Moments) -> Tensor:
        return moments.variance.sqrt()


@dataclass(frozen=True)
class ActivationL1(ActivationStatistic):
    r"""The mean of absolute answers.

    Mean absolute activation, $s_c = \operatorname{mean}_{n,h,w} |A_{n,c,h,w}|$.

    Behind a rectifier it equals the mean; elsewhere positive and negative answers no longer cancel.

    When it fails: as the mean.
    """

    card: ClassVar = Card(
        key="act-l1",
        name="L1 norm of activations",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass",
    )

    def of(self, moments: Moments) -> Tensor:
        return moments.absolute


@dataclass(frozen=True)
class ActivationL2(ActivationStatistic):
    r"""The root mean square of the answers.

    Root mean square of a channel's activations, $s_c = \sqrt{\operatorname{mean}_{n,h,w} A_{n,c,h,w}^2}$.

    When it fails: as the mean; strong answers weigh more, and constants still score high.
    """

    card: ClassVar = Card(
        key="act-l2",
        name="L2 norm of activations",
        family=Family.ACTIVATION,
        data=Data.UNLABELLED,
        cost="one forward pass",
    )

    def of(self, moments: Moments) -> Tensor:
        return moments.square.sqrt()
