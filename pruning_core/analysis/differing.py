"""How far the layers of two networks of one family are apart, over the channels that both have.

A channel is known by its place in the network that both were made from; which places a network still has follows from
the plans on the way to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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

    def together(
        self, parameter: str, dim: int, one: Tensor, other: Tensor, along: int | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Both tensors (…) at the places of ``parameter``'s ``dim`` that both have, ``along`` the same one of theirs.

        None where their sizes do not follow from the plans.
        """
        along = dim if along is None else along
        size_a, size_b = one.shape[along], other.shape[along]
        a, b = self.kept_a.get((parameter, dim)), self.kept_b.get((parameter, dim))
        if a is None and b is None:
            return (one, other) if size_a == size_b else None
        a = np.arange(size_a) if a is None else a
        b = np.arange(size_b) if b is None else b
        if len(a) != size_a or len(b) != size_b:
            return None
        _, at_a, at_b = np.intersect1d(a, b, assume_unique=True, return_indices=True)
        return _at(one, along, at_a), _at(other, along, at_b)

    def weight(self, layer: str) -> tuple[int, int, float | None]:
        """(common, first, relative norm) of a layer's weight; of channels along its first dimension."""
        name = _weight_of(layer)
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


@dataclass(frozen=True)
class _Given:
    """What a layer gave, which dimension of that its channels lie along, and along which of its weight they do."""

    output: Tensor
    dim: int
    weight_dim: int


@dataclass
class _Seen:
    """What a layer gave for one batch, by its name."""

    outputs: dict[str, _Given] = field(default_factory=dict)

    def hook(self, name: str) -> object:
        def keep(module: nn.Module, args: object, output: object) -> None:
            if isinstance(output, Tensor):
                kinds = nn.modules.conv._ConvNd | nn.modules.batchnorm._NormBase | nn.GroupNorm
                turned = isinstance(module, nn.modules.conv._ConvTransposeNd)
                self.outputs[name] = _Given(output, 1 if isinstance(module, kinds) else -1, int(turned))

        return keep


class _Operators(TorchFunctionMode):
    """Watches a network that was recorded as its operators: its layers are no modules that could be hooked.

    An operator that reads a layer's weight, not as its first argument, gives what the layer answers.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], seen: _Seen) -> None:
        super().__init__()
        named = named_tensors(model)
        self._layers = {id(named[name]): layer for layer in layers if (name := _weight_of(layer)) in named}
        self._seen = seen

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (), kwargs: object = None
    ) -> object:
        output = func(*args, **(kwargs if isinstance(kwargs, dict) else {}))
        if isinstance(func, torch._ops.OpOverload) and isinstance(output, Tensor):
            for each in args[1:]:
                if layer := self._layers.get(id(each)):
                    name = func.name()
                    first = any(kind in name for kind in ("conv", "batch_norm", "group_norm", "instance_norm"))
                    self._seen.outputs[layer] = _Given(output, 1 if first else -1, int("conv_transpose" in name))
        return output


def _weight_of(layer: str) -> str:
    return f"{layer}.weight" if layer else "weight"


@torch.no_grad()
def activations(family: Family, layers: Sequence[str], batches: Iterable[Tensor]) -> Iterator[dict[str, float | None]]:
    """Relative norm of the difference of what each layer gives, over all ``batches`` (N, C, H, W) so far.

    Outputs of convolutions and norms over channels are told apart along their second dimension, of others along the
    last. A layer whose module never runs, in a recorded program, answers by the operator that reads its weight. The
    networks are left without hooks, also after an error.
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
            for model, mine in zip((family.a, family.b), seen):
                with _Operators(model, layers, mine):
                    model(x)
            for layer, total in sums.items():
                _add(family, layer, total, seen[0].outputs.get(layer), seen[1].outputs.get(layer))
            yield {layer: relative(total.apart, total.size) if total.fits else None for layer, total in sums.items()}
    finally:
        for handle in handles:
            handle.remove()


def _add(family: Family, layer: str, total: _Sum, one: _Given | None, other: _Given | None) -> None:
    if one is None or other is None or one.output.ndim != other.output.ndim or one.output.ndim < 2:
        total.fits = False
        return
    moved = one.output.movedim(one.dim, 0), other.output.movedim(other.dim, 0)
    found = family.together(_weight_of(layer), one.weight_dim, *moved, along=0)
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
