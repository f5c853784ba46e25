"""Boxes with scores: how a detector lays out its numbers, and what they say of an image after suppression.

Boxes are corners (x1, y1, x2, y2) as shares of an image's width and height, so that nothing hangs on its size: the
overlap of two boxes stays the same when an axis is stretched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, box_convert

MOST = 100  # detections of one image that count, as COCO has it
BOX = 4  # numbers of a box
FINISHED = 6  # numbers of a box with its score and class
FLOOR = 0.001  # scores below it are nobody's detection
CANDIDATES = 1000  # of one image, by score, that are looked at for overlaps
OVERLAP = 0.65  # of two boxes of one class from which the weaker one goes
NEAR = 1e-3


@dataclass(frozen=True)
class Layout:
    """How the numbers of a batch are read.

    finished: rows (n, boxes, 6) of a box, its score and the number of its class, as a network gives them that leaves
    out doubles itself; else candidates: a box, perhaps the chance that anything is there, and a score for each class.
    columns: (n, numbers, candidates), else (n, candidates, numbers). corners: x1, y1, x2, y2, else the centre, width
    and height. pixels: of the network's input, else shares of its sides. logits: scores want a sigmoid.
    """

    columns: bool = False
    corners: bool = False
    pixels: bool = True
    logits: bool = False
    finished: bool = False

    @property
    def told(self) -> tuple[tuple[str, bool], ...]:
        """As options of a reference, from which :meth:`of` reads it."""
        return tuple(asdict(self).items())

    @staticmethod
    def of(told: Any) -> Layout | None:
        """What ``told`` says; None where it says nothing of the kind."""
        try:
            found = dict(told)
        except (TypeError, ValueError):
            return None
        known = Layout().told
        if found.keys() != dict(known).keys() or any(not isinstance(each, bool) for each in found.values()):
            return None
        return Layout(**found)

    def classes(self, width: int, places: tuple[int, ...], named: int) -> tuple[int, bool]:
        """(how many classes are told apart, whether a chance that anything is there comes before them).

        ``width``, ``places``: of the outputs; ``named``: how many categories the images have, which decides between
        the two. A finished row tells any number apart.
        """
        if self.finished:
            return named, False
        numbers = width if self.columns else places[0]
        there = numbers - BOX - 1 == named
        return numbers - BOX - there, there


def proposed(outputs: Tensor) -> Layout | None:
    """What ``outputs`` (n, a, b) for ordinary images look like, to be confirmed by somebody; None for other shapes."""
    if outputs.ndim != 3 or min(outputs.shape[1:]) <= BOX:
        return None
    columns = outputs.shape[1] < outputs.shape[2]
    rows = (outputs.transpose(1, 2) if columns else outputs).double()
    boxes, scores = rows[..., :BOX], rows[..., BOX:]
    ordered = bool((boxes[..., 2:] >= boxes[..., :2] - NEAR).double().mean() > 0.99)
    pixels = float(boxes.abs().max()) > 2
    kinds = rows[..., -1]
    finished = rows.shape[2] == FINISHED and bool((kinds == kinds.round()).all()) and bool((kinds >= 0).all())
    judged = scores[..., :1] if finished else scores
    logits = float(judged.min()) < -NEAR or float(judged.max()) > 1 + NEAR
    return Layout(columns and not finished, ordered, pixels, logits, finished)


@dataclass(frozen=True)
class Detections:
    """Of n images, by falling score: ``boxes`` (n, 100, 4), ``scores`` (n, 100), ``classes`` int64 (n, 100), -1 where
    there is no more."""

    boxes: Tensor
    scores: Tensor
    classes: Tensor


@dataclass(frozen=True)
class Decoder:
    """Reads outputs laid out as ``layout``, for an input of (H, W) ``sides``, as boxes of ``classes`` classes.

    likely: whether the chance that anything is there stands before the scores of classes.
    """

    layout: Layout
    sides: tuple[int, int]
    classes: int
    likely: bool = False

    def candidates(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """(n, …) -> boxes (n, A, 4) and the probability of each class (n, A, classes), both with their gradients."""
        layout = self.layout
        rows = outputs.transpose(1, 2) if layout.columns else outputs
        boxes, scores = rows[..., :BOX], rows[..., BOX:]
        if not layout.corners:
            boxes = box_convert(boxes, "cxcywh", "xyxy")
        if layout.pixels:
            height, width = self.sides
            boxes = boxes / torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
        if layout.finished:
            scores, kinds = scores[..., :1], scores[..., 1].round().long()
            known = (kinds >= 0) & (kinds < self.classes)
            chosen = F.one_hot(kinds.clamp(0, self.classes - 1), self.classes) * known[..., None]
            return boxes, (scores.sigmoid() if layout.logits else scores) * chosen.to(scores.dtype)
        scores = scores.sigmoid() if layout.logits else scores
        return boxes, scores[..., 1:] * scores[..., :1] if self.likely else scores

    @torch.no_grad()
    def detections(self, outputs: Tensor) -> Detections:
        """(n, …) -> the best of each image: every candidate counts for its best class, doubles are left out."""
        boxes, scores = self.candidates(outputs.double())
        best, kinds = scores.max(2)
        best = torch.where(best > FLOOR, best, 0.0)
        best, at = best.sort(dim=1, descending=True, stable=True)
        best, at = best[:, :CANDIDATES], at[:, :CANDIDATES]
        boxes = boxes.gather(1, at[..., None].expand(-1, -1, BOX))
        kinds = kinds.gather(1, at)
        found = empty(len(outputs))
        for image in range(len(outputs)):
            some = int((best[image] > 0).sum())
            kept = torch.arange(some)
            if not self.layout.finished:
                kept = batched_nms(boxes[image, :some], best[image, :some], kinds[image, :some], OVERLAP)
            kept = kept[:MOST]
            put(found, image, boxes[image, kept], best[image, kept], kinds[image, kept])
        return found


def empty(images: int) -> Detections:
    """Nothing found in so many images."""
    return Detections(
        torch.zeros(images, MOST, BOX, dtype=torch.float64),
        torch.zeros(images, MOST, dtype=torch.float64),
        torch.full((images, MOST), -1),
    )


def put(found: Detections, image: int, boxes: Tensor, scores: Tensor, classes: Tensor) -> None:
    """What is in one image, by falling score and no more than count, into ``found``."""
    count = len(boxes)
    found.boxes[image, :count], found.scores[image, :count], found.classes[image, :count] = boxes, scores, classes


def as_rows(given: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """(n, 100, 6) finished rows, from one mapping with "boxes" (m, 4), "scores" (m,) and "labels" (m,) for each image,
    as torchvision's detectors give them; rows of zeros where there is no more."""
    first = given[0]["boxes"]
    rows = first.new_zeros(len(given), MOST, FINISHED)
    for image, each in enumerate(given):
        kept = each["scores"].argsort(descending=True, stable=True)[:MOST]
        parts = (each["boxes"][kept], each["scores"][kept, None], each["labels"][kept, None].to(first))
        rows[image, : len(kept)] = torch.cat(parts, 1)
    return rows
