"""What a criterion is: a frozen class with a card that turns a site into one number per channel."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import ClassVar

from torch import Tensor

from pruning_core.errors import UserError
from pruning_core.knobs import check_knobs, knobs_of
from pruning_core.probe.moments import Moments
from pruning_core.probe.objectives import CROSS_ENTROPY, Objective
from pruning_core.probe.samples import Samples
from pruning_core.taxonomy import Card


class NotScorable(UserError):
    """This criterion cannot judge this group; the sentence says why."""


class Need(Flag):
    """What the probe collects for a criterion beside the weights."""

    NOTHING = 0
    MOMENTS = auto()  # running statistics of the activations that consumers read
    MAPS = auto()  # the activations themselves, image by image, handed to ``per_image``
    SAMPLES = auto()  # what consumers read at random positions, with their weights
    GRADIENT = auto()  # gradient of the objective, averaged over all images
    BATCH_GRADIENTS = auto()  # the gradient of every batch, handed to ``per_batch``
    CURVATURE = auto()  # diagonal of the Hessian
    PUSH = auto()  # Hessian times gradient
    TRIAL = auto()  # a function that tries other weights
    KERNELS = auto()  # the weights as kernels, and those of the layers that read the channels

    @property
    def gradients(self) -> bool:
        return bool(self & (Need.GRADIENT | Need.BATCH_GRADIENTS | Need.CURVATURE | Need.PUSH))

    @property
    def activations(self) -> bool:
        return bool(self & (Need.MOMENTS | Need.MAPS | Need.SAMPLES))


class Place(Enum):
    """Where in a group a criterion looks; the value completes "no …" when a group has no such place."""

    PRODUCER = "layer computes these channels"
    NORM = "batch normalisation scales these channels"
    CONSUMER = "layer reads these channels through weights of its own"


@dataclass(frozen=True)
class Fairness:
    """What makes the scores of one criterion comparable between groups, for a cut through the whole network.

    ``by`` is what the scores of each group are divided by: "none", "mean", "L2" or "max", or "rank", which keeps the
    order alone (``allocation.global_threshold.NORMALISE``). ``source`` says who does so, or why we do.
    """

    by: str
    source: str

    @property
    def sentence(self) -> str:
        what = {
            "none": "scores of all layers are compared as they are",
            "rank": "only the order within each layer counts",
        }.get(self.by, f"each layer's scores are divided by their {self.by}")
        return f"{what} ({self.source})"


class Trial(ABC):
    """Tries other weights at a site; only the criterion that asks for it gets one."""

    @abstractmethod
    def gradient(self, weight: Tensor) -> Tensor:
        """Gradient (C, fan) of the loss where the site's weights are replaced by ``weight`` (C, fan), both float64."""


@dataclass(frozen=True, eq=False)
class Site:
    """One place of a group; every tensor has one row per channel (unit) of the group.

    A site of a layer with several slices per channel (a head, a flattened map) lays them side by side in a row.
    A joint site lays all the places of its group side by side.
    """

    weight: Tensor  # (C, fan) float64: output slices, input slices or batch-norm scales
    name: str = ""
    kernels: tuple[Tensor, ...] = ()  # per weight of the site (C, C_in, kH*kW); scalars for linear layers
    reads: tuple[Tensor, ...] = ()  # per consumer of the group (C, C_out, kH*kW): what reads each channel
    moments: Moments | None = None
    observed: Tensor | None = None  # (C,) mean of what per_image or per_batch returned
    gradient: Tensor | None = None  # (C, fan)
    curvature: Tensor | None = None  # (C, fan)
    push: Tensor | None = None  # (C, fan)
    samples: tuple[Samples, ...] = ()  # one per consumer
    trial: Trial | None = None

    @property
    def channels(self) -> int:
        return len(self.weight)


@dataclass(frozen=True)
class Criterion(ABC):
    """Judges the channels of a group; higher scores are kept.

    A subclass is a frozen dataclass whose docstring says what it measures and when it fails, and whose annotated
    fields are its knobs. ``place`` and ``needs`` say what it reads. Scores of several sites of one group (coupled
    layers) are added up, unless the criterion is ``joint``: then it sees all of them at once.
    """

    card: ClassVar[Card]
    place: ClassVar[Place] = Place.PRODUCER
    joint: ClassVar[bool] = False
    needs: ClassVar[Need] = Need.NOTHING
    fair: ClassVar[Fairness] = Fairness(
        "mean", "our choice: the paper compares within a layer alone, and the scale differs between layers"
    )

    def __post_init__(self) -> None:
        check_knobs(self)

    @abstractmethod
    def score(self, site: Site) -> Tensor:
        """(C,) finite numbers, higher = keep. Raises NotScorable when the site has not what it takes."""

    def per_image(self, maps: Tensor) -> Tensor:
        """What is averaged over images into ``site.observed``: (N, C, H, W) -> (N, C)."""
        raise NotImplementedError(f"{type(self).__name__} asks for maps and must say what it takes from them")

    def per_batch(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """What is averaged over batches into ``site.observed``: two (C, fan) -> (C,)."""
        raise NotImplementedError(f"{type(self).__name__} asks for gradients and must say what it takes from them")

    @property
    def objective(self) -> Objective:
        """The function whose gradients it reads."""
        return CROSS_ENTROPY

    @property
    def trial_images(self) -> int:
        """How many of the images each pass of a trial reads."""
        return 0

    @property
    def label(self) -> str:
        """The card's name, with the knobs that differ from their defaults."""
        changed = [
            f"{k.name} {getattr(self, k.name)}" for k in knobs_of(type(self)) if getattr(self, k.name) != k.default
        ]
        return f"{self.card.name} ({', '.join(changed)})" if changed else self.card.name

    @property
    def needs_images(self) -> bool:
        return (
            self.needs.activations or Need.TRIAL in self.needs or (self.needs.gradients and self.objective.reads_images)
        )

    @property
    def needs_labels(self) -> bool:
        return Need.TRIAL in self.needs or (self.needs.gradients and self.objective.reads_images)


class Reconstructing(Criterion):
    """A criterion whose paper also mends the weights of the layers that read the kept channels."""

    place = Place.CONSUMER
    joint = True
    needs = Need.SAMPLES

    @abstractmethod
    def reconstruct(self, samples: Samples, kept: Tensor) -> Tensor:
        """New input slices (len(kept), f, O) of one consumer, so that its output changes least; float64."""


@dataclass(frozen=True)
class Scores:
    """One criterion's verdict on a network.

    ``values`` holds (C,) float64 per group, higher = keep; ``missing`` says for every other group why there is none.
    ``seconds`` is what the criterion costs alone: its own work plus the passes it shares with others.
    """

    criterion: Criterion
    values: dict[str, Tensor]
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    images: int = 0
