"""Comparing a removed network with the silenced one: nothing is called exact that was not seen to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pruning_core.graph.copies import copied, shadow
from pruning_core.graph.record import named_tensors, tensors_in

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
GROSS = 0.1  # of the largest output: no rounding does that
TELLING = 0.02  # of what the removal changes: a mistake of the cut would be larger


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
    """``effect``: how much silencing changes the outputs of the original."""

    max_abs: float
    scale: float
    effect: float
    dtype: torch.dtype

    @property
    def max_rel(self) -> float:
        return self.max_abs / self.scale if self.scale > 0 else self.max_abs

    @property
    def convincing(self) -> bool:
        """Differences are rounding, and far smaller than a wrongly chosen channel would make them."""
        return self.max_rel <= TOLERANCE.get(self.dtype, 1e-2) and self.max_abs <= TELLING * self.effect


@dataclass(frozen=True)
class Reference:
    """The original and the silenced network, run once; in float64 too when the first comparison does not convince."""

    model: nn.Module
    changed: dict[str, Tensor]
    arguments: tuple[Any, ...]
    original: list[Tensor]
    silenced: list[Tensor]

    @staticmethod
    def of(model: nn.Module, changed: dict[str, Tensor], arguments: tuple[Any, ...]) -> Reference:
        return Reference(model, changed, arguments, run(model, arguments), run(_exchanged(model, changed), arguments))

    def compare(self, candidate: nn.Module) -> Comparison:
        """Raises whatever the candidate raises, and ValueError when its outputs have other shapes or are not finite."""
        ours = run(candidate, self.arguments)
        if [t.shape for t in ours] != [t.shape for t in self.silenced]:
            raise ValueError("the outputs changed shape")
        dtype = next((t.dtype for t in self.silenced if t.is_floating_point()), torch.float32)
        scale = max((float(b.double().abs().max()) for b in self.silenced if b.numel()), default=0.0)
        worst = largest_difference(ours, self.silenced)
        if worst != worst:
            raise ValueError("the outputs are not finite")
        return Comparison(worst, scale, largest_difference(self.original, self.silenced), dtype)

    def in_double(self) -> Reference:
        """The same comparison where rounding hides nothing."""
        model = doubled(_exchanged(self.model, {}))
        changed = {n: _as_double(t) for n, t in self.changed.items()}
        return Reference.of(model, changed, tree_map(_as_double, self.arguments))


def run(model: nn.Module, arguments: tuple[Any, ...]) -> list[Tensor]:
    """Outputs in eval mode, on a copy that shares the parameters, so that neither modes nor buffers change."""
    runner = shadow(model).eval()
    inputs = tree_map(lambda v: v.clone() if isinstance(v, Tensor) else v, arguments)
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        return tensors_in(runner(*inputs))


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Over all outputs; not a number as soon as one of them is none, which Python's own ``max`` would pass over."""
    gaps = [float((a.double() - b.double()).abs().max()) for a, b in zip(ours, theirs) if a.numel()]
    return float(torch.tensor([0.0, *gaps], dtype=torch.float64).max())


def doubled(model: nn.Module) -> nn.Module:
    """A copy in float64."""
    tensors = {id(t): t for t in named_tensors(model).values() if t.is_floating_point()}
    return copied(
        model,
        {
            i: nn.Parameter(_as_double(t), False) if isinstance(t, nn.Parameter) else _as_double(t)
            for i, t in tensors.items()
        },
    )


def _exchanged(model: nn.Module, changed: dict[str, Tensor]) -> nn.Module:
    tensors = named_tensors(model)
    kept = {id(p): p for p in model.parameters()}
    return copied(model, {**kept, **{id(tensors[n]): _like(tensors[n], v) for n, v in changed.items()}})


def _like(old: Tensor, new: Tensor) -> Tensor:
    return nn.Parameter(new, False) if isinstance(old, nn.Parameter) else new


def _as_double(value: Any) -> Any:
    return value.detach().double() if isinstance(value, Tensor) and value.is_floating_point() else value
