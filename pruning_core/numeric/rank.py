"""Ranks of many small matrices at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.numeric.compiled import compiled

Matrices = NDArray[np.float32]


def ranks(matrices: Tensor) -> Tensor:
    """Numerical rank of each matrix (B, H, W), int64 (B,).

    Counts pivots above ``max(H, W) * eps * max|A|`` in an elimination with rook pivoting (each pivot is the largest
    of its row and its column), the same tolerance that ``torch.linalg.matrix_rank`` applies to singular values.
    Eigenvalues of the Gram matrix would be faster still, and wrong: squaring loses half of the digits.
    """
    batch = np.ascontiguousarray(matrices.detach().to("cpu", torch.float32).numpy())
    workers = min(torch.get_num_threads(), len(batch))
    if workers <= 1:
        return torch.from_numpy(_ranks(batch)) if len(batch) else torch.zeros(0, dtype=torch.int64)
    with ThreadPoolExecutor(workers) as pool:
        return torch.from_numpy(np.concatenate(list(pool.map(_ranks, np.array_split(batch, workers)))))


@compiled
def _ranks(matrices: Matrices) -> NDArray[np.int64]:
    count, height, width = matrices.shape
    padded = (width + 15) // 16 * 16  # whole vectors: the padding stays zero
    out = np.zeros(count, np.int64)
    a = np.zeros((height, padded), np.float32)
    # the bits of non-negative floats rank like integers, and a maximum over integers becomes vector code
    bits = a.view(np.int32)
    unsigned = np.int32(0x7FFFFFFF)
    pivot_row = np.zeros(padded, np.float32)
    order = np.zeros(height, np.uint64)
    zero = np.float32(0)
    eps = np.float32(max(height, width) * 1.1920929e-07)
    for b in range(count):
        live = 0
        top = zero
        for i in range(height):
            largest = zero
            for j in range(width):
                value = abs(matrices[b, i, j])
                if value > largest:
                    largest = value
            if largest > zero:  # rows of zeros, common behind a rectifier, cost nothing
                for j in range(width):
                    a[live, j] = matrices[b, i, j]
                order[live] = live
                if largest > top:
                    top = largest
                live += 1
        tolerance = top * eps
        rank = 0
        while live > 0:
            p = live - 1
            row = order[p]
            most = np.int32(0)
            for j in range(padded):
                most = max(most, bits[row, j] & unsigned)
            q = 0
            for j in range(padded):
                if bits[row, j] & unsigned == most:
                    q = j
                    break
            best = abs(a[row, q])
            if best <= tolerance:
                live -= 1  # what is left of this row depends on the others
                continue
            while True:  # walk along column and row until the pivot is the largest of both
                moved = False
                for i in range(live):
                    value = abs(a[order[i], q])
                    if value > best:
                        best = value
                        p = i
                        moved = True
                if not moved:
                    break
                row = order[p]
                most = np.int32(0)
                for j in range(padded):
                    most = max(most, bits[row, j] & unsigned)
                if bits[row, q] & unsigned == most:
                    break
                for j in range(padded):
                    if bits[row, j] & unsigned == most:
                        q = j
                        break
                best = abs(a[row, q])
            live -= 1
            row = order[p]
            order[p] = order[live]
            for j in range(padded):
                pivot_row[j] = a[row, j]
            inverse = np.float32(1) / pivot_row[q]
            pivot_row[q] = zero
            for i in range(live):
                other = order[i]
                factor = a[other, q] * inverse
                if factor != zero:
                    a[other, q] = zero
                    for j in range(padded):
                        a[other, j] -= factor * pivot_row[j]
            rank += 1
        out[b] = rank
    return out
