"""How far the layers of two networks of one family are apart, over the channels that both have.

A channel is known by its place in the network that both were made from; which places a network still has follows from
the plans on the way to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pruning_core.graph.modules import named_tensors

Kept = dict[tuple[str, int], NDArray[np.int64]]
"""(parameter, dim) -> places in the first network that are left, where any are gone."""


def composed(steps: Iterable[Mapping[tuple[str, int], NDArray[np.int64]]]) -> Kept:
    """Cuts after one another as one: each step's places count in what the step before has left."""
    whole: Kept = {}
    for step in steps:
        for at, places in step.items():
            whole[at] = whole[at][places] if at in whole else places
    return whole


@dataclass(frozen=True)
class LayerDifference:
    """One layer: relative norms ||b - a|| / ||a||, over what both have; None where they cannot be held together.

    ``common`` of the ``first`` network's output channels are in both.
    """

    layer: str
    common: int
    first: int
    weights: float | None
    activations: float | None


@dataclass(frozen=True, eq=False)
class Family:
    """Two networks and which places of the network they come from each has; ``a`` is what the other is held against."""

    a: nn.Module
    b: nn.Module
    kept_a: Kept
    kept_b: Kept

    def layers(self) -> list[str]:
        """Names of the layers with a weight that both have, in the order of ``a``."""
        there = named_tensors(self.b)
        names = [name for name in named_tensors(self.a) if name.endswith("weight") and name in there]
        return [name.rpartition(".")[0] for name in names]

    def together(self, parameter: str, dim: int, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor] | None:
        """Both tensors (…) at the places of ``parameter``'s ``dim`` that both have, along ``dim`` of the tensors.

        None where their sizes do not follow from the plans.
        """
        size_a, size_b = one.shape[dim], other.shape[dim]
        a, b = self.kept_a.get((parameter, dim)), self.kept_b.get((parameter, dim))
        if a is None and b is None:
            return (one, other) if size_a == size_b else None
        a = np.arange(size_a) if a is None else a
        b = np.arange(size_b) if b is None else b
        if len(a) != size_a or len(b) != size_b:
            return None
        _, at_a, at_b = np.intersect1d(a, b, assume_unique=True, return_indices=True)
        return _at(one, dim, at_a), _at(other, dim, at_b)

    def weight(self, layer: str) -> tuple[int, int, float | None]:
        """(common, first, relative norm) of a layer's weight; of channels along its first dimension."""
        name = f"{layer}.weight" if layer else "weight"
        one, other = named_tensors(self.a)[name], named_tensors(self.b)[name]
        first = one.shape[0] if one.ndim else 1
        common = 0
        if one.ndim != other.ndim:
            return common, first, None
        for dim in range(one.ndim):
            found = self.together(name, dim, one, other)
            if found is None:
                return common, first, None
            one, other = found
            common = one.shape[0] if dim == 0 else common
        return common, first, relative(_squares(other - one), _squares(one))


@dataclass
class _Sum:
    apart: float = 0.0
    size: float = 0.0
    fits: bool = True


@dataclass
class _Seen:
    """What a layer gave for one batch, by its name."""

    outputs: dict[str, Tensor] = field(default_factory=dict)

    def hook(self, name: str) -> object:
        def keep(module: nn.Module, args: object, output: object) -> None:
            if isinstance(output, Tensor):
                self.outputs[name] = output

        return keep


@torch.no_grad()
def activations(family: Family, layers: Sequence[str], batches: Iterable[Tensor]) -> Iterator[dict[str, float | None]]:
    """Relative norm of the difference of what each layer gives, over all ``batches`` (N, C, H, W) so far.

    Outputs of convolutions and norms over channels are told apart along their second dimension, of others along the
    last. The networks are left without hooks, also after an error.
    """
    sums = {layer: _Sum() for layer in layers}
    seen = _Seen(), _Seen()
    handles = []
    try:
        for model, mine in zip((family.a, family.b), seen):
            modules = dict(model.named_modules())
            for layer in layers:
                if layer in modules:
                    handles.append(modules[layer].register_forward_hook(mine.hook(layer)))
        for x in batches:
            family.a(x)
            family.b(x)
            for layer, total in sums.items():
                _add(family, layer, total, seen[0].outputs.get(layer), seen[1].outputs.get(layer))
            yield {layer: relative(total.apart, total.size) if total.fits else None for layer, total in sums.items()}
    finally:
        for handle in handles:
            handle.remove()


def _add(family: Family, layer: str, total: _Sum, one: Tensor | None, other: Tensor | None) -> None:
    if one is None or other is None or one.ndim != other.ndim or one.ndim < 2:
        total.fits = False
        return
    module = dict(family.a.named_modules())[layer]
    dim = 1 if isinstance(module, nn.modules.conv._ConvNd | nn.modules.batchnorm._NormBase | nn.GroupNorm) else -1
    moved = one.movedim(dim, 0), other.movedim(dim, 0)
    found = family.together(f"{layer}.weight" if layer else "weight", 0, *moved)
    if found is None or found[0].shape != found[1].shape:
        total.fits = False
        return
    a, b = found
    total.apart += _squares(b - a)
    total.size += _squares(a)


def relative(apart: float, size: float) -> float | None:
    """From sums of squares; None where there is nothing to be relative to."""
    return float((apart / size) ** 0.5) if size > 0 else None


def _squares(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().sum())


def _at(tensor: Tensor, dim: int, places: NDArray[np.int64]) -> Tensor:
    return tensor.index_select(dim, torch.from_numpy(places).to(tensor.device))
