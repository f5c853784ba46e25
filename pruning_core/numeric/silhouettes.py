"""Silhouettes (Rousseeuw 1987): how much nearer channels are to their own cluster than to the next one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pruning_core.numeric.compiled import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def sums_by_cluster(values: Floats, labels: Integers) -> tuple[Floats, Integers]:
    """Rows of a (C, C) matrix added up by cluster, (K, C), and the size of each cluster, none of them empty."""
    sizes = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    return np.add.reduceat(values[order], np.cumsum(sizes) - sizes, axis=0), sizes


def mean_silhouette(distances: Floats, labels: Integers) -> float:
    """In [-1, 1], of one clustering; a channel alone in its cluster counts 0, and so does a single cluster."""
    sums, sizes = sums_by_cluster(distances, labels)
    if len(sizes) < 2:
        return 0.0
    place = labels, np.arange(len(labels))
    size = sizes[labels]
    own = sums[place] / np.maximum(size - 1, 1)
    means = sums / sizes[:, None]
    means[place] = np.inf
    other = means.min(0)
    value = (other - own) / np.maximum(np.maximum(own, other), 1e-300)
    return float(np.where(size == 1, 0, value).mean())


@compiled
def silhouettes_of(distances: Floats, merges: Floats) -> Floats:
    """Mean silhouette of a tree's C, C - 1, ..., 1 clusters, turned around: entry k - 1 belongs to k clusters.

    ``merges`` is scipy's linkage matrix. One walk up the tree: a merge adds two columns of summed distances, and the
    nearest other cluster is looked up anew only for channels whose nearest was one of the two, because the mean of a
    merged cluster lies between those of its parts.
    """
    count = len(distances)
    found = np.zeros(count)
    sums = distances.copy()  # (C, living): living clusters sit in the first columns
    share = np.ones(count)  # 1 / size of the cluster in this column
    size = np.ones(count, np.int64)
    column = np.full(2 * count - 1, -1)  # of each node of the tree
    node = np.arange(count)  # in each column
    own = np.arange(count)  # column of each channel
    near = np.zeros(count, np.int64)
    nearest = np.full(count, np.inf)  # mean distance to the nearest other cluster
    for i in range(count):
        column[i] = i
        near[i] = -1
    living = count
    for step in range(count - 1):
        a, b = column[np.int64(merges[step, 0])], column[np.int64(merges[step, 1])]
        a, b = min(a, b), max(a, b)
        last = living - 1
        living -= 1
        size[a] += size[b]
        share[a] = 1.0 / size[a]
        size[b], share[b], node[b] = size[last], share[last], node[last]
        column[node[b]] = b
        node[a] = count + step
        column[node[a]] = a
        total = 0.0
        for i in range(count):
            sums[i, a] += sums[i, b]
            sums[i, b] = sums[i, last]
            if own[i] == b:
                own[i] = a
            elif own[i] == last:
                own[i] = b
            lost = near[i] == -1 or near[i] == a or near[i] == b
            if near[i] == last and last != b:
                near[i] = b
            mine = own[i]
            if lost:
                best = np.inf
                at = -1
                for j in range(living):
                    mean = sums[i, j] * share[j]
                    if mean < best and j != mine:
                        best = mean
                        at = j
                near[i], nearest[i] = at, best
            if size[mine] > 1 and living > 1:
                inside = sums[i, mine] / (size[mine] - 1)
                total += (nearest[i] - inside) / max(max(nearest[i], inside), 1e-300)
        found[living - 1] = total / count
    return found
