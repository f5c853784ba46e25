"""What a reader hands over: arrays as they were found, before splitting, resizing and renaming."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pruning_core.datasets.findings import Finding

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, total); it may raise to stop the work."""


@dataclass(frozen=True, eq=False)
class Raw:
    """images: uint8 (N, C, H, W), labels: int64 (N,), or targets (N, …) where there are no classes, (N, 0) where there
    is nothing; ``test_*`` are None where the source has one split only.

    names: of the images, training images first, where they have any.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    test_images: Tensor | None = None
    test_labels: Tensor | None = None
    findings: tuple[Finding, ...] = ()
    names: tuple[str, ...] = ()

    def also(self, findings: tuple[Finding, ...]) -> Raw:
        """The same with more findings."""
        return dataclasses.replace(self, findings=self.findings + findings)

    def called(self, at: int) -> str:
        """What a person may call image ``at``, training images first."""
        if self.names:
            return self.names[at]
        train = len(self.labels)
        return f"image {at:,}" if at < train else f"test image {at - train:,}"


def quiet(what: str, done: int, total: int) -> None:
    """The progress callback of somebody who does not listen."""
