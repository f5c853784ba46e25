"""The loops behind kernel clusters, as machine code.

What the trees are worth: those of the 512 kernels at each of 512 input channels of a layer of ResNet-50 take 0.42 s on
one thread, scipy's ``linkage`` 3.78 s, scaled from 8 of them (``benchmarks/results/criteria.md``).
To delete ``trees_of`` and ``line_trees``: let ``kernel_clusters.kernel_trees``, which alone calls them, call
``linkage(points, "ward")`` for each channel. Half of its squared heights are the costs; where it names a cluster, name
one of its filters instead. ``labels_at`` and ``cover`` stay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pruning_core.numeric.compiled import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Small = NDArray[np.int32]  # trees of wide layers fill hundreds of megabytes: half of them, half of the time


@compiled
def trees_of(points: Floats) -> tuple[Small, Small, Floats]:
    """Nearest-neighbour chains with centroids: no distance matrix is stored.

    Living clusters sit side by side in the first columns of ``centre``, so that the distances from one cluster to all
    others are vector code.
    """
    trees, count, size = points.shape
    left = np.empty((trees, count - 1), np.int32)
    right = np.empty((trees, count - 1), np.int32)
    cost = np.empty((trees, count - 1), np.float64)
    centre = np.empty((size, count), np.float32)
    mass = np.empty(count, np.float32)
    filter_of = np.empty(count, np.int64)  # a member of the cluster in this column
    chain = np.empty(count + 1, np.int64)  # columns
    far = np.empty(count, np.float32)
    bits = far.view(np.int32)  # non-negative floats rank like integers, whose minimum is vector code
    for tree in range(trees):
        for i in range(count):
            for d in range(size):
                centre[d, i] = points[tree, i, d]
            mass[i] = np.float32(1)
            filter_of[i] = i
        living = count
        depth = 0
        for merge in range(count - 1):
            if depth == 0:
                chain[0] = 0
                depth = 1
            while True:
                top = chain[depth - 1]
                own = mass[top]
                for i in range(living):
                    far[i] = np.float32(0)
                for d in range(size):
                    here = centre[d, top]
                    for i in range(living):
                        step = centre[d, i] - here
                        far[i] += step * step
                for i in range(living):
                    far[i] *= own * mass[i] / (own + mass[i])
                far[top] = np.float32(np.inf)
                lowest = bits[0]
                for i in range(living):
                    lowest = min(lowest, bits[i])
                # of equally near ones the one we came from, or the chain would never close
                nearest = chain[depth - 2] if depth > 1 else 0
                if depth == 1 or bits[nearest] != lowest:
                    for i in range(living):
                        if bits[i] == lowest:
                            nearest = i
                            break
                if depth > 1 and nearest == chain[depth - 2]:
                    break
                chain[depth] = nearest
                depth += 1
            a, b = chain[depth - 2], chain[depth - 1]
            depth -= 2
            left[tree, merge], right[tree, merge], cost[tree, merge] = filter_of[a], filter_of[b], far[a]
            total = mass[a] + mass[b]
            for d in range(size):
                centre[d, a] = (mass[a] * centre[d, a] + mass[b] * centre[d, b]) / total
            mass[a] = total
            living -= 1
            for d in range(size):
                centre[d, b] = centre[d, living]  # the last column moves into the gap
            mass[b] = mass[living]
            filter_of[b] = filter_of[living]
            for i in range(depth):
                if chain[i] == living:
                    chain[i] = b
    return left, right, cost


@compiled
def line_trees(points: Floats, order: Integers) -> tuple[Small, Small, Floats]:
    """The same for scalar kernels (J, C) and the order that sorts each row.

    On a line only neighbours ever merge, so a chain walks over a linked list.
    """
    trees, count = points.shape
    left = np.empty((trees, count - 1), np.int32)
    right = np.empty((trees, count - 1), np.int32)
    cost = np.empty((trees, count - 1), np.float64)
    mean = np.empty(count, np.float64)
    mass = np.empty(count, np.float64)
    after = np.empty(count, np.int64)
    before = np.empty(count, np.int64)
    for tree in range(trees):
        for i in range(count):
            mean[i] = points[tree, order[tree, i]]
            mass[i] = 1.0
            after[i] = i + 1 if i + 1 < count else -1
            before[i] = i - 1
        merge = 0
        at = 0
        while merge < count - 1:
            down, up = before[at], after[at]
            low, high = np.inf, np.inf
            if down >= 0:
                low = (mean[at] - mean[down]) ** 2 * mass[at] * mass[down] / (mass[at] + mass[down])
            if up >= 0:
                high = (mean[at] - mean[up]) ** 2 * mass[at] * mass[up] / (mass[at] + mass[up])
            if low <= high:  # walk back only once nothing ahead is nearer
                other, best = down, low
                far = before[down]
                beyond = np.inf
                if far >= 0:
                    beyond = (mean[down] - mean[far]) ** 2 * mass[down] * mass[far] / (mass[down] + mass[far])
            else:
                other, best = up, high
                far = after[up]
                beyond = np.inf
                if far >= 0:
                    beyond = (mean[up] - mean[far]) ** 2 * mass[up] * mass[far] / (mass[up] + mass[far])
            if beyond < best:
                at = other
                continue
            a, b = (other, at) if low <= high else (at, other)  # a lies before b
            left[tree, merge], right[tree, merge], cost[tree, merge] = order[tree, a], order[tree, b], best
            merge += 1
            total = mass[a] + mass[b]
            mean[a] = (mass[a] * mean[a] + mass[b] * mean[b]) / total
            mass[a] = total
            after[a] = after[b]
            if after[b] >= 0:
                before[after[b]] = a
            at = a
    return left, right, cost


@compiled
def labels_at(left: Small, right: Small, cost: Floats, cut: float) -> Small:
    trees, merges = cost.shape
    count = merges + 1
    labels = np.empty((trees, count), np.int32)
    parent = np.empty(count, np.int64)
    for tree in range(trees):
        for i in range(count):
            parent[i] = i
        for merge in range(merges):
            if cost[tree, merge] > cut:
                break
            a, b = left[tree, merge], right[tree, merge]
            while parent[a] != a:
                parent[a] = parent[parent[a]]
                a = parent[a]
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            parent[max(a, b)] = min(a, b)
        clusters = 0
        for i in range(count):
            root = i
            while parent[root] != root:
                root = parent[root]
            if root == i:
                labels[tree, i] = clusters
                clusters += 1
            else:
                labels[tree, i] = labels[tree, root]
    return labels


@compiled
def cover(labels: Small, lottery: Floats) -> tuple[Integers, Integers]:
    trees, count = labels.shape
    of = np.empty((count, trees), np.int32)  # turned around: a step reads all clusters of one filter
    covered = np.zeros((trees, count), np.bool_)
    gain = np.zeros(count, np.int64) + trees
    taken = np.zeros(count, np.bool_)
    # members of each cluster side by side: those of cluster c of a tree end before ``end[tree, c]``
    member = np.empty((trees, count), np.int32)
    end = np.zeros((trees, count + 1), np.int32)
    for tree in range(trees):
        for i in range(count):
            of[i, tree] = labels[tree, i]
            end[tree, labels[tree, i] + 1] += 1
        for c in range(count):
            end[tree, c + 1] += end[tree, c]
        for i in range(count):
            cluster = labels[tree, i]
            member[tree, end[tree, cluster]] = i
            end[tree, cluster] += 1
    order = np.empty(count, np.int64)
    gains = np.empty(count, np.int64)
    for step in range(count):
        best = -1
        for i in range(count):
            if not taken[i] and (
                best < 0 or gain[i] > gain[best] or (gain[i] == gain[best] and lottery[i] > lottery[best])
            ):
                best = i
        if gain[best] == 0:  # everything is covered: start anew among those left
            for tree in range(trees):
                for c in range(count):
                    covered[tree, c] = False
            for i in range(count):
                gain[i] = trees
                if not taken[i] and lottery[i] > lottery[best]:
                    best = i
        order[step] = best
        gains[step] = gain[best]
        taken[best] = True
        for tree in range(trees):
            cluster = of[best, tree]
            if not covered[tree, cluster]:
                covered[tree, cluster] = True
                for at in range(end[tree, cluster - 1] if cluster > 0 else 0, end[tree, cluster]):
                    gain[member[tree, at]] -= 1
    return order, gains
