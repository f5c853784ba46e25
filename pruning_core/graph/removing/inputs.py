"""What networks are compared on: noise, on small images first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from pruning_core.graph.network import Network

SIDES = (64, 128)  # of the small images that are tried first
SMALL_ENOUGH = 96 * 96


@dataclass(frozen=True)
class Inputs:
    """Arguments of a network. ``full`` is the first of ``every`` that has the captured sizes.

    The captured example itself is the last: some networks take nothing else. ``given`` is the person's own, which is
    looked at besides, and never alone: it may be black.
    """

    every: tuple[tuple[Any, ...], ...]
    full: int
    given: tuple[Any, ...] | None

    @property
    def captured(self) -> tuple[Any, ...]:
        """Noise of the captured sizes."""
        return self.every[self.full]

    @staticmethod
    def of(model: nn.Module, network: Network, example: tuple[Any, ...] | None) -> Inputs:
        like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        noise, other = (_noisy(network.example, like, seed) for seed in (0, 1))
        small = [s for s in (_smaller(noise, side) for side in SIDES) if s is not None]
        captured = tree_map(lambda v: _fitting(v, like), network.example)
        given = None if example is None else tree_map(lambda v: _fitting(v, like), example)
        return Inputs((*small, noise, other, captured), len(small), given)


def _noisy(arguments: tuple[Any, ...], like: Tensor, seed: int) -> tuple[Any, ...]:
    """Noise in the same shapes; whole numbers are kept."""
    generator = torch.Generator().manual_seed(seed)

    def noise(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return torch.randn(value.shape, generator=generator).to(like)
        return _fitting(value, like)

    made: tuple[Any, ...] = tree_map(noise, arguments)
    return made


def _fitting(value: Any, like: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(like) if value.is_floating_point() else value.to(like.device)


def _smaller(arguments: tuple[Any, ...], side: int) -> tuple[Any, ...] | None:
    """Images of at most ``side`` pixels each way; None where there are no larger ones."""

    def is_image(value: Any) -> bool:
        return isinstance(value, Tensor) and value.is_floating_point() and value.dim() >= 4

    pixels = [v.shape[-1] * v.shape[-2] for v in tree_leaves(arguments) if is_image(v)]
    if max(pixels, default=0) <= max(SMALL_ENOUGH, side * side):
        return None
    made: tuple[Any, ...] = tree_map(lambda v: v[..., :side, :side].contiguous() if is_image(v) else v, arguments)
    return made


def doubled(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Two different ones of every input for one: batch norm wants them in training."""

    def two(value: Any) -> Any:
        if isinstance(value, Tensor) and value.dim() and len(value) == 1:
            return torch.cat([value, value.roll(1, -1)])
        return value

    made: tuple[Any, ...] = tree_map(two, arguments)
    return made


def rounded_otherwise(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same with every number changed in its last digit."""

    def other(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return value + value * torch.finfo(value.dtype).eps
        return value

    made: tuple[Any, ...] = tree_map(other, arguments)
    return made


def images_in(arguments: tuple[Any, ...]) -> int:
    return next((len(a) for a in arguments if isinstance(a, Tensor) and a.dim()), 1)
