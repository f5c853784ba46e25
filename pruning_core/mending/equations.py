"""Least squares from accumulated products: X'X and X'Y are all that is kept of the samples.

The weights are pulled to the old ones (ridge regression towards a prior) by as much as images that were set apart say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# in units of the mean squared input: from hardly a pull to hardly a change
PULLS = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
CHUNK = 8192  # rows multiplied at once


@dataclass
class Equations:
    """Sums over rows x (K,), y (O,): what a layer read and what it should write."""

    xx: Tensor  # (K, K) float64
    xy: Tensor  # (K, O) float64
    yy: Tensor  # (O,) float64
    x: Tensor  # (K,) float64
    y: Tensor  # (O,) float64
    rows: int = 0

    @staticmethod
    def of(x: Tensor, y: Tensor) -> Equations:
        """Of rows x (M, K) and y (M, O)."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=x.device)

        inputs, outputs = x.shape[1], y.shape[1]
        sums = Equations(zeros(inputs, inputs), zeros(inputs, outputs), zeros(outputs), zeros(inputs), zeros(outputs))
        sums.add(x, y)
        return sums

    def add(self, x: Tensor, y: Tensor) -> None:
        """Rows x (M, K) and y (M, O); products are taken in their type, sums in double precision."""
        for a, b in zip(x.split(CHUNK), y.split(CHUNK)):
            self.xx += (a.T @ a).double()
            self.xy += (a.T @ b).double()
            self.yy += b.double().square().sum(0)
            self.x += a.double().sum(0)
            self.y += b.double().sum(0)
            self.rows += len(a)

    def __add__(self, other: Equations) -> Equations:
        return Equations(
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
            self.x + other.x,
            self.y + other.y,
            self.rows + other.rows,
        )

    def part(self, entries: Tensor) -> Equations:
        """Of some inputs only: as if the others were zero."""
        return Equations(self.xx[entries][:, entries], self.xy[entries], self.yy, self.x[entries], self.y, self.rows)

    def centred(self) -> Equations:
        """Sums around the means: with these, the shift that is best for any weights is left out of the weights."""
        x, y, rows = self.x, self.y, max(1, self.rows)
        return Equations(
            self.xx - torch.outer(x, x) / rows,
            self.xy - torch.outer(x, y) / rows,
            self.yy - y.square() / rows,
            torch.zeros_like(x),
            torch.zeros_like(y),
            self.rows,
        )

    def error(self, weight: Tensor) -> float:
        """Sum of squared differences between x @ weight and y; weight (K, O)."""
        return float((weight * (self.xx @ weight - 2 * self.xy)).sum() + self.yy.sum())

    def solved(self, old: Tensor, pull: float) -> Tensor:
        """(K, O) float64: the weights of least squares, pulled to ``old`` (K, O) by ``pull`` mean squares."""
        scale = self.xx.diagonal().mean().clamp_min(1e-300) * pull
        system = self.xx.clone()
        system.diagonal().add_(scale)
        residual = self.xy - self.xx @ old
        factor, info = torch.linalg.cholesky_ex(system)
        if int(info) != 0:  # rounding made a zero direction negative: it has nothing to say
            return old + torch.linalg.lstsq(system, residual, driver="gelsd").solution
        return old + torch.cholesky_solve(residual, factor)


@dataclass(frozen=True, eq=False)
class Fit:
    """``weight`` (K, O) and ``shift`` (O,), float64; ``pull`` is what the images set apart chose.

    ``before`` and ``after`` are the layer's errors on these images with the old and the new weights, as a share of what
    it should write (around its mean).
    """

    weight: Tensor
    shift: Tensor
    pull: float
    before: float
    after: float


def fitted(fit: Equations, apart: Equations, old: Tensor, *, shift: bool = True, pulls: Sequence[float] = PULLS) -> Fit:
    """Weights from both sets of rows, with the pull that does best from ``fit`` on ``apart``.

    ``shift``: whether a constant may be added to each output; else the weights have to do without.
    """
    inner, outer = (fit.centred(), apart.centred()) if shift else (fit, apart)
    whole = max(float(outer.yy.sum()), 1e-300)
    tried = {pull: outer.error(inner.solved(old, pull)) for pull in pulls}
    best = min(tried, key=lambda pull: tried[pull])
    before = outer.error(old)
    if tried[best] >= before:
        weight, best, after = old, float("inf"), before
    else:
        weight, after = (inner + outer).solved(old, best), tried[best]
    both = fit + apart
    constant = (both.y - both.x @ weight) / max(1, both.rows) if shift else torch.zeros_like(both.y)
    return Fit(weight, constant, best, max(before, 0.0) / whole, max(after, 0.0) / whole)
