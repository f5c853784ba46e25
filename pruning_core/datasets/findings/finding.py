"""What a person should know about data before believing a number measured on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from pruning_core.errors import quoted

NAMED = 3  # classes or files that a sentence names; more is a list that nobody reads


@dataclass(frozen=True)
class Finding(ABC):
    """One thing about a data set that was converted, left out or looks odd; stored with the import.

    ``doubt``: it can make a number mean something else than it says, so somebody should look. Without it a conversion
    is merely named.
    """

    doubt: ClassVar[bool] = False

    @property
    @abstractmethod
    def sentence(self) -> str:
        """Plain text. What a file has chosen (names, classes) is quoted; a page escapes it."""


def share(count: int, total: int) -> str:
    """``3 of 16 images``, ``All 16 images``: how a sentence begins."""
    return f"All {total:,} images" if count == total and total > 1 else f"{count:,} of {total:,} images"


def named(names: tuple[str, ...]) -> str:
    """A few of ``names``, quoted, and how many more there are."""
    shown = ", ".join(quoted(name) for name in names[:NAMED])
    return shown + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
