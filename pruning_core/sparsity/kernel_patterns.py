"""Patterns inside 3 x 3 kernels: four of nine weights, in one of a few arrangements, and whole kernels gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.sparsity.patterns import NEVER, Pattern
from pruning_core.taxonomy import Granularity, Structure

Arrangement = frozenset[int]  # positions row * 3 + column that are kept
CENTRE = 4
ENTRIES = 4
# The centre and one corner's neighbourhood: what is left of a Gaussian and of its second derivative in four entries.
FIXED: tuple[Arrangement, ...] = (
    frozenset({0, 1, 3, 4}), frozenset({1, 2, 4, 5}), frozenset({3, 4, 6, 7}), frozenset({4, 5, 7, 8}),
)  # fmt: skip


def natural(kernel: Tensor) -> Arrangement:
    """The centre and the three largest of the others (3, 3)."""
    size = kernel.detach().abs().flatten()
    others = [place for place in size.argsort(descending=True, stable=True).tolist() if place != CENTRE]
    return frozenset({CENTRE, *others[: ENTRIES - 1]})


def library(weights: Iterable[Tensor], count: int) -> tuple[Arrangement, ...]:
    """The ``count`` most frequent natural arrangements of all 3 x 3 kernels (PatDNN)."""
    rows = [w.detach().reshape(-1, 9).abs() for w in weights if is_3x3(w)]
    if not rows:
        return FIXED[:count]
    size = torch.cat(rows).cpu()
    size[:, CENTRE] = NEVER
    top = size.argsort(dim=1, descending=True, stable=True)[:, :ENTRIES]
    seen = Counter(tuple(sorted(row)) for row in top.tolist())
    ordered = sorted(seen, key=lambda places: (-seen[places], places))
    return tuple(frozenset(places) for places in ordered[:count])


def is_3x3(weight: Tensor) -> bool:
    return tuple(weight.shape[2:]) == (3, 3)


def fitted(kernels: Tensor, arrangements: tuple[Arrangement, ...]) -> Tensor:
    """(kernels, 9) bool: of the arrangements the one that keeps most of each kernel's L2 norm."""
    masks = torch.zeros(len(arrangements), 9, dtype=torch.float64)
    for row, places in enumerate(arrangements):
        masks[row, list(places)] = 1
    best = (kernels.double().cpu().square() @ masks.T).argmax(1)
    return masks[best].bool()


@dataclass(frozen=True)
class KernelPatterns(Pattern):
    """Every 3 x 3 kernel keeps one of a few arrangements, or nothing; other convolutions lose whole kernels.

    ``count`` arrangements are the most frequent natural ones; 0 takes the four fixed ones (PCONV). ``balanced``: every
    filter loses the same share of its kernels (PCONV); otherwise a layer's kernels are ranked together (PatDNN). The
    first layer and linear layers stay as they are.
    """

    granularity: ClassVar = Granularity.KERNEL
    structure: ClassVar = Structure.SEMI
    count: int = 0
    balanced: bool = True

    def spared(self, weights: Mapping[str, Tensor]) -> frozenset[str]:
        first = next(iter(weights), "")
        return frozenset(name for name, weight in weights.items() if name == first or weight.dim() < 3)

    def levels(self, importance: Mapping[str, Tensor]) -> dict[str, Tensor]:
        known = library(importance.values(), self.count) if self.count else FIXED
        spared = self.spared(importance)
        return {
            name: torch.zeros(tensor.shape, dtype=torch.float64) if name in spared else self._of(tensor, known)
            for name, tensor in importance.items()
        }

    def _of(self, tensor: Tensor, known: tuple[Arrangement, ...]) -> Tensor:
        filters, inputs = tensor.shape[:2]
        gone = tensor == -NEVER
        kernels = tensor.masked_fill(gone, 0).reshape(filters * inputs, -1).cpu()
        inside = fitted(kernels, known) if is_3x3(tensor) else torch.ones_like(kernels, dtype=torch.bool)
        norms = (kernels.double().square() * inside).sum(1).reshape(filters, inputs)
        ranks = norms if self.balanced else norms.reshape(1, -1)
        order = ranks.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        level = ((order + 1).double() / ranks.shape[1]).reshape(-1, 1).expand(kernels.shape)
        return level.masked_fill(~inside, NEVER).reshape(tensor.shape).contiguous()
