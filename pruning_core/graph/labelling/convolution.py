"""Convolutions in any number of spatial dimensions; the weight is (O, I/groups, ...), transposed (I, O/groups, ...)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pruning_core.graph.labelling.contract import Ledger, Product
from pruning_core.graph.labelling.labels import Labelled, Origin, Plane, cover, line
from pruning_core.graph.labelling.universe import Universe


@dataclass(frozen=True)
class _Weight:
    """Label vectors of a kernel's two channel dimensions; several when the kernel is made of several parameters."""

    labels: Labelled
    firsts: tuple[Plane, ...]
    seconds: tuple[Plane, ...]

    @property
    def first(self) -> Plane | None:
        return self.firsts[0] if self.firsts else None

    @property
    def second(self) -> Plane | None:
        return self.seconds[0] if self.seconds else None


def convolution(
    universe: Universe,
    ledger: Ledger,
    x: Labelled,
    w: Labelled,
    bias: Labelled | None,
    groups: int,
    transposed: bool,
    shape: Sequence[int],
    pointwise: bool = False,
) -> Labelled:
    """Labels of the output. Units that are images of the batch (heads folded into it) pass; where one pixel is read and
    one written (``pointwise``), units that are positions pass too."""
    passing = _passing(universe, x, pointwise)
    universe.pin([p for p in w.planes if cover(p) not in ({0}, {1})], "it is a position inside the kernel")
    channels = [p.reshape(-1) for p in x.planes if cover(p) == {1}]
    incoming = channels[0] if channels else None
    for other in channels[1:]:  # heads and widths folded into one dimension: they cannot leave apart from here on
        universe.link(channels[0], other)
    weight = _Weight(
        w,
        tuple(p.reshape(-1) for p in w.planes if cover(p) == {0}),
        tuple(p.reshape(-1) for p in w.planes if cover(p) == {1}),
    )
    if groups == 1:
        outgoing = _plain(universe, ledger, incoming, weight, transposed)
    elif passing and incoming is None:
        universe.pin([*weight.firsts, *weight.seconds], "units that leave as a whole use all of it")
        outgoing = None
    else:
        outgoing = _grouped(universe, ledger, incoming, weight, groups, x.shape[1], shape[1], transposed)
    zero = w.zero
    if bias is not None and bias.planes:
        if outgoing is None:
            universe.pin(bias.planes, "its layer's outputs are not labelled")
        else:
            zero &= bias.zero
            universe.link(bias.planes[0].reshape(-1), outgoing)
    positions = {d: p for p in passing for d in cover(p)}
    pixels = x.shape if transposed else tuple(shape)
    space = prod(n for d, n in enumerate(pixels) if d != 1 and d not in positions)
    counts = tuple((p, 0) for p in (weight.first, weight.second) if p is not None)
    fixed = prod(n for n, p in zip(w.shape[:2], (weight.first, weight.second)) if p is None)
    ledger.products.append(
        Product(ledger.owner, space * prod(w.shape[2:]) * fixed, (*counts, *((p, d) for d, p in positions.items())))
    )
    planes = (line(outgoing, 1, len(shape)),) if outgoing is not None and len(outgoing) > 1 else ()
    if passing:
        zero &= x.zero and bias is None
    return Labelled(tuple(shape), (*planes, *passing), Origin.ACTIVATION, zero)


def _passing(universe: Universe, x: Labelled, pointwise: bool) -> list[Plane]:
    """Planes that the kernel does not mix; where they vary over the channels too, all channels leave together."""
    passing = []
    for plane in x.planes:
        beside = cover(plane) - {1}
        if beside and (pointwise or beside == {0}):
            passing.append(universe.tie(plane, [1]))
        elif beside:
            universe.pin([plane], "it is a position in space")
    return passing


def _plain(universe: Universe, ledger: Ledger, incoming: Plane | None, w: _Weight, transposed: bool) -> Plane | None:
    outer, inner = (w.seconds, w.firsts) if transposed else (w.firsts, w.seconds)
    if incoming is not None and inner:
        universe.link(incoming, inner[0])
        for plane in inner:
            ledger.consume(universe, plane, w.labels)
    else:
        universe.pin(inner, "it reads the network's input")
        universe.pin([] if incoming is None else [incoming], "the weight that reads it belongs to no layer")
    ledger.produced.extend(outer)
    return outer[0] if outer else None


def _grouped(
    universe: Universe,
    ledger: Ledger,
    incoming: Plane | None,
    w: _Weight,
    groups: int,
    channels_in: int,
    channels_out: int,
    transposed: bool,
) -> Plane | None:
    """Labels of the outputs of a grouped convolution.

    Each channel of a depthwise convolution follows its input. Otherwise two exact cuts exist: whole groups, or the same
    positions inside every group; the one with more units is taken.
    """
    per_in, per_out = channels_in // groups, channels_out // groups
    key = int(w.first[0]) if w.first is not None else -1
    if incoming is None:
        universe.pin([*w.firsts, *w.seconds], "it reads the network's input")
        return w.first if not transposed else None
    if per_in == 1 or groups > per_in:
        ledger.grouping[key] = "whole"
        universe.tie(incoming.reshape(groups, per_in), [1])
        universe.pin(w.seconds, "whole groups are removed here, not positions inside them")
        if w.first is None:
            return None
        blocks = w.first.reshape(groups, -1)
        universe.tie(blocks, [1])
        universe.link(blocks[:, 0], incoming.reshape(groups, per_in)[:, 0])
        return np.repeat(blocks[:, 0], per_out) if transposed else w.first
    ledger.grouping[key] = "inside"
    repeated = tuple(np.tile(p, groups) for p in w.seconds)
    inputs, outputs = (w.firsts, repeated) if transposed else (repeated, w.firsts)
    universe.tie(incoming.reshape(groups, per_in), [0])
    for plane in inputs:
        universe.link(incoming, plane)
        ledger.consume(universe, plane, w.labels)
    if not outputs:
        return None
    universe.tie(outputs[0].reshape(groups, per_out), [0])
    ledger.produced.extend(outputs)
    return outputs[0]
