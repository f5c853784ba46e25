"""Products and sums: where units are made and read.

A contraction multiplies two tensors and sums over shared letters, as in ``einsum``. The labels of a summed dimension of
a weight belong to the units that the other side carries; the labels of its free dimension start new units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pruning_core.graph.labelling.labels import Labelled, Origin, Plane, cover
from pruning_core.graph.labelling.pointwise import merged
from pruning_core.graph.labelling.universe import Universe


@dataclass(frozen=True)
class Product:
    """MACs of one contraction: ``factor`` times, for each counted dimension, the number of live positions.

    A count is a plane together with the dimension along which its live positions are counted.
    """

    owner: str
    factor: int
    counts: tuple[tuple[Plane, int], ...]


@dataclass
class Ledger:
    """What contractions did to labels, beside the edges: roles of labels, and the cost."""

    consumed: list[Plane] = field(default_factory=list)  # labels of weights summed against activations
    produced: list[Plane] = field(default_factory=list)  # labels of weights that become channels
    both_active: list[Plane] = field(default_factory=list)  # summed labels where neither side is a weight
    products: list[Product] = field(default_factory=list)
    grouping: dict[int, str] = field(default_factory=dict)  # first label of a grouped weight's outputs -> "whole" etc.
    owner: str = ""

    def consume(self, universe: Universe, plane: Plane, weight: Labelled) -> None:
        """``plane`` of ``weight`` is summed against an activation."""
        self.consumed.append(plane)
        if not weight.zero:
            universe.blur(plane, "its weights are computed from more than the parameters of the channel")


@dataclass(frozen=True)
class _Side:
    """One operand, its planes spread over all letters of the product."""

    x: Labelled
    planes: tuple[Plane, ...]

    @property
    def is_weight(self) -> bool:
        return self.x.origin is not Origin.ACTIVATION


def product(
    universe: Universe, ledger: Ledger, x: Labelled, xs: str, y: Labelled, ys: str, out: str, shape: Sequence[int]
) -> Labelled:
    """``einsum(xs,ys->out)`` on labels, for letters that each stand once per operand."""
    sizes: dict[str, int] = {}
    for letter, size in (*zip(xs, x.shape), *zip(ys, y.shape)):
        sizes[letter] = max(size, sizes.get(letter, 1))  # one operand may hold one key for all heads
    letters = sorted(sizes)
    at = {c: i for i, c in enumerate(letters)}
    shared = {at[c] for c in letters if c in xs and c in ys}
    summed = {at[c] for c in letters if c not in out}
    left = _Side(x, tuple(_spread(p, xs, letters) for p in x.planes))
    right = _Side(y, tuple(_spread(p, ys, letters) for p in y.planes))
    left, right = _matched(universe, left, right, shared), _matched(universe, right, left, shared)
    for p in left.planes:
        for q in right.planes:
            if cover(p) & cover(q) & shared:
                universe.meet(*((p, q) if cover(q) <= cover(p) else (q, p)))
    for side, other in ((left, right), (right, left)):
        for plane in side.planes:
            _read(universe, ledger, plane, side, other, summed)
    factor, counts = _counts([sizes[c] for c in letters], [*left.planes, *right.planes])
    ledger.products.append(Product(ledger.owner, factor, counts))
    result = _result(universe, left, right, [letters.index(c) for c in out], shape)
    if (
        x.origin is Origin.PARAMETER and y.origin is Origin.PARAMETER
    ):  # a number made of whole weights, as their largest singular value
        over = [p for p in (*left.planes, *right.planes) if cover(p) and cover(p) <= summed]
        return replace(result, debts=tuple(universe.note(p, "weights are multiplied over it") for p in over))
    return result


def _spread(plane: Plane, names: str, letters: Sequence[str]) -> Plane:
    order = sorted(range(len(names)), key=lambda d: names[d])
    sizes = dict(zip(names, plane.shape))
    return plane.transpose(order).reshape([sizes.get(c, 1) for c in letters])


def _matched(universe: Universe, side: _Side, other: _Side, shared: set[int]) -> _Side:
    """What of the planes can vary along shared letters beside the other side."""
    met = frozenset().union(*(cover(p) for p in other.planes))
    what = "values that belong to no layer" if other.is_weight else "the network's input or fixed positions"
    planes = []
    for plane in side.planes:
        dims = cover(plane) & shared
        if dims and not dims & met:
            universe.pin([plane], f"it is multiplied with {what}")
        else:
            plane = universe.tie(plane, dims - met)
        planes.append(plane)
    return _Side(side.x, tuple(planes))


def _read(universe: Universe, ledger: Ledger, plane: Plane, side: _Side, other: _Side, summed: set[int]) -> None:
    dims = cover(plane)
    over = dims & summed
    if over and dims != over:
        universe.tie(plane, over)
    if side.is_weight and not other.is_weight:
        if over:
            ledger.consume(universe, plane, side.x)
        else:
            ledger.produced.append(plane)
    elif over and dims == over and not side.is_weight and not other.is_weight:
        if side.x.zero or other.x.zero:
            ledger.both_active.append(plane)
        else:
            universe.blur(plane, "it is multiplied with another activation, and neither is zero when its weights are")


def _result(universe: Universe, left: _Side, right: _Side, order: list[int], shape: Sequence[int]) -> Labelled:
    results = []
    zero = True
    for side in (left, right):
        for plane in side.planes:
            rest = plane[tuple(slice(None) if d in order else slice(0, 1) for d in range(plane.ndim))]
            if rest.size > 1:
                results.append(
                    rest.transpose([*order, *(d for d in range(rest.ndim) if d not in order)]).reshape(
                        [rest.shape[d] for d in order]
                    )
                )
                zero &= side.x.zero
    origin = max((left.x.origin, right.x.origin), key=lambda o: o.value)
    return Labelled(tuple(shape), merged(universe, results, every=origin is not Origin.ACTIVATION), origin, zero)


def _counts(sizes: Sequence[int], planes: Sequence[Plane]) -> tuple[int, tuple[tuple[Plane, int], ...]]:
    """Per letter: counted through the first plane that varies along it, else a constant factor."""
    factor = 1
    counts = []
    for d, n in enumerate(sizes):
        varying = next((p for p in planes if p.shape[d] > 1), None)
        if varying is not None:
            counts.append((varying, d))
        else:
            factor *= n
    return factor, tuple(counts)
