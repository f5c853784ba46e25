"""What is known of every image by one measure, so that two networks can be compared on the same images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pruning_core.measuring.measure import Measure
from pruning_core.measuring.measures import Drop


@dataclass(frozen=True, eq=False)
class Marks:
    """``rows`` (N, k): what each image adds to ``measure``."""

    measure: Measure
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, images: int) -> Marks:
        """Those of the first ``images`` alone."""
        return Marks(self.measure, self.rows[:images])

    def drop(self, new: Marks) -> Drop:
        """How much worse ``new`` is, of another network on the same images in the same order."""
        return self.measure.drop(self.rows, new.rows)


def in_top5(scores: Tensor, labels: Tensor) -> int:
    """Images whose true class is among the five highest scores; 0 where that could not fail."""
    if scores.shape[1] <= 5:
        return 0
    return int((scores.topk(5, 1).indices == labels[:, None]).any(1).sum())
