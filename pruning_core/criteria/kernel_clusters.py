"""Ward clusters of the kernels of every input channel, and the filters that cover most clusters (REPrune's view)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pruning_core.criteria.kernel_loops import Floats, Integers, cover, labels_at, line_trees, trees_of

SLACK = 1 + 1e-9  # merges at the very height of the cut belong to it


@dataclass(frozen=True, eq=False)
class KernelTrees:
    """One tree per input channel j: merge t of tree j joins the clusters of filters ``left`` and ``right`` at ``cost``.

    All arrays are (J, C - 1), costs ascending. A cost is Ward's growth of the squared error, half of scipy's height
    squared.
    """

    left: Integers
    right: Integers
    cost: Floats

    @property
    def filters(self) -> int:
        return self.cost.shape[1] + 1

    def common_cut(self, removed: int) -> float:
        """The lowest cost that lets every tree make at least ``removed`` merges."""
        return float(self.cost[:, removed - 1].max()) if removed > 0 else 0.0

    def labels(self, cut: float) -> Integers:
        """Cluster of each filter per input channel, (J, C), counted from 0, for merges that cost at most ``cut``."""
        return labels_at(self.left, self.right, self.cost, cut * SLACK)


def kernel_trees(kernels: tuple[Tensor, ...]) -> KernelTrees:
    """Trees of (C, J, k) kernels, those of several layers one after the other."""
    parts: list[tuple[Integers, Integers, Floats]] = []
    for layer in kernels:
        points = np.ascontiguousarray(layer.double().cpu().numpy().transpose(1, 0, 2))  # (J, C, k)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            parts += pool.map(_grow, np.array_split(points, min(torch.get_num_threads(), len(points))))
    left, right, cost = (np.concatenate(p) for p in zip(*parts))
    order = np.argsort(cost, axis=1, kind="stable")
    take = np.take_along_axis
    return KernelTrees(take(left, order, 1), take(right, order, 1), take(cost, order, 1))


def _grow(points: Floats) -> tuple[Integers, Integers, Floats]:
    if points.shape[2] > 1:
        return trees_of(points)
    line = points[:, :, 0].copy()
    return line_trees(line, np.argsort(line, axis=1))


def covering_order(labels: Integers, lottery: Tensor) -> tuple[Tensor, Tensor]:
    """Filters in the order in which a greedy cover takes them, and how many clusters each newly covers.

    Each step takes the filter that lies in most clusters not covered so far, ties by the larger ``lottery`` number
    (C,). When all clusters are covered, the count starts anew among the filters that are left.
    """
    order, gains = cover(labels, lottery.double().cpu().numpy())
    return torch.from_numpy(order), torch.from_numpy(gains)
