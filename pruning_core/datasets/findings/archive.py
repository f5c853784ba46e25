"""What was found in an archive besides pictures in class folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pruning_core.datasets.findings.finding import Finding, named
from pruning_core.errors import clip, quoted


@dataclass(frozen=True)
class Clutter(Finding):
    """What systems and editors leave behind: ``__MACOSX``, ``.DS_Store``, ``Thumbs.db``, hidden files."""

    count: int
    example: str

    @property
    def sentence(self) -> str:
        example = quoted(self.example)
        return f"{self.count:,} file(s) that a system or an editor left behind, such as {example}, were passed over."


@dataclass(frozen=True)
class LeftOut(Finding):
    """Files of a kind that is not read: other picture formats, archives inside the archive, lists."""

    doubt: ClassVar[bool] = True
    count: int
    suffixes: tuple[str, ...]
    example: str

    @property
    def sentence(self) -> str:
        kinds = ", ".join(clip(suffix, 12) or "no suffix" for suffix in self.suffixes)
        return (
            f"{self.count:,} file(s) are of a kind that is not read ({kinds}) and were left out, such as "
            f"{quoted(self.example)}. Pictures among them are missing from their classes."
        )


@dataclass(frozen=True)
class TextsBeside(Finding):
    """Notes and lists beside the pictures."""

    count: int
    example: str

    @property
    def sentence(self) -> str:
        return f"{self.count:,} text file(s), such as {quoted(self.example)}, were not read."


@dataclass(frozen=True)
class Listed(Finding):
    """A list that gives the images their labels. ``columns``: of it, less that of the names."""

    name: str
    rows: int
    columns: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        what = f"{len(self.classes):,} classes" if self.classes else f"{len(self.columns):,} numbers for each"
        columns = named(self.columns) if self.columns else "no column"
        return f"A list, {quoted(self.name)}, gives {self.rows:,} images their labels by {columns}: {what}."


@dataclass(frozen=True)
class NotListed(Finding):
    """Pictures that a list does not name."""

    doubt: ClassVar[bool] = True
    count: int
    example: str
    name: str

    @property
    def sentence(self) -> str:
        return (
            f"{self.count:,} image(s), such as {quoted(self.example)}, are not named in {quoted(self.name)} and were "
            "left out."
        )


@dataclass(frozen=True)
class EmptyFolders(Finding):
    """Folders beside the classes that hold nothing that is read."""

    doubt: ClassVar[bool] = True
    names: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"{named(self.names)} stands beside the class folders, but holds no picture, so it is no class here."


@dataclass(frozen=True)
class Subfolders(Finding):
    """Folders inside a class folder."""

    doubt: ClassVar[bool] = True
    count: int
    example: str
    label: str

    @property
    def sentence(self) -> str:
        return (
            f"{self.count:,} image(s) lie in folders inside their class folder; {quoted(self.example)} counts as "
            f"{quoted(self.label)}. If the inner folders are the classes, make the zip from them."
        )


@dataclass(frozen=True)
class TestFolders(Finding):
    """Folders that count as the test part without being the one called test."""

    doubt: ClassVar[bool] = True
    names: tuple[str, ...]

    @property
    def sentence(self) -> str:
        if len(self.names) == 1:
            return (
                f"The folder {named(self.names)} is taken as the test images. Where it chose the network's training, "
                "it flatters it."
            )
        return (
            f"The folders {named(self.names)} are taken together as the test images. Where one of them chose the "
            "network's training, it flatters it: leave it out of the zip."
        )


@dataclass(frozen=True)
class OnlyOnePart(Finding):
    """A part's folder without its counterpart."""

    name: str

    @property
    def sentence(self) -> str:
        return f"There is a folder {quoted(self.name)} and no counterpart, so its images are divided by chance."


@dataclass(frozen=True)
class CodePage(Finding):
    """Names that do not say how their letters are stored. ``sure``: they can hardly be anything else."""

    doubt: ClassVar[bool] = True
    code_page: str
    example: str
    sure: bool

    @property
    def sentence(self) -> str:
        example = quoted(self.example)
        read = f"The zip does not say how its names are written; they were read as {self.code_page}: {example}."
        return read if self.sure else f"{read} That is a guess: choose another if the class names look wrong."


@dataclass(frozen=True)
class NumbersAsText(Finding):
    """Class names that are numbers, in the order of text."""

    doubt: ClassVar[bool] = True
    names: tuple[str, ...]

    @property
    def sentence(self) -> str:
        order = ", ".join(clip(name, 12) for name in self.names[:4])
        return (
            f"The class names are numbers and stand in the order of text ({order}, …), as torchvision's ImageFolder "
            "sorts them. A network whose outputs follow the numbers needs names of one length, such as 02 and 10."
        )


@dataclass(frozen=True)
class Alike(Finding):
    """Two class names that only differ in capitals or spaces."""

    doubt: ClassVar[bool] = True
    names: tuple[str, str]

    @property
    def sentence(self) -> str:
        first, second = (quoted(name) for name in self.names)
        return f"{first} and {second} are two classes here. If they are one, give their folders one name."


@dataclass(frozen=True)
class OwnTestLeftOut(Finding):
    """Test images in the first zip although a second one was sent."""

    doubt: ClassVar[bool] = True
    count: int

    @property
    def sentence(self) -> str:
        return (
            f"{self.count:,} test images of the first zip were left out, because a second zip brings the test images."
        )


@dataclass(frozen=True)
class ArraysLeftOut(Finding):
    """Arrays of a NumPy archive that have no name that is asked for, or one that comes second."""

    doubt: ClassVar[bool] = True
    names: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"The file also holds {named(self.names)}, which was not read."
