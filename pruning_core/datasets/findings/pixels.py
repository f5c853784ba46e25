"""What was done to pixels on their way into bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pruning_core.datasets.findings.finding import Finding, share


@dataclass(frozen=True)
class BitDepth(Finding):
    """Whole numbers of more than 8 bits; ``used``: bits that the largest value of the whole set needs."""

    doubt: ClassVar[bool] = True
    count: int
    total: int
    stored: int
    used: int
    largest: int

    @property
    def sentence(self) -> str:
        how = "kept as bytes" if self.used == 8 else f"scaled so that {2**self.used - 1:,} is white"
        return (
            f"{share(self.count, self.total)} store {self.stored} bits a pixel and use {self.used} of them (the "
            f"largest value is {self.largest:,}); they were {how}."
        )


@dataclass(frozen=True)
class UpperBits(Finding):
    """Colour of 16 bits, of which only the upper 8 can be had."""

    doubt: ClassVar[bool] = True
    count: int
    total: int

    @property
    def sentence(self) -> str:
        return (
            f"{share(self.count, self.total)} store 16 bits a colour, of which the upper 8 were read. If they use "
            "fewer bits than 16 they are too dark: store bytes."
        )


@dataclass(frozen=True)
class ZeroOne(Finding):
    """Bytes that are 0 or 1 only."""

    doubt: ClassVar[bool] = True

    @property
    def sentence(self) -> str:
        return "Every pixel is 0 or 1, so 1 was taken as white (255): as bytes the images would be all but black."


@dataclass(frozen=True)
class Floats(Finding):
    """Floating-point pixels; ``low`` and ``high`` are those of the whole set, ``black`` and ``white`` their meaning."""

    count: int
    total: int
    low: float
    high: float
    black: float
    white: float

    @property
    def sentence(self) -> str:
        return (
            f"{share(self.count, self.total)} are floats from {self.low:.4g} to {self.high:.4g}; they were turned into "
            f"bytes, with {self.black:g} as black and {self.white:g} as white."
        )


@dataclass(frozen=True)
class TooDark(Finding):
    """Bytes that leave most of their range unused."""

    doubt: ClassVar[bool] = True
    largest: int

    @property
    def sentence(self) -> str:
        return (
            f"The brightest pixel is {self.largest} of 255, so a network sees images that are nearly black. If "
            f"{self.largest} should be white, store pixels as value × 255 / {self.largest}."
        )


@dataclass(frozen=True)
class Turned(Finding):
    """Pictures whose EXIF says how the camera was held."""

    count: int
    total: int

    @property
    def sentence(self) -> str:
        return (
            f"{share(self.count, self.total)} were turned upright as their EXIF asks. torchvision's loader does not do "
            "that: a network trained through it saw them as they are stored."
        )


@dataclass(frozen=True)
class AlphaLeftOut(Finding):
    """A transparency that is really used."""

    doubt: ClassVar[bool] = True
    count: int
    total: int

    @property
    def sentence(self) -> str:
        return (
            f"{share(self.count, self.total)} are transparent in places. The alpha channel was left out, as "
            "torchvision's loader does, so the colours stored beneath it show."
        )


@dataclass(frozen=True)
class Palette(Finding):
    """Colours by number."""

    count: int
    total: int

    @property
    def sentence(self) -> str:
        return f"{share(self.count, self.total)} name their colours by a palette and were turned into colour."


@dataclass(frozen=True)
class OtherColours(Finding):
    """Colours for print or television: CMYK, YCbCr, LAB, HSV."""

    doubt: ClassVar[bool] = True
    count: int
    total: int
    modes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        which = f"{share(self.count, self.total)} are {', '.join(self.modes)}"
        return f"{which} and were turned into RGB without a colour profile."


@dataclass(frozen=True)
class GreyAmongColour(Finding):
    """Both kinds in one set."""

    count: int
    total: int

    @property
    def sentence(self) -> str:
        return f"{share(self.count, self.total)} are grey among coloured ones; their channel was repeated three times."


@dataclass(frozen=True)
class GreyAsColour(Finding):
    """Three equal channels everywhere."""

    @property
    def sentence(self) -> str:
        return "All images have three channels that are equal: they are grey, stored as colour."


@dataclass(frozen=True)
class Resized(Finding):
    """Pictures of several sizes. ``common``: the size is that of most of them, else the median of the sides."""

    count: int
    total: int
    width: int
    height: int
    common: bool
    smallest: tuple[int, int]  # (width, height)
    largest: tuple[int, int]

    @property
    def sentence(self) -> str:
        why = "the size of most" if self.common else "the median of their sides"
        return (
            f"{share(self.count, self.total)} had another size and were resized to {self.width} x {self.height}, "
            f"{why}, not keeping proportions; they are from {_size(self.smallest)} to {_size(self.largest)} pixels."
        )


@dataclass(frozen=True)
class FirstFrame(Finding):
    """Animations, and files of several pages."""

    doubt: ClassVar[bool] = True
    count: int
    total: int

    @property
    def sentence(self) -> str:
        return f"{share(self.count, self.total)} hold several frames or pages, of which the first was taken."


@dataclass(frozen=True)
class ChannelsLast(Finding):
    """An array of images in the order of image files."""

    shape: tuple[int, ...]

    @property
    def sentence(self) -> str:
        return f"The array of images has the shape {self.shape}: its channels are last, and were put first."


@dataclass(frozen=True)
class EitherAxis(Finding):
    """An array whose channels could be first or last."""

    doubt: ClassVar[bool] = True
    shape: tuple[int, ...]

    @property
    def sentence(self) -> str:
        return (
            f"The array of images has the shape {self.shape}, in which the second or the last axis could be the "
            "channels. The second was taken; if it is the last, store the array with its axes moved."
        )


@dataclass(frozen=True)
class FourthChannel(Finding):
    """Four channels in an array, which does not say what they are."""

    doubt: ClassVar[bool] = True

    @property
    def sentence(self) -> str:
        return (
            "The images have four channels; the first three were taken as red, green and blue, the fourth was left out."
        )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
