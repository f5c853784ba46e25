"""What a criterion is: a frozen class with a card that turns a site into one number per channel."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from pruning_core.errors import UserError
from pruning_core.knobs import Knobbed, knobs_of
from pruning_core.probe.objectives import TASK_LOSS, Objective
from pruning_core.probe.samples import Samples
from pruning_core.probe.site import Need, Place, Site
from pruning_core.taxonomy import Card


class NotScorable(UserError):
    """This criterion cannot judge this group; the sentence says why."""


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


@dataclass(frozen=True)
class Criterion(Knobbed, ABC):
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
        return TASK_LOSS

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
    def runs_network(self) -> bool:
        """Whether it runs the network, on images or on what it makes up; else the weights are enough."""
        return self.needs_images or self.needs.gradients

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
