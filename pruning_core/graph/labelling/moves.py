"""Operators that only move data, executed on the labels themselves.

The frequent ones have a rule that works on compressed planes; ``moved`` runs any other such operator on the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch

from pruning_core.graph.labelling.labels import Labelled, Plane, compress, cover, line
from pruning_core.graph.labelling.universe import Universe


def expanded(plane: Plane, shape: Sequence[int]) -> Plane:
    return np.broadcast_to(plane, tuple(shape))


def viewed(universe: Universe, x: Labelled, shape: Sequence[int]) -> Labelled:
    """Reshape: planes are expanded only over the dimensions that merge or split with theirs."""
    shape = tuple(int(n) for n in shape)
    if 0 in shape:
        universe.pin(x.planes, "the tensor is empty")
        return x.to(shape, ())
    blocks = _blocks(x.shape, shape)
    planes = []
    for plane in x.planes:
        labelled = cover(plane)
        old, new = [1] * len(x.shape), [1] * len(shape)
        changed = False
        for sources, targets in blocks:
            if any(d in labelled for d in sources):
                changed |= len(sources) > 1 or len(targets) > 1
                for d in sources:
                    old[d] = x.shape[d]
                for d in targets:
                    new[d] = shape[d]
        if changed and universe.is_repetition(plane) and _meets_others(x, plane, blocks):
            universe.pin([plane], "a repeated value is merged with what is repeated")
            continue
        reshaped = expanded(plane, old).reshape(new)
        if changed:
            reshaped = compress(reshaped)
            universe.rectangle(reshaped)
        planes.append(reshaped)
    return x.to(shape, planes)


def _meets_others(x: Labelled, plane: Plane, blocks: Sequence[tuple[list[int], list[int]]]) -> bool:
    """Whether another plane varies along dimensions that merge with those of ``plane``."""
    merging = {d for sources, _ in blocks if cover(plane) & set(sources) for d in sources}
    return any(q is not plane and cover(q) & merging for q in x.planes)


def _blocks(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Smallest runs of dimensions of both shapes that hold the same number of elements."""
    blocks = []
    i = j = 0
    while i < len(old) or j < len(new):
        sources, targets = ([i] if i < len(old) else []), ([j] if j < len(new) else [])
        a, b = (old[i] if sources else 1), (new[j] if targets else 1)
        i, j = i + len(sources), j + len(targets)
        while a != b:
            if a < b:
                a *= old[i]
                sources.append(i)
                i += 1
            else:
                b *= new[j]
                targets.append(j)
                j += 1
        blocks.append((sources, targets))
    return blocks


def permuted(x: Labelled, order: Sequence[int]) -> Labelled:
    order = [d % len(x.shape) for d in order]
    return x.to([x.shape[d] for d in order], [p.transpose(order) for p in x.planes])


def swapped(x: Labelled, a: int, b: int) -> Labelled:
    order = list(range(len(x.shape)))
    if order:
        order[a], order[b] = order[b], order[a]
    return permuted(x, order)


def each_plane(x: Labelled, shape: Sequence[int], change: Callable[[Plane], Plane]) -> Labelled:
    """Apply ``change``, which loses no label, to every plane."""
    return x.to(shape, [change(p) for p in x.planes])


def picked(universe: Universe, x: Labelled, shape: Sequence[int], change: Callable[[Plane], Plane]) -> Labelled:
    """Apply ``change``, which takes a part of every plane; what is taken alone must stay."""
    planes = []
    for plane in x.planes:
        part = change(plane)
        if part.size > 1:
            planes.append(part)
        elif part.size == 1:
            universe.pin([part], "it is picked out by its number")
    return x.to(shape, planes)


def expanded_to(universe: Universe, x: Labelled, shape: Sequence[int]) -> Labelled:
    """Repeating one value any number of times: the new positions get labels of their own."""
    extra = len(shape) - len(x.shape)
    planes = [p.reshape((1,) * extra + p.shape) for p in x.planes]
    for d, n in enumerate(shape):
        if n > 1 and (d < extra or x.shape[d - extra] == 1):
            planes.append(line(universe.repetition(n), d, len(shape)))
    return x.to(shape, planes)


