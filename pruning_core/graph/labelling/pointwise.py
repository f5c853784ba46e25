"""Pointwise operators: operands that vary along the same dimensions share their units."""

from __future__ import annotations

from collections.abc import Sequence

from pruning_core.graph.labelling.labels import Labelled, Origin, Plane, cover
from pruning_core.graph.labelling.universe import Universe


def elementwise(
    universe: Universe, operands: Sequence[Labelled], shape: Sequence[int], *, zero: bool = False
) -> Labelled:
    """Any pointwise operator: operands that vary along the same dimensions are joined position by position."""
    lifted = [lift(x, len(shape)) for x in operands]
    planes: list[Plane] = []
    for x in lifted:
        for plane in x.planes:
            matched = _matched(universe, plane, [o for o in lifted if o is not x])
            if matched is not None:
                planes.append(matched)
    origin = max((x.origin for x in lifted), key=lambda o: o.value, default=Origin.CONSTANT)
    # a weight made of several parameters reads its channels through all of them
    return Labelled(tuple(shape), merged(universe, planes, every=origin is not Origin.ACTIVATION), origin, zero)


def _matched(universe: Universe, plane: Plane, others: Sequence[Labelled]) -> Plane | None:
    """What of a plane can vary beside the others; None when it is pinned and needs no label from here on."""
    for other in others:
        dims = {d for d in cover(plane) if other.shape[d] > 1}
        met = dims & frozenset().union(*(cover(q) for q in other.planes))
        if dims and not met:
            universe.pin([plane], "it meets values of fixed size that belong to no layer")
            return None
        plane = universe.tie(plane, dims - met)  # the other has as many positions there for every unit
    return plane


def lift(x: Labelled, ndim: int) -> Labelled:
    """Leading dimensions of size 1, as broadcasting adds them."""
    extra = ndim - len(x.shape)
    if extra <= 0:
        return x
    return x.to((1,) * extra + x.shape, [p.reshape((1,) * extra + p.shape) for p in x.planes])


def merged(universe: Universe, planes: Sequence[Plane], *, every: bool = False) -> tuple[Plane, ...]:
    """Join planes that overlap; of those joined the widest stays (or all of them)."""
    if len(planes) == 1 and (every or cover(planes[0])):
        return tuple(planes)
    kept: list[Plane] = []
    for plane in sorted(planes, key=lambda p: -len(cover(p))):
        if any(k is plane for k in kept):
            continue
        own = cover(plane)
        overlapping = [k for k in kept if cover(k) & own]
        for other in overlapping:
            if own <= cover(other):
                universe.meet(other, plane)
            else:
                universe.link(plane, other)
        if every or not own <= frozenset().union(*(cover(k) for k in overlapping)):
            kept.append(plane)
    return tuple(kept)
