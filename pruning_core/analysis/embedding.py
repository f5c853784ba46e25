"""Channels as points in the plane: principal components, and t-SNE of their distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

GRAM_UP_TO = 512  # rows or columns, whichever are fewer: up to there principal components come from the Gram matrix
PERPLEXITY = 30.0  # how many neighbours t-SNE keeps near, where there are enough


@dataclass(frozen=True, eq=False)
class Embedding:
    """``points`` (C, k) in which distances are as close to the original ones as k dimensions allow."""

    points: NDArray[np.float64]
    explained: tuple[float, ...]  # share of the variance along each axis


def principal_components(points: Tensor, dimensions: int = 2) -> Embedding:
    """PCA of the rows (C, d); axes are turned so that their largest entry is positive."""
    centred = (points.double() - points.double().mean(0)).cpu().numpy()
    count, size = centred.shape
    tall = count >= size
    side, wanted = min(count, size), min(dimensions, count, size)
    if side <= GRAM_UP_TO:
        gram = centred.T @ centred if tall else centred @ centred.T
        values, vectors = eigh(gram, subset_by_index=(side - wanted, side - 1))
    else:  # some hundred products with the matrix itself, in single precision: they cost what memory costs
        single = centred.astype(np.float32)
        apply = (lambda v: single.T @ (single @ v)) if tall else (lambda v: single @ (single.T @ v))
        one = np.linspace(1, 2, side, dtype=np.float32)
        values, vectors = eigsh(LinearOperator((side, side), apply, dtype=np.float32), wanted, v0=one, tol=1e-4)
    order = np.argsort(values)[::-1]
    values, vectors = values[order].clip(min=0), vectors[:, order]
    found = centred @ vectors if tall else vectors * np.sqrt(values)
    found = np.pad(found, ((0, 0), (0, dimensions - wanted)))
    turn = np.sign(found[np.abs(found).argmax(0), np.arange(dimensions)])
    total = float(np.square(centred).sum()) or 1.0
    explained = [float(v) / total for v in values] + [0.0] * (dimensions - wanted)
    return Embedding(found * np.where(turn == 0, 1, turn), tuple(explained))


def t_sne(distances: Tensor, seed: int = 0) -> NDArray[np.float64]:
    """(C, C) -> (C, 2): neighbours stay beside each other; distances between far groups mean nothing. Takes seconds."""
    from sklearn.manifold import TSNE  # imported late: it takes most of a second

    count = len(distances)
    if count < 3:
        return np.column_stack([np.arange(count), np.zeros(count)]).astype(np.float64)
    near = min(PERPLEXITY, (count - 1) / 3)
    made = TSNE(metric="precomputed", init="random", perplexity=near, random_state=seed)
    return np.asarray(made.fit_transform(distances.cpu().numpy()), dtype=np.float64)
