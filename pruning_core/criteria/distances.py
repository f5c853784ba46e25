"""All pairwise distances between the rows of a matrix, through one matrix product."""

from __future__ import annotations

import torch
from torch import Tensor


def euclidean(rows: Tensor) -> Tensor:
    """(C, d) -> (C, C) float64: ||x_i - x_j||, exactly symmetric with a zero diagonal.

    From the Gram matrix in double precision; distances below about 1e-8 of the norms are rounding.
    """
    rows = rows.double()
    gram = rows @ rows.T
    square = gram.diagonal()
    return _tidy((square[:, None] + square[None, :] - 2 * gram).clamp_min(0).sqrt())


def cosine(rows: Tensor) -> Tensor:
    """(C, d) -> (C, C) float64: 1 - cos of the angle between two rows, in [0, 2]; 1 to a row of zeros."""
    rows = rows.double()
    norm = rows.norm(dim=1, keepdim=True)
    zero = norm.squeeze(1) == 0
    unit = rows / norm.masked_fill(norm == 0, 1)
    apart = (1 - unit @ unit.T).clamp(0, 2)
    return _tidy(apart.masked_fill(zero[:, None] & zero[None, :], 0))


def correlation(rows: Tensor) -> Tensor:
    """(C, d) -> (C, C) float64: 1 - Pearson correlation of two rows, in [0, 2]; 1 to a constant row."""
    rows = rows.double()
    centred = rows - rows.mean(1, keepdim=True)
    # a constant row leaves only rounding behind, which has no direction
    noise = centred.abs().amax(1, keepdim=True) <= 1e-12 * rows.abs().amax(1, keepdim=True)
    return cosine(centred.masked_fill(noise, 0))


def _tidy(distances: Tensor) -> Tensor:
    distances = torch.maximum(distances, distances.T)
    return distances.fill_diagonal_(0)
