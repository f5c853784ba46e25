"""What a reader hands over: arrays as they were found, before splitting, resizing and renaming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, total); it may raise to stop the work."""


@dataclass(frozen=True, eq=False)
class Raw:
    """images: uint8 (N, C, H, W), labels: int64 (N,); ``test_*`` are None where the source has one split only."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    test_images: Tensor | None = None
    test_labels: Tensor | None = None
    notes: tuple[str, ...] = ()


def quiet(what: str, done: int, total: int) -> None:
    """The progress callback of somebody who does not listen."""
