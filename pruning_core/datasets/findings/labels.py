"""What was done to labels, and what their counts say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pruning_core.datasets.findings.finding import Finding, named
from pruning_core.errors import quoted


@dataclass(frozen=True)
class Renumbered(Finding):
    """Labels that do not count 0, 1, 2, … without a gap."""

    doubt: ClassVar[bool] = True
    low: int
    high: int
    classes: int

    @property
    def sentence(self) -> str:
        gaps = "" if self.high - self.low + 1 == self.classes else f" with gaps, {self.classes:,} different ones"
        return (
            f"The labels run from {self.low:,} to {self.high:,}{gaps}; they were numbered from 0 in their order, so "
            f"the network's first output stands for label {self.low:,}. If it has outputs for what is missing, give "
            "the class names in the file."
        )


@dataclass(frozen=True)
class Negative(Finding):
    """A label below 0, which many tools give to what nobody labelled."""

    doubt: ClassVar[bool] = True
    label: int
    count: int

    @property
    def sentence(self) -> str:
        return (
            f"{self.count:,} image(s) have the label {self.label}, which often means that nobody labelled them; here "
            "they are a class of their own."
        )


@dataclass(frozen=True)
class OneHot(Finding):
    """A row of zeros with one 1 for each image."""

    columns: int

    @property
    def sentence(self) -> str:
        return f"The labels are rows of {self.columns:,} with one 1 in each; its place was taken as the label."


@dataclass(frozen=True)
class WholeFloats(Finding):
    """Whole numbers that are stored as floats."""

    @property
    def sentence(self) -> str:
        return "The labels are floats that are whole numbers, and were taken as such."


@dataclass(frozen=True)
class Alphabetical(Finding):
    """Names, and nothing that says their order."""

    first: str
    by_array: bool = True  # whether the file could say another order

    @property
    def sentence(self) -> str:
        told = (
            f"The labels are names, put in alphabetical order: the network's first output stands for "
            f"{quoted(self.first)}."
        )
        return f"{told} Another order is given by an array called classes." if self.by_array else told


@dataclass(frozen=True)
class Missing(Finding):
    """Classes without an image in one part."""

    doubt: ClassVar[bool] = True
    part: str
    names: tuple[str, ...]
    classes: int

    @property
    def sentence(self) -> str:
        return (
            f"{len(self.names):,} of {self.classes:,} classes have no {self.part} images: {named(self.names)}. Nothing "
            "measured on that part says anything about them."
        )


@dataclass(frozen=True)
class Unequal(Finding):
    """One class has many times the images of another."""

    doubt: ClassVar[bool] = True
    least: str
    fewest: int
    most: str
    many: int
    share: float  # of the largest class among all images of the part

    @property
    def sentence(self) -> str:
        return (
            f"The classes are very unequal: {quoted(self.most)} has {self.many:,} images, {quoted(self.least)} has "
            f"{self.fewest:,}. Always answering the largest is right on {100 * self.share:.0f} % of the images."
        )


@dataclass(frozen=True)
class Unlabelled(Finding):
    """Images alone."""

    @property
    def sentence(self) -> str:
        return (
            "There are no labels: nothing says what is right for these images. So a network is judged by how near it "
            "stays to what it gives before anything is removed."
        )


@dataclass(frozen=True)
class Targets(Finding):
    """What comes with each image is no class."""

    shape: tuple[int, ...]

    @property
    def sentence(self) -> str:
        if not self.shape:
            return "The labels are one number for each image, and no classes."
        shape = " × ".join(f"{side:,}" for side in self.shape)
        return f"The labels are {shape} numbers for each image, and no classes."
