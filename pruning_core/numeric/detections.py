"""Boxes with scores: what a detector's outputs, read as a layout says, tell of an image after suppression.

Boxes are corners (x1, y1, x2, y2) as shares of an image's width and height, so that nothing hangs on its size: the
overlap of two boxes stays the same when an axis is stretched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, box_convert

from pruning_core.numeric.box_layout import BOX, FINISHED, Form, Layout, Nothing, Says, Shape

MOST = 100  # detections of one image that count, as COCO has it
FLOOR = 0.001  # scores below it are nobody's detection
CANDIDATES = 1000  # of one image, by score, that are looked at for overlaps
OVERLAP = 0.65  # of two boxes of one class from which the weaker one goes


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

    likely: whether the chance that anything is there stands before the scores of classes. shapes: of each output,
    without the images; outputs that are read apart come behind one another.
    """

    layout: Layout
    sides: tuple[int, int]
    classes: int
    likely: bool = False
    shapes: tuple[Shape, ...] = ()

    def candidates(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """(n, …) -> boxes (n, A, 4) and the probability of each class (n, A, classes), both with their gradients."""
        boxes, scores, kinds = self._numbers(outputs)
        return self._corners(boxes), self._probabilities(scores, kinds)

    def _numbers(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """(n, …) -> boxes (n, A, 4), scores (n, A, K), and the number of the class (n, A) where there is one."""
        layout, parts = self.layout, [outputs]
        if layout.apart:
            pieces = outputs.split([prod(shape) for shape in self.shapes], 1)
            parts = [piece.reshape(-1, *shape) for piece, shape in zip(pieces, self.shapes)]
        if layout.scores == layout.boxes:
            rows = self._rows(parts[layout.boxes])
            boxes, scores = rows[..., :BOX], rows[..., BOX:]
        else:
            boxes = self._rows(parts[layout.boxes], BOX)
            scores = self._rows(parts[layout.scores], parts[layout.scores][0].numel() // boxes.shape[1])
        if layout.kinds is None:
            return boxes, scores, None
        kinds = scores[..., 1] if layout.kinds == layout.scores else parts[layout.kinds].reshape(boxes.shape[:2])
        return boxes, scores[..., :1], kinds

    def _rows(self, output: Tensor, numbers: int = 0) -> Tensor:
        """(n, candidates, numbers), with sides of one left out where ``numbers`` are known."""
        columns = self.layout.columns
        if numbers:
            output = output.reshape(len(output), *((numbers, -1) if columns else (-1, numbers)))
        return output.transpose(1, 2) if columns else output

    def _corners(self, boxes: Tensor) -> Tensor:
        """As shares of the sides."""
        match self.layout.form:
            case Form.CENTRE:
                boxes = box_convert(boxes, "cxcywh", "xyxy")
            case Form.CORNER:
                boxes = box_convert(boxes, "xywh", "xyxy")
            case Form.DOWN_FIRST:
                boxes = boxes[..., [1, 0, 3, 2]]
        if self.layout.pixels:
            height, width = self.sides
            boxes = boxes / torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
        return boxes

    def _probabilities(self, scores: Tensor, kinds: Tensor | None) -> Tensor:
        layout = self.layout
        if layout.says is Says.SIGMOID:
            scores = scores.sigmoid()
        elif layout.says is Says.SOFTMAX:
            scores = scores.softmax(-1)
        if kinds is not None:
            number = kinds.round().long() - int(layout.nothing is Nothing.FIRST)
            known = (number >= 0) & (number < self.classes)
            chosen = F.one_hot(number.clamp(0, self.classes - 1), self.classes) * known[..., None]
            return scores * chosen.to(scores.dtype)
        if layout.nothing is not Nothing.NOWHERE:
            return scores[..., 1:] if layout.nothing is Nothing.FIRST else scores[..., :-1]
        return scores[..., 1:] * scores[..., :1] if self.likely else scores

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
            if self.layout.doubles:
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
