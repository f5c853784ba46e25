"""Whether a detector finds what is in images, and puts the right boxes around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou, generalized_box_iou_loss

from pruning_core.measuring.measure import Against, Measure
from pruning_core.numeric import average_precision
from pruning_core.numeric.detections import Decoder
from pruning_core.numeric.outputs import Takes

TAKEN = 4  # candidates that a box is given to
SHARP = 6  # power of the overlap among them, as TOOD has it
TINY = 1e-6


@dataclass(frozen=True)
class AveragePrecision(Measure):
    """COCO's average precision; ``decoder`` reads outputs as boxes, None where values alone are looked at.

    Targets (n, M, 6) are corners as shares of the sides, the class (-1 where there is no more) and 1 for a crowd.
    """

    key: ClassVar = "ap"
    name: ClassVar = "Average precision"
    says: ClassVar = (
        "precision at 101 recalls, the mean over classes and over overlaps (IoU) of 0.5 to 0.95, as COCO has it"
    )
    against: ClassVar = Against.BOXES
    stands_in: ClassVar = (
        "A training with these boxes cannot minimise the detector's own loss, which its outputs do not tell: a loss "
        "that stands in for it is minimised, the cross-entropy of classes and 1 − GIoU of boxes. Distillation needs "
        "none: it follows the unpruned network."
    )
    overlaps: ClassVar[int] = len(average_precision.OVERLAPS)
    decoder: Decoder | None = None

    def read_by(self, decoder: Decoder | None) -> Measure:
        return replace(self, decoder=decoder)

    @property
    def takes(self) -> Takes:
        return Takes.ALL if self.decoder is not None and self.decoder.layout.apart else Takes.MAIN

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return average_precision.rows(self._decoder.detections(outputs), targets)

    def value(self, rows: Tensor, weights: Tensor) -> Tensor:
        return average_precision.value(rows, weights, self.overlaps)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Stands in for the detector's own, which nobody knows from its outputs: every box is given to the candidates
        that agree with it best (as in Feng et al., TOOD, ICCV 2021), whose boxes pay 1 - GIoU; all pay the
        cross-entropy of what they say of each class."""
        boxes, scores = self._decoder.candidates(outputs)
        wanted = torch.zeros_like(scores)
        apart, given = boxes.sum() * 0, 0
        for image, told in enumerate(targets.to(boxes)):
            told = told[(told[:, 4] >= 0) & (told[:, 5] == 0)]
            if not len(told):
                continue
            kinds = told[:, 4].long()
            taken = _agreeing(boxes[image].detach(), scores[image].detach(), told[:, :4], kinds)
            wanted[image, taken, kinds[:, None]] = 1.0
            aims = told[:, None, :4].expand(-1, taken.shape[1], -1).reshape(-1, 4)
            apart = apart + generalized_box_iou_loss(boxes[image, taken.flatten()], aims, reduction="sum", eps=TINY)
            given += taken.numel()
        said = F.binary_cross_entropy(scores.clamp(TINY, 1 - TINY), wanted, reduction="sum")
        return (said + apart) / max(1, given)

    def apart(self, outputs: Tensor, wanted: Tensor) -> Tensor | None:
        """Squared distance as a share of the squares that are wanted. A box in pixels would outweigh every score: boxes
        are compared as shares of the sides, and as much as there is something in them."""
        (boxes, scores), (right, sure) = self._decoder.candidates(outputs), self._decoder.candidates(wanted)
        there = sure.amax(2, keepdim=True)
        away = (there * (boxes - right).square()).sum() + (scores - sure).square().sum()
        return away / ((there * right.square()).sum() + sure.square().sum()).clamp_min(TINY)

    @property
    def _decoder(self) -> Decoder:
        if self.decoder is None:
            raise ValueError("nobody said how these outputs are boxes")
        return self.decoder


@dataclass(frozen=True)
class HalfPrecision(AveragePrecision):
    """The same where half an overlap is enough."""

    key: ClassVar = "ap50"
    name: ClassVar = "Average precision at 0.5"
    says: ClassVar = "precision at 101 recalls, the mean over classes, where an overlap (IoU) of 0.5 is enough"
    overlaps: ClassVar[int] = 1


def _agreeing(boxes: Tensor, scores: Tensor, told: Tensor, kinds: Tensor) -> Tensor:
    """(A, 4) and (A, classes) of candidates, (M, 4) and (M,) of what is there -> (M, TAKEN) numbers of candidates."""
    near = ((generalized_box_iou(boxes, told) + 1) / 2) ** SHARP
    agreeing = scores[:, kinds].clamp_min(TINY) * near
    return agreeing.topk(min(TAKEN, len(boxes)), dim=0).indices.T
