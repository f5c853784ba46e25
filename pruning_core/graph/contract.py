"""Products and sums: where units are consumed.

A contraction multiplies two tensors and sums over shared letters, as in ``einsum``. The labels of a summed dimension of
a weight belong to the units that the other side carries; the labels of its free dimension start new units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pruning_core.graph.labels import Labelled, Origin, Plane, Universe, cover, line


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


def elementwise(universe: Universe, operands: Sequence[Labelled], shape: Sequence[int]) -> Labelled:
    """Any pointwise operator: operands that vary along the same dimensions are joined position by position."""
    ndim = len(shape)
    lifted = [
        Labelled((1,) * (ndim - len(x.shape)) + x.shape, tuple(p.reshape((1,) * (ndim - p.ndim) + p.shape) for p in x.planes),
                 x.origin)
        for x in operands
    ]
    planes: list[Plane] = []
    for x in lifted:
        for plane in x.planes:
            dims = cover(plane)
            if any(other is not x and other.shape[d] > 1 and not other.over(d) for other in lifted for d in dims):
                # what is pinned always lives: it needs no label from here on
                universe.pin([plane], "it meets values of fixed size that belong to no layer")
            else:
                planes.append(plane)
    origin = max((x.origin for x in lifted), key=lambda o: o.value, default=Origin.CONSTANT)
    return Labelled(tuple(shape), merged(universe, planes), origin)


def merged(universe: Universe, planes: Sequence[Plane]) -> tuple[Plane, ...]:
    """Join planes that overlap; of those joined the widest stays."""
    kept: list[Plane] = []
    for plane in sorted(planes, key=lambda p: -len(cover(p))):
        overlapping = [k for k in kept if cover(k) & cover(plane)]
        for other in overlapping:
            if other is not plane:
                universe.link(plane, other)
        if not overlapping:
            kept.append(plane)
        elif not cover(plane) <= frozenset().union(*(cover(k) for k in overlapping)):
            kept.append(plane)
    return tuple(kept)


def product(universe: Universe, ledger: Ledger, x: Labelled, xs: str, y: Labelled, ys: str, out: str,
            shape: Sequence[int]) -> Labelled:
    """``einsum(xs,ys->out)`` on labels, for letters that each stand once per operand."""
    sizes = {**dict(zip(xs, x.shape)), **dict(zip(ys, y.shape))}
    letters = sorted(sizes)
    summed = [c for c in letters if c not in out]
    shared = [c for c in letters if c in xs and c in ys]

    def spread(p: Plane, names: str) -> Plane:
        order = sorted(range(len(names)), key=lambda d: names[d])
        dims = {names[d]: p.shape[d] for d in range(len(names))}
        return p.transpose(order).reshape([dims.get(c, 1) for c in letters])

    sides = [(x, [spread(p, xs) for p in x.planes]), (y, [spread(p, ys) for p in y.planes])]
    at = {c: i for i, c in enumerate(letters)}
    for (_, own), (other, others) in (sides, sides[::-1]):
        for plane in own:
            for c in shared:
                if plane.shape[at[c]] > 1 and not any(q.shape[at[c]] > 1 for q in others):
                    what = "the network's input" if other.origin is Origin.ACTIVATION else "values that belong to no layer"
                    universe.pin([plane], f"it is summed against {what}")
    weights = [side[0].origin is not Origin.ACTIVATION for side in sides]
    for (left, lefts), (right, rights) in (sides, sides[::-1]):
        for p in lefts:
            for q in rights:
                if cover(p) & cover(q) and any(at[c] in cover(p) & cover(q) for c in shared):
                    if left is x:
                        universe.link(p, q)
    for i, (side, planes) in enumerate(sides):
        for plane in planes:
            dims = {letters[d] for d in cover(plane)}
            over = dims & set(summed)
            if over and dims != over:
                universe.tie(plane, [at[c] for c in over])
            if weights[i] and not weights[1 - i]:
                (ledger.consumed if over else ledger.produced).append(plane)
            elif not any(weights) and over == dims and over:
                ledger.both_active.append(plane)
        del side
    ledger.products.append(Product(ledger.owner, *_counts(sizes, letters, [p for _, ps in sides for p in ps])))
    results = []
    for _, planes in sides:
        for plane in planes:
            index = tuple(slice(0, 1) if c in summed else slice(None) for c in letters)
            rest = plane[index]
            if rest.size > 1:
                kept = [at[c] for c in letters if c not in summed]
                rest = rest.reshape([rest.shape[d] for d in kept])
                names = [c for c in letters if c not in summed]
                results.append(rest.transpose([names.index(c) for c in out]))
    origin = max((x.origin, y.origin), key=lambda o: o.value)
    return Labelled(tuple(shape), merged(universe, results), origin)


def _counts(sizes: dict[str, int], letters: Sequence[str], planes: Sequence[Plane]) -> tuple[int, tuple[tuple[Plane, int], ...]]:
    """Per letter: counted through the first plane that varies along it, else a constant factor."""
    factor = 1
    counts = []
    for d, c in enumerate(letters):
        varying = [p for p in planes if p.shape[d] > 1]
        if varying:
            counts.append((varying[0], d))
        else:
            factor *= sizes[c]
    return factor, tuple(counts)


def convolution(universe: Universe, ledger: Ledger, x: Labelled, w: Labelled, bias: Labelled | None, groups: int,
                transposed: bool, shape: Sequence[int]) -> Labelled:
    """Convolution in any number of spatial dimensions; the weight is (O, I/g, ...), transposed (I, O/g, ...)."""
    ndim = len(shape)
    for plane in x.planes:
        if cover(plane) != {1}:
            universe.pin([plane], "it is a position in space or in the batch")
    for plane in w.planes:
        if cover(plane) not in ({0}, {1}):
            universe.pin([plane], "it is a position inside the kernel")
    incoming = next((p.reshape(-1) for p in x.planes if cover(p) == {1}), None)
    first = next((p.reshape(-1) for p in w.planes if cover(p) == {0}), None)
    second = next((p.reshape(-1) for p in w.planes if cover(p) == {1}), None)
    channels_in, channels_out = x.shape[1], shape[1]
    if groups == 1:
        outgoing, inner = (second, first) if transposed else (first, second)
        if incoming is not None and inner is not None:
            universe.link(incoming, inner)
        else:
            universe.pin([p for p in (incoming, inner) if p is not None], "it reads the network's input")
        _note_roles(ledger, inner, outgoing, incoming is not None)
    else:
        outgoing = _grouped(universe, ledger, incoming, first, second, groups, channels_in, channels_out, transposed)
    if bias is not None and bias.planes and outgoing is not None:
        universe.link(bias.planes[0].reshape(-1), outgoing)
    elif bias is not None:
        universe.pin(bias.planes, "its layer's outputs are not labelled")
    space = int(np.prod(x.shape[2:] if transposed else shape[2:])) * shape[0]
    factor = space * int(np.prod(w.shape[2:])) * (1 if first is not None else w.shape[0]) * (1 if second is not None else w.shape[1])
    counts = tuple((p, 0) for p in (first, second) if p is not None)
    ledger.products.append(Product(ledger.owner, factor, counts))
    planes = (line(outgoing, 1, ndim),) if outgoing is not None else ()
    return Labelled(tuple(shape), planes, Origin.ACTIVATION)


def _note_roles(ledger: Ledger, inner: Plane | None, outgoing: Plane | None, consumes: bool) -> None:
    if inner is not None and consumes:
        ledger.consumed.append(inner)
    if outgoing is not None:
        ledger.produced.append(outgoing)


def _grouped(universe: Universe, ledger: Ledger, incoming: Plane | None, first: Plane | None, second: Plane | None,
             groups: int, channels_in: int, channels_out: int, transposed: bool) -> Plane | None:
    """Labels of the outputs of a grouped convolution.

    Each channel of a depthwise convolution follows its input. Otherwise two exact cuts exist: whole groups, or the same
    positions inside every group; the one with more units is taken.
    """
    per_in, per_out = channels_in // groups, channels_out // groups
    if transposed:
        inputs, outputs = first, None if second is None else np.tile(second.reshape(1, -1), (groups, 1)).reshape(-1)
    else:
        inputs, outputs = None if second is None else np.tile(second.reshape(1, -1), (groups, 1)).reshape(-1), first
    key = int(first[0]) if first is not None else -1
    if incoming is None:
        universe.pin([p for p in (first, second) if p is not None], "it reads the network's input")
    elif per_in == 1 or groups > per_in:
        universe.tie(incoming.reshape(groups, per_in), [1])
        if first is not None:
            universe.tie(first.reshape(groups, -1), [1])
            universe.link(first.reshape(groups, -1)[:, :1], incoming.reshape(groups, per_in)[:, :1])
        if second is not None:
            universe.pin([second], "whole groups are removed here, not positions inside them")
        ledger.grouping[key] = "whole"
        if transposed:
            outputs = None if first is None else np.repeat(first.reshape(groups, -1)[:, 0], per_out)
        return outputs
    else:
        universe.tie(incoming.reshape(groups, per_in), [0])
        if inputs is not None:
            universe.link(incoming, inputs)
            ledger.consumed.append(inputs)
        if outputs is not None:
            universe.tie(outputs.reshape(groups, per_out), [0])
            ledger.produced.append(outputs)
        ledger.grouping[key] = "inside"
    return outputs
