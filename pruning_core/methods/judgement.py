"""Judging channels where a criterion does not do: by several layers at once, or for a number that is known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.graph import Network
from pruning_core.knobs import Knobbed

Judging = Generator[float, None, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Judgement(Knobbed, ABC):
    """A subclass is a frozen dataclass of plain values whose annotated fields are its knobs."""

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return False

    @abstractmethod
    def judging(
        self, model: nn.Module, network: Network, images: Dataset, learnt: Mapping[str, Tensor], device: str
    ) -> Judging:
        """Returns (C,) by group key, higher = keep, 0 for a channel that must go; yields the share done now and then.

        ``learnt`` is what the phases before have learnt. No argument is changed.
        """
