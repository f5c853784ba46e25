"""Pictures with boxes drawn on them, in the colours of what they are around. No streamlit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

from pages.ui.colours import COLOURS, square
from pages.ui.language import _
from pages.ui.literal import named

WIDTH, DASH = 2, 6  # pixels
AROUND = 1  # times the sides that a box may reach out of its picture


@dataclass(frozen=True)
class Drawn:
    """Corners (x1, y1, x2, y2) as shares of the sides; ``dashed``: not what is drawn first and foremost."""

    corners: tuple[float, ...]
    category: int
    dashed: bool = False


def picture(image: Image.Image, boxes: Iterable[Drawn], side: int) -> Image.Image:
    """``image`` at ``side`` pixels across, so that a thin line is seen, and ``boxes`` on it."""
    size = (side, max(1, round(side * image.height / image.width)))
    shown = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(shown)
    for each in boxes:
        x1, y1, x2, y2 = (_inside(share) * size[at % 2] for at, share in enumerate(each.corners))
        corners, colour = (x1, y1, max(x1, x2), max(y1, y2)), COLOURS[(each.category + 1) % len(COLOURS)]
        if each.dashed:
            _dashes(pen, corners, colour)
        else:
            pen.rectangle(corners, outline=colour, width=WIDTH)
    return shown


def legend(categories: Iterable[int], names: Sequence[str]) -> str:
    """Markdown with HTML: which colour stands for which of the ``categories``."""
    there = sorted(set(categories))[: len(COLOURS)]
    marks = " ".join(f":small[{square(number + 1)} {named(names[number])}]" for number in there)
    return _("Boxes of these categories: {marks}").format(marks=marks)


def of_pixels(pixels: Tensor) -> Image.Image:
    """(C, H, W) uint8, grey or red first."""
    return Image.fromarray(pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy())


def _inside(share: float) -> float:
    return max(-AROUND, min(1 + AROUND, share))


def _dashes(pen: ImageDraw.ImageDraw, corners: tuple[float, ...], colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = corners
    for (ax, ay), (bx, by) in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x1, y2), (x2, y2)), ((x1, y1), (x1, y2))):
        length = max(abs(bx - ax), abs(by - ay))
        for start in range(0, int(length), 2 * DASH):
            one, other = start / length, min(1.0, (start + DASH) / length)
            line = (ax + one * (bx - ax), ay + one * (by - ay), ax + other * (bx - ax), ay + other * (by - ay))
            pen.line(line, fill=colour, width=WIDTH)
