"""Pictures that occur more than once, or show nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pruning_core.datasets.findings.finding import Finding, share
from pruning_core.errors import quoted


@dataclass(frozen=True)
class Contradictory(Finding):
    """The same picture with different labels."""

    doubt: ClassVar[bool] = True
    count: int
    total: int
    example: tuple[str, str]

    @property
    def sentence(self) -> str:
        first, second = (quoted(name) for name in self.example)
        return (
            f"{share(self.count, self.total)} are found in more than one class: {first} is the same picture as "
            f"{second}. No network can be right on all of them."
        )


@dataclass(frozen=True)
class Leaked(Finding):
    """Test images that are also training images."""

    doubt: ClassVar[bool] = True
    count: int
    total: int  # test images
    example: tuple[str, str]

    @property
    def sentence(self) -> str:
        first, second = (quoted(name) for name in self.example)
        return (
            f"{self.count:,} of {self.total:,} test images are also training images ({first} is {second}), so the "
            "accuracy on the test images is flattered."
        )


@dataclass(frozen=True)
class Repeated(Finding):
    """Copies inside one class. ``divided``: the parts are drawn by chance, so copies may fall on both sides."""

    doubt: ClassVar[bool] = True
    count: int
    total: int
    divided: bool

    @property
    def sentence(self) -> str:
        fall = (
            " Copies may fall on both sides of the division into training and test images, which flatters the accuracy."
            if self.divided
            else ""
        )
        return f"{share(self.count, self.total)} are copies of another one of their class.{fall}"


@dataclass(frozen=True)
class Blank(Finding):
    """Pictures of one single colour."""

    doubt: ClassVar[bool] = True
    count: int
    total: int

    @property
    def sentence(self) -> str:
        return f"{share(self.count, self.total)} are of one single colour and show nothing."


@dataclass(frozen=True)
class AllEqual(Finding):
    """One picture over and over."""

    doubt: ClassVar[bool] = True
    total: int
    black: bool

    @property
    def sentence(self) -> str:
        what = "entirely black" if self.black else "the same picture"
        return f"All {self.total:,} images are {what}. Whatever is measured on them says nothing."
