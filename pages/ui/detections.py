"""What a detector finds in an image beside what was annotated there, as a picture with words below it."""

from __future__ import annotations

from itertools import islice

from PIL import Image
from torch import Tensor

from pages.ui import boxed, numbers
from pages.ui.language import N_, _
from pruning_core.studies.detections import Detected

SURE = 0.3  # a score from which a box is drawn
DRAWN = N_(
    "Solid: what the network finds with a score of {least} or more, else its surest box. Dashed: what was annotated."
)


def legend() -> str:
    return _(DRAWN).format(least=numbers.percent(SURE, 0))


def drawn(found: Detected, pixels: Tensor, labels: Tensor, side: int) -> tuple[Image.Image, set[int]]:
    """``pixels`` (C, H, W) uint8, red first, and ``labels`` (M, 6) -> the picture, and which categories are in it."""
    told = zip(found.boxes, found.categories, strict=True)
    boxes = [boxed.Drawn(*each) for each in islice(told, max(1, sure(found)))]
    annotated = [boxed.Drawn(tuple(row[:4]), int(row[4]), True) for row in labels.tolist() if row[4] >= 0]
    together = [*annotated, *boxes]
    return boxed.picture(boxed.of_pixels(pixels), together, side), {each.category for each in together}


def sure(found: Detected) -> int:
    """How many boxes have a score from which one is drawn."""
    return sum(score >= SURE for score in found.scores)


def caption(found: Detected) -> str:
    if not found.scores:
        return _("nothing found")
    return _("{n} found, the surest {score}").format(n=sure(found), score=numbers.percent(found.scores[0], 0))
