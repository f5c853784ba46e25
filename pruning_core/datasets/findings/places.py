"""What came with the places of images: masks, and pictures that outputs are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pruning_core.datasets.findings.finding import Finding, named


@dataclass(frozen=True)
class Masks(Finding):
    """The number of a class at every pixel. ``unknown``: the share of pixels that nobody labelled."""

    classes: int
    low: int
    high: int
    unknown: float

    @property
    def sentence(self) -> str:
        numbers = f"from {self.low} to {self.high}" if self.low < self.high else f"{self.low} everywhere"
        some = f", of which {self.classes:,} occur" if 1 < self.classes <= self.high - self.low else ""
        left = f"; {100 * self.unknown:.2g} % of the pixels are 255, which nobody labelled" if self.unknown else ""
        return f"Each pixel has the number of a class, {numbers}{some}{left}."


@dataclass(frozen=True)
class BlackAndWhite(Finding):
    """Masks of nothing but 0 and 255."""

    doubt: ClassVar[bool] = True

    @property
    def sentence(self) -> str:
        return "The masks hold nothing but 0 and 255, so 255 was taken for class 1 and not for what nobody labelled."


@dataclass(frozen=True)
class TargetPictures(Finding):
    """A picture that outputs are compared with; ``ratio``: how many times the sides of its image it has."""

    channels: int
    ratio: float

    @property
    def sentence(self) -> str:
        kind = "grey" if self.channels == 1 else "colour"
        size = "of the same size" if self.ratio == 1 else f"with {self.ratio:g} times its sides"
        return f"Each image has a target picture in {kind} {size}; pixels go in and are compared from 0 to 1."


@dataclass(frozen=True)
class Annotations(Finding):
    """COCO's annotations of things in images, read as ``way``: "masks", "boxes" or "labels"."""

    count: int
    categories: tuple[str, ...]
    way: str

    @property
    def sentence(self) -> str:
        told = f"{self.count:,} annotation(s) of {len(self.categories):,} categories, {named(self.categories)},"
        if self.way == "masks":
            return (
                f"{told} were read as masks: 0 where nothing is, then the categories from 1 on; where things overlap, "
                "the later one is on top."
            )
        if self.way == "boxes":
            return f"{told} were read as boxes: where something is, and what."
        return f"{told} were read as several labels for each image: 1 for what occurs in it, 0 for what does not."


@dataclass(frozen=True)
class BoxesMended(Finding):
    """Boxes that reach ``cut`` out of their image, have no area inside it, or stand for ``crowds``."""

    cut: int
    empty: int
    crowds: int

    @property
    def sentence(self) -> str:
        return (
            f"Of the boxes, {self.cut:,} reached out of their image and were cut at its edge, {self.empty:,} had no "
            f"area inside it and were left out, and {self.crowds:,} stand for a crowd, where what is found counts "
            "neither way."
        )
