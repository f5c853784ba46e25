"""Whether images are put into the class that their label names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pruning_core.measuring.measure import Against, Decided


@dataclass(frozen=True)
class TopOne(Decided):
    """Share of images whose highest score is that of the right class."""

    key: ClassVar = "top1"
    name: ClassVar = "Accuracy"
    says: ClassVar = "share of images that are put into the right class (top-1)"
    against: ClassVar = Against.CLASSES

    @property
    def title(self) -> str:
        return "Top-1 accuracy"
