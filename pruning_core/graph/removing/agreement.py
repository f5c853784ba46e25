"""Whether two runs gave the same, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.errors import UserError

# of the largest value of an output, by the precision that it was computed in
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
COARSE = 2e-2  # narrower types
GROSS = 0.1  # no rounding does that
NOISE_FACTOR = 100  # so many times what rounding was seen to do elsewhere


class Unlike(Exception):
    """Two networks that should compute the same do not; the text says in what."""


@dataclass(frozen=True)
class Gap:
    """Of one output: the largest difference, and the largest value of the reference."""

    largest: float
    scale: float
    dtype: torch.dtype

    @property
    def relative(self) -> float:
        return self.largest / self.scale if self.scale > 0 else self.largest

    @property
    def is_rounding(self) -> bool:
        return self.relative <= TOLERANCE.get(self.dtype, COARSE if self.dtype.is_floating_point else 0.0)


@dataclass(frozen=True)
class Agreement:
    """How far a network's outputs are from those of another."""

    gaps: tuple[Gap, ...]

    @property
    def max_abs(self) -> float:
        return max((g.largest for g in self.gaps), default=0.0)

    @property
    def max_rel(self) -> float:
        return max((g.relative for g in self.gaps), default=0.0)

    @property
    def is_rounding(self) -> bool:
        return all(g.is_rounding for g in self.gaps)

    def is_no_more_than(self, noise: Agreement) -> bool:
        """Whether every output differs by no more than rounding made it differ elsewhere, many times over."""
        return all(g.is_rounding or g.largest <= NOISE_FACTOR * n.largest for g, n in zip(self.gaps, noise.gaps))


def compared(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Agreement:
    """Output by output, each beside its own largest value. Raises Unlike for other shapes, or what is no number."""
    if [t.shape for t in ours] != [t.shape for t in theirs]:
        raise Unlike("the outputs changed shape")
    return Agreement(tuple(_gap(a, b) for a, b in zip(ours, theirs)))


def is_finite(outputs: Sequence[Tensor]) -> bool:
    """Whether no output holds what is not a number, nor only infinities; single infinities are masks."""
    return all(not t.isnan().any() and (not t.numel() or bool(t.isfinite().any())) for t in map(_numbers, outputs))


def largest_difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Over all outputs; not a number as soon as one of them is none, which Python's own ``max`` would pass over."""
    gaps = [float((a.double() - b.double()).abs().max()) for a, b in zip(ours, theirs) if a.numel()]
    return float(torch.tensor([0.0, *gaps], dtype=torch.float64).max())


def _gap(ours: Tensor, theirs: Tensor) -> Gap:
    a, b = _numbers(ours), _numbers(theirs)
    dtype = theirs.dtype if not theirs.is_complex() else theirs.real.dtype
    if not b.numel():
        return Gap(0.0, 0.0, dtype)
    finite = b.isfinite()
    if not finite.all():
        if b.isnan().any() or a.isnan().any():
            raise Unlike("the outputs are not finite")
        if not torch.equal(a[~finite], b[~finite]):
            raise Unlike("the outputs are infinite in other places")
        a, b = a[finite], b[finite]
        if not b.numel():
            return Gap(0.0, 0.0, dtype)
    difference = (a - b).abs().max()
    if not difference.isfinite():
        raise Unlike("the outputs are not finite")
    return Gap(float(difference), float(b.abs().max()), dtype)


def _numbers(value: Tensor) -> Tensor:
    value = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
    if value.layout is not torch.strided or value.is_quantized:
        raise UserError(f"The network returns a tensor of the kind {value.layout}, which cannot be compared.")
    return value.detach().double()
