"""Comparing a removed network with the silenced one: nothing is called exact that was not seen to be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pruning_core.graph.copies import copied, shadow
from pruning_core.graph.modules import named_tensors, tensors_in
from pruning_core.graph.undisturbed import undisturbed

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
GROSS = 0.1  # of the largest output: no rounding does that
TELLING = 0.02  # of what removal, or mistakes made on purpose, change: a mistake of the cut would be larger


@dataclass(frozen=True)
class Proof:
    """Removed against silenced on the same inputs: largest absolute and relative difference of any output.

    Relative is to the largest output. ``exact`` says whether every touched group is an exact one.
    """

    max_abs: float
    max_rel: float
    dtype: str
    images: int
    exact: bool


@dataclass(frozen=True)
class Comparison:
    """``outputs`` of the removed network, and how far they are from the silenced network's."""

    outputs: list[Tensor]
    max_abs: float
    scale: float
    dtype: torch.dtype

    @property
    def max_rel(self) -> float:
        return self.max_abs / self.scale if self.scale > 0 else self.max_abs

    @property
    def is_rounding(self) -> bool:
        return self.max_rel <= TOLERANCE.get(self.dtype, 1e-2)


@dataclass(frozen=True)
class Reference:
    """The silenced network, run once; in float64 too when the first comparison does not convince."""

    model: nn.Module
    changed: dict[str, Tensor]
    arguments: tuple[Any, ...]
    silenced: list[Tensor]

    @staticmethod
    def of(model: nn.Module, changed: dict[str, Tensor], arguments: tuple[Any, ...]) -> Reference:
        return Reference(model, changed, arguments, run(_exchanged(model, changed), arguments))

    def compare(self, candidate: nn.Module) -> Comparison:
        """Raises whatever the candidate raises, and ValueError when its outputs have other shapes or are not finite."""
        ours = run(candidate, self.arguments)
        if [t.shape for t in ours] != [t.shape for t in self.silenced]:
            raise ValueError("the outputs changed shape")
        dtype = next((t.dtype for t in self.silenced if t.is_floating_point()), torch.float32)
        worst = largest_difference(ours, self.silenced)
        if worst != worst:
            raise ValueError("the outputs are not finite")
        return Comparison(ours, worst, largest(self.silenced), dtype)

    @cached_property
    def effect(self) -> float:
        """How much silencing changes the outputs of the original."""
        return largest_difference(run(shadow(self.model), self.arguments), self.silenced)

    def in_double(self) -> Reference:
        """The same comparison where rounding hides nothing."""
        tensors = {n: self.changed.get(n, t) for n, t in named_tensors(self.model).items()}
        changed = {n: _as_double(t) for n, t in tensors.items() if t.is_floating_point()}
        return Reference.of(self.model, changed, tree_map(_as_double, self.arguments))


def run(model: nn.Module, arguments: tuple[Any, ...]) -> list[Tensor]:
    """Outputs in eval mode. The model is left as it was, but is changed meanwhile: it must be our own."""
    inputs = tree_map(lambda v: v.clone() if isinstance(v, Tensor) else v, arguments)
    with torch.no_grad(), undisturbed(model):
        model.eval()
        torch.manual_seed(0)
        return [t.clone() for t in tensors_in(model(*inputs))]  # of their own: a returned buffer is put back


def largest(values: list[Tensor]) -> float:
    return max((float(v.double().abs().max()) for v in values if v.numel()), default=0.0)


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Over all outputs; not a number as soon as one of them is none, which Python's own ``max`` would pass over."""
    gaps = [float((a.double() - b.double()).abs().max()) for a, b in zip(ours, theirs) if a.numel()]
    return float(torch.tensor([0.0, *gaps], dtype=torch.float64).max())


def doubled(model: nn.Module) -> nn.Module:
    """A copy in float64."""
    return _exchanged(model, {n: _as_double(t) for n, t in named_tensors(model).items() if t.is_floating_point()})


def _exchanged(model: nn.Module, changed: dict[str, Tensor]) -> nn.Module:
    tensors = named_tensors(model)
    kept = {id(p): p for p in model.parameters()}
    return copied(model, {**kept, **{id(tensors[n]): _like(tensors[n], v) for n, v in changed.items()}})


def _like(old: Tensor, new: Tensor) -> Tensor:
    return nn.Parameter(new, False) if isinstance(old, nn.Parameter) else new


def _as_double(value: Any) -> Any:
    return value.detach().double() if isinstance(value, Tensor) and value.is_floating_point() else value
