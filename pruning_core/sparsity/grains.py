"""One layer's weights at every granularity: which of them become zero when a ratio is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.sparsity.kernel_patterns import ENTRIES, KernelPatterns, is_3x3
from pruning_core.sparsity.patterns import Blocks, Columns, Elements, Kernels, NofM, Pattern, Vectors
from pruning_core.taxonomy import Granularity, Structure

OPEN = "open"  # the name of a weight that patterns leave alone, because it comes first


class Grain(StrEnum):
    ELEMENT = "element"
    N_OF_M = "2:4"
    VECTOR = "vector"
    COLUMN = "column"
    PATTERN = "pattern"
    KERNEL = "kernel"
    FILTER = "filter"
    LAYER = "layer"


@dataclass(frozen=True)
class Filters(Blocks):
    """Everything that makes one output channel."""

    granularity: ClassVar = Granularity.CHANNEL
    structure: ClassVar = Structure.STRUCTURED

    def blocks(self, tensor: Tensor) -> Tensor:
        return tensor.reshape(len(tensor), -1)


PATTERNS: Mapping[Grain, Pattern] = {
    Grain.ELEMENT: Elements("layer"),
    Grain.N_OF_M: NofM(2, 4),
    Grain.VECTOR: Vectors("layer"),
    Grain.COLUMN: Columns("layer"),
    Grain.PATTERN: KernelPatterns(balanced=False),
    Grain.KERNEL: Kernels("layer"),
    Grain.FILTER: Filters("layer"),
}


def structure(grain: Grain) -> Structure:
    return Structure.STRUCTURED if grain is Grain.LAYER else PATTERNS[grain].structure


def obstacle(grain: Grain, weight: Tensor) -> str:
    """ "" when ``weight`` (out, in, ...) can be cut at this granularity, else the sentence that says why not."""
    if grain is Grain.N_OF_M and weight.shape[1] % 4:
        return f"2:4 needs input channels in fours, and this layer reads {weight.shape[1]}. Choose another layer."
    if grain is Grain.PATTERN and not is_3x3(weight):
        return "Patterns live in kernels of 3 × 3, and this layer has none. Choose another layer."
    if grain in (Grain.VECTOR, Grain.COLUMN, Grain.KERNEL) and weight.dim() < 3:
        return "This layer has no kernels, only single weights. Choose a convolution."
    return ""


def least(grain: Grain) -> float:
    """The smallest ratio of zeros that there is."""
    return {Grain.N_OF_M: 0.5, Grain.PATTERN: 1 - ENTRIES / 9, Grain.LAYER: 1.0}.get(grain, 0.0)


def most(grain: Grain) -> float:
    """The largest one."""
    return {Grain.N_OF_M: 0.5, Grain.LAYER: 1.0}.get(grain, 0.95)


def mask(grain: Grain, weight: Tensor, ratio: float) -> Tensor:
    """Bool of the shape of ``weight``: True stays. The smallest go, by absolute value, or by its mean in a block.

    ``ratio`` in [0, 1] of the weights become zero, as near as the granularity comes to it from below; one block stays
    at least. Raises ValueError where :func:`obstacle` has something to say.
    """
    if why := obstacle(grain, weight):
        raise ValueError(why)
    size = weight.detach().abs().double().cpu()
    if grain is Grain.LAYER:
        return torch.zeros(size.shape, dtype=torch.bool)
    if grain is Grain.PATTERN:
        share = min(1.0, (1 - ratio) * 9 / ENTRIES)
        levels = PATTERNS[grain].levels({OPEN: torch.ones(1, 1), "": size})[""]
    else:
        share = 1 - ratio
        levels = PATTERNS[grain].levels({"": size})[""]
    lowest = levels.min()  # of the best block, which stays
    return levels <= max(share + 1e-12, float(lowest))