def sliced(universe: Universe, x: Labelled, shape: Sequence[int], dim: int, piece: slice | int) -> Labelled:
    """A slice along ``dim`` (or, for an index, the dimension removed)."""
    dim %= len(x.shape)

    def cut(p: Plane) -> Plane:
        lead: tuple[slice | int, ...] = (slice(None),) * dim
        if isinstance(piece, int):
            return p[(*lead, piece if p.shape[dim] > 1 else 0)]
        return p[(*lead, piece)] if p.shape[dim] > 1 else p

    return picked(universe, x, shape, cut)


def concatenated(universe: Universe, parts: Sequence[Labelled], shape: Sequence[int], dim: int) -> Labelled:
    """Along ``dim`` planes are joined; along every other dimension the parts must agree."""
    dim %= len(shape)
    parts = [p for p in parts if len(p.shape) == len(shape)]  # torch skips legacy empty 1-d tensors
    planes: list[Plane] = []
    if any(p.over(dim) for p in parts):
        varying = frozenset({dim}).union(*(cover(plane) for part in parts for plane in part.over(dim)))
        segments = []
        for part in parts:
            size = [part.shape[d] if d in varying else 1 for d in range(len(shape))]
            own = part.over(dim)
            if len(own) != 1:
                universe.pin(own, "it is concatenated along a dimension that is split")
                own = [line(universe.fresh(part.shape[dim]), dim, len(shape))]
                universe.pin(own, "it is concatenated with values that belong to no layer")
            segments.append(expanded(own[0], size))
        planes.append(np.concatenate(segments, axis=dim))
        universe.rectangle(planes[0])
    lead: dict[frozenset[int], Plane] = {}
    carrying: dict[frozenset[int], set[int]] = {}
    across = [[p for p in part.planes if p.shape[dim] == 1] for part in parts]
    met = frozenset(range(len(shape))).intersection(*(frozenset().union(*map(cover, own)) for own in across))
    for number, own in enumerate(across):
        for plane in own:
            if cover(plane) & met:  # along other dimensions every part has as many positions for every unit
                plane = universe.tie(plane, cover(plane) - met)
            universe.link(plane, lead.setdefault(cover(plane), plane))
            carrying.setdefault(cover(plane), set()).add(number)
    for key, plane in lead.items():
        if len(carrying[key]) < len(parts):
            universe.pin([plane], "it is concatenated with values that belong to no layer")
        planes.append(plane)
    origin = max((p.origin for p in parts), key=lambda o: o.value)
    return Labelled(tuple(shape), tuple(planes), origin, all(p.zero for p in parts))


def padded(universe: Universe, x: Labelled, shape: Sequence[int], pad: Sequence[int]) -> Labelled:
    """Constant padding: new channels of constants get labels of their own, in every head where heads were split."""
    planes = []
    for plane in x.planes:
        for k in range(len(pad) // 2):
            dim = len(shape) - 1 - k
            before, after = pad[2 * k], pad[2 * k + 1]
            if plane.shape[dim] == 1 or (before == 0 and after == 0):
                continue
            shape_of = list(plane.shape)
            if before < 0 or after < 0:
                stop = plane.shape[dim] + min(after, 0)
                plane = plane[(slice(None),) * dim + (slice(max(-before, 0), stop),)]
            ends = []
            for count in (max(before, 0), max(after, 0)):
                shape_of[dim] = count
                ends.append(universe.fresh(prod(shape_of)).reshape(shape_of))
            plane = np.concatenate([ends[0], plane, ends[1]], axis=dim)
            universe.rectangle(plane)
        planes.append(plane)
    return x.to(shape, planes)


def moved(universe: Universe, x: Labelled, run: Callable[[torch.Tensor], torch.Tensor]) -> Labelled:
    """Run a data-moving operator on every plane, expanded to the tensor's shape."""
    planes = []
    shape: tuple[int, ...] = ()
    if not x.planes:
        shape = tuple(run(torch.empty(x.shape, device="meta")).shape)
    for plane in x.planes:
        labels = torch.from_numpy(np.array(expanded(plane, x.shape)))
        result = run(labels).numpy()
        shape = result.shape
        plane = compress(result)
        universe.rectangle(plane)
        if plane.size > 1:
            planes.append(plane)
        else:
            universe.pin([plane], "it is picked out by its number")
    return x.to(shape, planes)
