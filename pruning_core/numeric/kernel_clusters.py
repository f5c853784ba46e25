"""Ward clusters of the kernels of every input channel, and the filters that cover most clusters (REPrune's view)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pruning_core.numeric.kernel_loops import Floats, Small, cover, labels_at, line_trees, trees_of

SLACK = 1 + 1e-9  # merges at the very height of the cut belong to it


@dataclass(frozen=True, eq=False)
class KernelTrees:
    """One tree per input channel j: merge t of tree j joins the clusters of filters ``left`` and ``right`` at ``cost``.

    All arrays are (J, C - 1), costs ascending. A cost is Ward's growth of the squared error, half of scipy's height
    squared.
    """

    left: Small
    right: Small
    cost: Floats

    @property
    def filters(self) -> int:
        return self.cost.shape[1] + 1

    def common_cut(self, removed: int) -> float:
        """The lowest cost that lets every tree make at least ``removed`` merges."""
        return float(self.cost[:, removed - 1].max()) if removed > 0 else 0.0

    def labels(self, cut: float) -> Small:
        """Cluster of each filter per input channel, (J, C), counted from 0, for merges that cost at most ``cut``."""
        return labels_at(self.left, self.right, self.cost, cut * SLACK)


def kernel_trees(kernels: tuple[Tensor, ...]) -> KernelTrees:
    """Trees of (C, J, k) kernels, those of several layers one after the other."""
    parts: list[tuple[Small, Small, Floats]] = []
    for layer in kernels:
        points = np.ascontiguousarray(layer.double().cpu().numpy().transpose(1, 0, 2))  # (J, C, k)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            parts += pool.map(_grow, np.array_split(points, min(torch.get_num_threads(), len(points))))
    left, right, cost = (np.concatenate(p) for p in zip(*parts))
    return KernelTrees(left, right, cost)


def _grow(points: Floats) -> tuple[Small, Small, Floats]:
    if points.shape[2] > 1:
        left, right, cost = trees_of(points)
    else:
        line = points[:, :, 0].copy()
        left, right, cost = line_trees(line, np.argsort(line, axis=1))
    order = np.argsort(cost, axis=1, kind="stable") + np.arange(len(cost))[:, None] * cost.shape[1]
    return left.take(order), right.take(order), cost.take(order)


def covering_order(labels: Small, lottery: Tensor) -> tuple[Tensor, Tensor]:
    """Filters in the order in which a greedy cover takes them, and how many clusters each newly covers.

    Each step takes the filter that lies in most clusters not covered so far, ties by the larger ``lottery`` number
    (C,). When all clusters are covered, the count starts anew among the filters that are left.
    """
    order, gains = cover(labels, lottery.double().cpu().numpy())
    return torch.from_numpy(order), torch.from_numpy(gains)
