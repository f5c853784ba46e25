"""Cluster trees of channels, and what they say about each channel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from pruning_core.numeric.distances import euclidean

Merges = NDArray[np.float64]  # scipy's linkage matrix (C - 1, 4): left, right, height, size


def ward(rows: Tensor) -> Merges:
    """Ward's tree of the rows (C, d).

    Heights are scipy's: the distance of two single rows, and sqrt(2 * growth of the squared error) for clusters.
    """
    return linkage(squareform(euclidean(rows).cpu().numpy(), checks=False), "ward")


def average(distances: Tensor) -> Merges:
    """Average-linkage tree of a symmetric distance matrix (C, C)."""
    return linkage(squareform(distances.cpu().numpy(), checks=False), "average")


def absorption(merges: Merges, strength: Tensor) -> Tensor:
    """The height at which each channel stops being the representative of its cluster; (C,) float64.

    Every cluster is represented by its strongest member, so when two clusters merge the weaker representative is
    absorbed. Cutting the tree at height t and keeping one per cluster keeps exactly the channels above t. The last
    representative is never absorbed; it gets twice the height of the root, or 1 when nothing is apart. Of equal
    strengths the lower index stays.
    """
    count = len(merges) + 1
    power = strength.double().cpu().numpy()
    leader = np.empty(2 * count - 1, dtype=np.int64)
    leader[:count] = np.arange(count)
    root = float(merges[-1, 2]) if count > 1 else 0.0
    height = np.full(count, 2 * root if root > 0 else 1.0)
    for step, (left, right, at, _) in enumerate(merges):
        a, b = sorted((leader[int(left)], leader[int(right)]))
        stays, goes = (b, a) if power[b] > power[a] else (a, b)
        height[goes] = at
        leader[count + step] = stays
    return torch.from_numpy(height).to(strength.device)
