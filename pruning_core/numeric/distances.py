"""All pairwise distances between the rows of a matrix, through matrix products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 256  # rows at once: what lies above the diagonal is never computed, and a block stays in the cache


def euclidean(rows: Tensor) -> Tensor:
    """(C, d) -> (C, C) float64: ||x_i - x_j||, exactly symmetric with a zero diagonal.

    From products in double precision; distances below about 1e-8 of the norms are rounding.
    """
    rows = rows.double()
    square = torch.linalg.vector_norm(rows, dim=1).square()

    def apart(products: Tensor, start: int, stop: int) -> Tensor:
        return products.mul_(-2).add_(square[start:, None] + square[start:stop]).clamp_min_(0).sqrt_()

    return _pairwise(rows, apart)


def cosine(rows: Tensor) -> Tensor:
    """(C, d) -> (C, C) float64: 1 - cos of the angle between two rows, in [0, 2]; 1 to a row of zeros."""
    rows = rows.double()
    norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    zero = (norm == 0)[:, 0]
    apart = _pairwise(rows / norm.masked_fill(norm == 0, 1), lambda products, *_: products.neg_().add_(1).clamp_(0, 2))
    if zero.any():
        apart[zero.nonzero(), zero.nonzero().T] = 0
    return apart


def correlation(rows: Tensor) -> Tensor:
    """(C, d) -> (C, C) float64: 1 - Pearson correlation of two rows, in [0, 2]; 1 to a constant row."""
    rows = rows.double()
    centred = rows - rows.mean(1, keepdim=True)
    # a constant row leaves only rounding behind, which has no direction
    noise = centred.abs().amax(1, keepdim=True) <= 1e-12 * rows.abs().amax(1, keepdim=True)
    return cosine(centred.masked_fill_(noise, 0))


def _pairwise(rows: Tensor, apart: Callable[[Tensor, int, int], Tensor]) -> Tensor:
    """``apart`` makes distances of the products between all rows from ``start`` on and those up to ``stop``."""
    found = rows.new_empty(len(rows), len(rows))
    for start in range(0, len(rows), BLOCK):
        stop = min(start + BLOCK, len(rows))
        block = apart(rows[start:] @ rows[start:stop].T, start, stop)
        corner = block[: stop - start]
        corner.copy_(torch.maximum(corner, corner.T))  # products of a pair may differ in the last digit
        found[start:, start:stop] = block
        found[start:stop, stop:] = block[stop - start :].T
    return found.fill_diagonal_(0)
