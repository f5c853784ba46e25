"""Least squares from accumulated products, or from the samples themselves where they are fewer than the unknowns.

The weights are pulled to the old ones (ridge regression towards a prior) by as much as images that were set apart say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# in units of the mean squared input: from hardly a pull to hardly a change
PULLS = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
CHUNK = 8192  # rows multiplied at once
WIDE = 1024  # columns from which on a symmetric product is worth taking in parts

Solve = Callable[[float], Tensor | None]


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
            _add_gram(self.xx, a)
            self.xy += a.T @ b
            self.yy += b.double().square().sum(0)
            self.x += a.sum(0, dtype=torch.float64)
            self.y += b.sum(0, dtype=torch.float64)
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
            torch.addr(self.xx, x, x, alpha=-1 / rows),
            torch.addr(self.xy, x, y, alpha=-1 / rows),
            self.yy - y.square() / rows,
            torch.zeros_like(x),
            torch.zeros_like(y),
            self.rows,
        )

    def error(self, weight: Tensor) -> float:
        """Sum of squared differences between x @ weight and y; weight (K, O) float64."""
        return float((weight * (self.xx @ weight - 2 * self.xy)).sum() + self.yy.sum())

    def pulled_to(self, old: Tensor) -> Solve:
        """What gives the weights (K, O) float64 of least squares, pulled to ``old`` (K, O) by so many mean squares.

        It gives None where the pull is smaller than what rounding does to the products.
        """
        residual, mean_square = self.xy - self.xx @ old, self.xx.diagonal().mean()

        def solve(pull: float) -> Tensor | None:
            found = _solved(self.xx, residual, mean_square, pull)
            return None if found is None else old + found

        return solve


@dataclass
class Rows:
    """Rows x (M, K), y (M, O) as they are. Where M < K, the system is one of M equations, with the same solution."""

    samples: Tensor
    aims: Tensor

    @property
    def rows(self) -> int:
        return len(self.samples)

    @property
    def x(self) -> Tensor:
        return self.samples.sum(0, dtype=torch.float64)

    @property
    def y(self) -> Tensor:
        return self.aims.sum(0, dtype=torch.float64)

    @property
    def yy(self) -> Tensor:
        return self.aims.double().square().sum(0)

    def centred(self) -> Rows:
        """As :meth:`Equations.centred`."""
        means = ((sums / max(1, self.rows)) for sums in (self.x, self.y))
        return Rows(*(part - mean.to(part.dtype) for part, mean in zip((self.samples, self.aims), means)))

    def error(self, weight: Tensor) -> float:
        """As :meth:`Equations.error`."""
        return float((self.samples @ weight.to(self.samples.dtype) - self.aims).square().sum(dtype=torch.float64))

    def pulled_to(self, old: Tensor) -> Solve:
        """As :meth:`Equations.pulled_to`: W = old + X' (X X' + pull)^-1 (Y - X old)."""
        x = self.samples
        gram = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
        _add_gram(gram, x.T)
        residual = (self.aims - x @ old.to(x.dtype)).double()
        mean_square = gram.diagonal().sum() / x.shape[1]

        def solve(pull: float) -> Tensor | None:
            found = _solved(gram, residual, mean_square, pull)
            return None if found is None else old + (x.T @ found.to(x.dtype)).double()

        return solve


System = Equations | Rows


def system(x: Sequence[Tensor], y: Sequence[Tensor]) -> System:
    """Of rows in parts, x (m, K) and y (m, O) each: the smaller one."""
    if sum(len(part) for part in x) < x[0].shape[1]:
        return Rows(torch.cat(list(x)), torch.cat(list(y)))
    sums = Equations.of(x[0], y[0])
    for a, b in zip(x[1:], y[1:]):
        sums.add(a, b)
    return sums


def joined(a: System, b: System) -> System:
    """Of the rows of both."""
    match a, b:
        case Rows(), Rows():
            return system((a.samples, b.samples), (a.aims, b.aims))
        case (Equations() as sums, Rows() as rows) | (Rows() as rows, Equations() as sums):
            both = Equations(
                sums.xx.clone(), sums.xy.clone(), sums.yy.clone(), sums.x.clone(), sums.y.clone(), sums.rows
            )
            both.add(rows.samples, rows.aims)
            return both
        case Equations(), Equations():
            return a + b
    raise AssertionError("there are two kinds of systems")


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


def fitted(fit: System, apart: System, old: Tensor, *, shift: bool = True, pulls: Sequence[float] = PULLS) -> Fit:
    """Weights from both sets of rows, with the pull that does best from ``fit`` on ``apart``.

    ``shift``: whether a constant may be added to each output; else the weights have to do without.
    """
    inner, outer = (fit.centred(), apart.centred()) if shift else (fit, apart)
    both = joined(fit, apart)
    whole, before = max(float(outer.yy.sum()), 1e-300), outer.error(old)
    solve = inner.pulled_to(old)

    def error(pull: float) -> float:
        weight = solve(pull)
        return float("inf") if weight is None else outer.error(weight)

    best, after = least(error, pulls)
    weight = _final(both.centred() if shift else both, old, [p for p in pulls if p >= best]) if after < before else None
    if weight is None:
        weight, best, after = old, float("inf"), before
    constant = (both.y - both.x @ weight) / max(1, both.rows) if shift else torch.zeros_like(both.y)
    return Fit(weight, constant, best, max(before, 0.0) / whole, max(after, 0.0) / whole)


def shifted(x: Tensor, y: Tensor, old: Tensor, *, shift: bool = True) -> Fit:
    """The old weights (K, O) float64, and the constant that is best for them: of rows x (M, K) and y (M, O)."""
    left = (y - x @ old.to(x.dtype)).double()
    constant = left.mean(0) if shift else torch.zeros_like(left[0])
    spread = max(float((y.double() - y.mean(0, dtype=torch.float64)).square().sum()), 1e-300)
    error = float((left - constant).square().sum()) / spread
    return Fit(old, constant, float("inf"), error, error)


def least(error: Callable[[float], float], pulls: Sequence[float]) -> tuple[float, float]:
    """The pull with the least error and that error, going down from the middle: few of them are tried."""
    known: dict[int, float] = {}

    def at(place: int) -> float:
        if place not in known:
            known[place] = error(pulls[place]) if 0 <= place < len(pulls) else float("inf")
        return known[place]

    place = len(pulls) // 2
    while at(place) == float("inf") and place + 1 < len(pulls):  # lost in rounding: only a harder pull can do
        place += 1
    while at(nearer := min(place - 1, place + 1, key=at)) < at(place):
        place = nearer
    return pulls[place], at(place)


def _final(both: System, old: Tensor, pulls: Sequence[float]) -> Tensor | None:
    solve = both.pulled_to(old)
    return next((weight for pull in pulls if (weight := solve(pull)) is not None), None)


def _solved(matrix: Tensor, residual: Tensor, mean_square: Tensor, pull: float) -> Tensor | None:
    """(matrix + pull)^-1 residual; ``matrix`` (K, K) is symmetric and not negative but for rounding."""
    pulled = matrix.clone()
    pulled.diagonal().add_(mean_square.clamp_min(1e-300) * pull)
    factor, info = torch.linalg.cholesky_ex(pulled)
    return None if int(info) != 0 else torch.cholesky_solve(residual, factor)


def _add_gram(into: Tensor, a: Tensor) -> None:
    """into (K, K) += a' a; of two halves of many columns, the product of one with the other is taken once."""
    columns = a.shape[1]
    if columns <= WIDE:
        into += a.T @ a
        return
    half = columns // 2
    left, right = a[:, :half], a[:, half:]
    across = left.T @ right
    into[:half, half:] += across
    into[half:, :half] += across.T
    _add_gram(into[:half, :half], left)
    _add_gram(into[half:, half:], right)
