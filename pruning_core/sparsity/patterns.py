"""Which weights become zero together. A pattern knows no network: it orders the weights of given tensors.

Every pattern gives each weight a **level** in [0, 1], or infinity: the weight is kept when the share that may be left
is at least its level. So one ordering answers every share, and a budget is met by looking for the share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pruning_core.taxonomy import Granularity, Structure

Scope = Literal["network", "layer"]
NEVER = float("inf")


@dataclass(frozen=True)
class Pattern(ABC):
    """A frozen dataclass; ``shares`` is False where the pattern alone says how much is left."""

    granularity: ClassVar[Granularity]
    structure: ClassVar[Structure]
    shares: ClassVar[bool] = True

    def spared(self, weights: Mapping[str, Tensor]) -> frozenset[str]:
        """The names of those that stay whole, whatever share may be left."""
        return frozenset()

    @abstractmethod
    def levels(self, importance: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weight name -> levels of its shape; importance of the same shape, higher is kept; -inf is gone, inf stays."""


@dataclass(frozen=True)
class Blocks(Pattern):
    """Blocks of weights are kept or zeroed whole, those of the highest mean importance are kept.

    ``scope``: one ranking through the network, or one in every layer.
    """

    scope: Scope = "network"

    @abstractmethod
    def blocks(self, tensor: Tensor) -> Tensor:
        """(blocks, size), a rearrangement of a weight (out, in, ...)."""

    def placed(self, blocks: Tensor, like: Tensor) -> Tensor:
        """The inverse of :meth:`blocks`: the weight's shape again."""
        return blocks.reshape(like.shape)

    def levels(self, importance: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parts = {name: self.blocks(tensor) for name, tensor in importance.items()}
        scores = {name: _mean(part) for name, part in parts.items()}
        sizes = {name: torch.full((len(part),), part.shape[1], dtype=torch.float64) for name, part in parts.items()}
        together = [list(parts)] if self.scope == "network" else [[name] for name in parts]
        found: dict[str, Tensor] = {}
        for names in together:
            ranked = _ranked(torch.cat([scores[name] for name in names]), torch.cat([sizes[name] for name in names]))
            found |= zip(names, ranked.split([len(parts[name]) for name in names]))
        return {name: self.placed(found[name][:, None].expand(parts[name].shape), importance[name]) for name in parts}


def _mean(part: Tensor) -> Tensor:
    """(blocks,) mean importance; what is gone counts as nothing, and a block that is all gone stays gone."""
    gone = part == -NEVER
    mean = part.masked_fill(gone, 0).double().mean(1).cpu()
    return mean.masked_fill(gone.all(1).cpu(), -NEVER)


def _ranked(scores: Tensor, sizes: Tensor) -> Tensor:
    """The share of all elements that the better blocks and this one make up; infinity for what is gone, 0 for what
    stays in any case."""
    order = scores.argsort(descending=True, stable=True)
    levels = torch.empty_like(scores)
    levels[order] = sizes[order].cumsum(0) / sizes.sum()
    return levels.masked_fill(scores == -NEVER, NEVER).masked_fill(scores == NEVER, 0.0)


@dataclass(frozen=True)
class Elements(Blocks):
    """Every weight for itself."""

    granularity: ClassVar = Granularity.ELEMENT
    structure: ClassVar = Structure.UNSTRUCTURED

    def blocks(self, tensor: Tensor) -> Tensor:
        return tensor.reshape(-1, 1)


@dataclass(frozen=True)
class Vectors(Blocks):
    """One row of a kernel (Mao et al., 2017). A layer without kernels has rows of one element."""

    granularity: ClassVar = Granularity.VECTOR
    structure: ClassVar = Structure.SEMI

    def blocks(self, tensor: Tensor) -> Tensor:
        return tensor.reshape(-1, tensor.shape[-1] if tensor.dim() > 2 else 1)


@dataclass(frozen=True)
class Kernels(Blocks):
    """What one output channel reads of one input channel. In a linear layer that is one element."""

    granularity: ClassVar = Granularity.KERNEL
    structure: ClassVar = Structure.SEMI

    def blocks(self, tensor: Tensor) -> Tensor:
        return tensor.reshape(tensor.shape[0] * tensor.shape[1], -1)


@dataclass(frozen=True)
class Columns(Blocks):
    """One position of the kernel of one input channel, in all filters: a column of the layer written as a matrix."""

    granularity: ClassVar = Granularity.VECTOR
    structure: ClassVar = Structure.SEMI

    def blocks(self, tensor: Tensor) -> Tensor:
        return tensor.movedim(0, -1).reshape(-1, tensor.shape[0])

    def placed(self, blocks: Tensor, like: Tensor) -> Tensor:
        return blocks.reshape(*like.shape[1:], like.shape[0]).movedim(-1, 0)


@dataclass(frozen=True)
class NofM(Pattern):
    """``n`` weights of every ``m`` are kept that follow each other along the input channels, the most important ones.

    A layer whose input channels (per group) are no multiple of ``m`` is left as it is.
    """

    granularity: ClassVar = Granularity.ELEMENT
    structure: ClassVar = Structure.SEMI
    shares: ClassVar = False
    n: int = 2
    m: int = 4

    def fits(self, weight: Tensor) -> bool:
        return weight.shape[1] % self.m == 0

    def levels(self, importance: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: self._of(tensor) if self.fits(tensor) else torch.zeros(tensor.shape, dtype=torch.float64)
            for name, tensor in importance.items()
        }

    def _of(self, tensor: Tensor) -> Tensor:
        moved = tensor.movedim(1, -1)
        blocks = moved.reshape(-1, self.m)
        kept = blocks.argsort(dim=1, descending=True, stable=True)[:, : self.n]
        levels = torch.full(blocks.shape, NEVER, dtype=torch.float64)
        levels.scatter_(1, kept.cpu(), 0.0)
        return levels.reshape(moved.shape).movedim(-1, 1)
