"""One or several answers of yes or no to each image: their labels are 0 or 1."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.measuring.measure import Against, Measure, flat


@dataclass(frozen=True)
class _Answers(Measure):
    """Rows (N, 2k) are the outputs for each question, then the labels; every question counts the same."""

    against: ClassVar = Against.TARGETS

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return not places

    def wants(self, labels: Tensor) -> bool:
        return bool(((labels == 0) | (labels == 1)).all())

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.cat([flat(outputs), flat(targets)], 1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = targets.to(outputs.dtype).reshape(len(targets), -1)
        return F.binary_cross_entropy_with_logits(outputs.flatten(1), wanted)


@dataclass(frozen=True)
class _ByQuestion(_Answers):
    """The mean over questions."""

    def value(self, rows: Tensor, weights: Tensor) -> Tensor:
        scores, labels = rows.chunk(2, 1)
        found = [self.of_one(s, y, weights) for s, y in zip(scores.unbind(1), labels.unbind(1))]
        return torch.stack(found).nanmean(0)

    @abstractmethod
    def of_one(self, scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Scores (N,), labels (N,) and weights (B, N) of one question -> (B,); NaN where it cannot be told."""


def _by_score(scores: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(B, G) twice: the weight of yes and of no among images of one score, by falling score."""
    values, at = scores.unique(return_inverse=True)
    at = (len(values) - 1 - at).expand_as(weights)
    empty = torch.zeros(len(weights), len(values), dtype=weights.dtype)
    return empty.scatter_add(1, at, weights * labels), empty.scatter_add(1, at, weights * (1 - labels))


@dataclass(frozen=True)
class RankedRight(_ByQuestion):
    """Area under the ROC curve: the chance that a yes is scored above a no; 0.5 is guessing."""

    key: ClassVar = "auc"
    name: ClassVar = "AUC"
    says: ClassVar = "chance that an image with yes is scored above one with no; 50 % is guessing"

    def of_one(self, scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        yes, no = _by_score(scores, labels, weights)
        below = no.sum(1, keepdim=True) - no.cumsum(1)
        return (yes * (below + no / 2)).sum(1) / (yes.sum(1) * no.sum(1))


@dataclass(frozen=True)
class Precision(_ByQuestion):
    """Mean average precision: of the images scored at least as high as a yes, the share that are yes."""

    key: ClassVar = "map"
    name: ClassVar = "Mean average precision"
    says: ClassVar = "share of yes among the images scored at least as high as one, the mean over these and questions"

    def of_one(self, scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        yes, no = _by_score(scores, labels, weights)
        above = yes.cumsum(1)
        share = above / (above + no.cumsum(1)).clamp_min(1e-12)
        return (yes * share).sum(1) / yes.sum(1)


@dataclass(frozen=True)
class AnsweredRight(_Answers):
    """Share of answers that are right: yes above one half where all outputs lie between 0 and 1, else above 0."""

    key: ClassVar = "binary_accuracy"
    name: ClassVar = "Answers right"
    says: ClassVar = "share of answers that are right: yes above ½ where all outputs lie between 0 and 1, else above 0"

    def value(self, rows: Tensor, weights: Tensor) -> Tensor:
        return (weights @ self.each(rows)) / weights.sum(1)

    def each(self, rows: Tensor) -> Tensor:
        scores, labels = rows.chunk(2, 1)
        bound = 0.5 if bool(((scores >= 0) & (scores <= 1)).all()) else 0.0
        return ((scores > bound) == (labels > 0.5)).double().mean(1)
