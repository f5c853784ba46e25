"""One place of a group as criteria see it, and what a criterion may ask the probe for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import ClassVar, Protocol

from torch import Tensor

from pruning_core.probe.moments import Moments
from pruning_core.probe.objectives import Objective
from pruning_core.probe.samples import Samples


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


class Asking(Protocol):
    """What the probe has to know of a criterion; criteria are such objects."""

    place: ClassVar[Place]
    joint: ClassVar[bool]
    needs: ClassVar[Need]

    @property
    def objective(self) -> Objective:
        """The function whose gradients it reads."""

    def per_image(self, maps: Tensor) -> Tensor:
        """What is averaged over images: (N, C, H, W) -> (N, C)."""

    def per_batch(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """What is averaged over batches: two (C, fan) -> (C,)."""


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
