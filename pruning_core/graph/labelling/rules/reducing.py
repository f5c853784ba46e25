"""Rules of reductions, normalisations and operators over space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from pruning_core.graph.labelling.labels import Labelled, Plane, cover, line
from pruning_core.graph.labelling.pointwise import elementwise as joined
from pruning_core.graph.labelling.rules.call import Call, Rule
from pruning_core.graph.labelling.universe import Universe


def normalised(universe: Universe, x: Labelled, dims: set[int], what: str) -> Labelled:
    """Values compared with each other along ``dims``: inexact over whole units, exact inside units that stay whole."""
    planes = []
    for plane in x.planes:
        over = cover(plane) & dims
        if over and over == cover(plane):
            universe.blur(plane, f"it is normalised over the channels ({what})")
        elif over:
            plane = universe.tie(plane, over)
        planes.append(plane)
    return replace(x.to(x.shape, planes), zero=False)


# -- reductions -------------------------------------------------------------------------------------------------------
def _dims(value: Any, rank: int) -> list[int]:
    if value is None or (isinstance(value, list | tuple) and not value):
        return list(range(rank))
    return [d % max(rank, 1) for d in ([value] if isinstance(value, int) else value)]


def _reduced(c: Call, dims: Sequence[int], keep: bool) -> Labelled:
    """Sums, means, norms, maxima: over whole units inexact once the result is used, inside a unit exact."""
    x = c.x
    planes, debts = [], []
    for plane in x.planes:
        over = set(dims) & cover(plane)
        if over and over == cover(plane):
            if c.name == "sum" and x.zero:  # a sum does not notice units that are silenced at their source
                c.ledger.both_active.append(plane)
            else:
                debts.append(c.universe.note(plane, "it is averaged or compared over the channels"))
            continue
        if over:
            plane = c.universe.tie(plane, over)
        planes.append(plane if keep else plane.reshape([n for d, n in enumerate(plane.shape) if d not in dims]))
    result = x.to(c.shape, planes)
    return replace(result, debts=tuple(debts), zero=x.zero and c.name not in ("logsumexp", "any", "all"))


def _reduce(position: int, keep_position: int) -> Rule:
    def rule(c: Call) -> Labelled | list[Labelled]:
        dims = _dims(c.arg(position, "dim"), len(c.x.shape))
        return c.for_each_output(_reduced(c, dims, bool(c.arg(keep_position, "keepdim", False))))

    return rule


def softmax(c: Call) -> Labelled:
    return normalised(c.universe, c.x, {c.args[1] % max(1, len(c.shape))}, "softmax")


def along(c: Call) -> Labelled | list[Labelled]:
    """Operators that run along one dimension (cumulative sums, sorting): that dimension keeps its size."""
    dim = c.arg(2 if c.name in ("topk", "kthvalue") else 1, "dim", -1)
    over = c.x.over(int(dim) % len(c.x.shape))
    c.universe.pin(over, "its order matters")
    rest = c.x.to(c.shape, [p for p in c.x.planes if not any(p is q for q in over)])
    return c.for_each_output(replace(rest, zero=False))


# -- normalisations ---------------------------------------------------------------------------------------------------
def batch_norm(c: Call) -> Labelled | list[Labelled]:
    x = c.x
    training = c.name != "_native_batch_norm_legit_no_training" and bool(c.args[5])
    planes = []
    for plane in x.planes:
        others = cover(plane) - {1}
        if others and 1 in cover(plane):
            plane = c.universe.tie(plane, others)
        elif others and training:
            c.universe.blur(plane, "its mean and variance are taken over the channels")
        planes.append(plane)
    zero = x.zero and all(cover(p) == {1} for p in planes)
    result = Labelled(x.shape, tuple(planes), x.origin, zero)
    over = result.over(1)
    for value in c.args[1:5]:
        if isinstance(value, Tensor):
            _per_channel(c, c.look(value), over)
    return c.with_extras(result)


def _per_channel(c: Call, value: Labelled, own: Sequence[Plane]) -> None:
    for labels in value.planes:
        if not own:
            c.universe.pin([labels], "its layer's inputs are not labelled")
        for plane in own:
            c.universe.link(line(labels.reshape(-1), 1, plane.ndim), plane)


def layer_norm(c: Call) -> Labelled | list[Labelled]:
    rank = len(c.x.shape)
    x = normalised(c.universe, c.x, set(range(rank - len(c.args[1]), rank)), "layer normalisation")
    return c.with_extras(joined(c.universe, [x, *(c.look(v) for v in c.args[2:4] if isinstance(v, Tensor))], x.shape))


def rms_norm(c: Call) -> Labelled | list[Labelled]:
    rank = len(c.x.shape)
    x = normalised(c.universe, c.x, set(range(rank - len(c.args[1]), rank)), "RMS normalisation")
    weights = [c.look(v) for v in c.args[2:3] if isinstance(v, Tensor)]
    return c.with_extras(joined(c.universe, [x, *weights], x.shape, zero=c.x.zero))


def group_norm(c: Call) -> Labelled | list[Labelled]:
    """Every group loses the same positions, so that the number of groups still divides the channels."""
    x = c.x
    channels, groups = x.shape[1], int(c.args[6])
    for plane in x.planes:
        if cover(plane) != {1}:
            c.universe.pin([plane], "it is a position in space")
        elif groups < channels:
            c.universe.blur(plane, "its mean and variance are taken over several channels (group normalisation)")
            c.universe.tie(plane.reshape(groups, channels // groups), [0])
    own = [p for p in x.planes if cover(p) == {1}]
    for value in c.args[1:3]:
        if isinstance(value, Tensor):
            _per_channel(c, c.look(value), own)
    return c.with_extras(x.to(x.shape, x.planes))


# -- over space -------------------------------------------------------------------------------------------------------
def spatial(c: Call) -> Labelled | list[Labelled]:
    """Pooling, resizing, reflecting: channels pass, positions do not."""
    rank = len(c.x.shape)
    ours = set(range(rank - next((n for n in (1, 2, 3) if f"{n}d" in c.name), 2)))
    c.universe.pin([p for p in c.x.planes if not cover(p) <= ours], "it is a position in space")
    return c.for_each_output(c.x.to(c.shape, [p for p in c.x.planes if cover(p) <= ours]))


def unpool(c: Call) -> Labelled:
    """Every channel is spread over the positions that its own channel of indices says: they leave together."""
    x, where = c.x, c.look(c.args[1])
    rank = len(x.shape)
    ours = set(range(rank - (3 if "3d" in c.name else 2)))
    c.universe.pin([p for p in (*x.planes, *where.planes) if not cover(p) <= ours], "it is a position in space")
    kept = [each.to(x.shape, [p for p in each.planes if cover(p) <= ours]) for each in (x, where)]
    return replace(joined(c.universe, kept, x.shape, zero=x.zero), shape=c.shape)


def largest_at(c: Call) -> Labelled:
    """Where the largest (or smallest) value stands, as a number: those positions stay."""
    dims = _dims(c.arg(1, "dim"), len(c.x.shape))
    c.universe.pin([p for p in c.x.planes if cover(p) & set(dims)], "its positions are counted")
    kept = c.x.to(c.x.shape, [p for p in c.x.planes if not cover(p) & set(dims)])
    if bool(c.arg(2, "keepdim", False)):
        return kept.to(c.shape, kept.planes)
    return kept.to(c.shape, [p.reshape([n for d, n in enumerate(p.shape) if d not in dims]) for p in kept.planes])


def grid_sample(c: Call) -> Labelled:
    c.universe.pin(c.look(c.args[1]).planes, "it is a coordinate in space")
    c.universe.pin([p for p in c.x.planes if cover(p) != {1}], "it is a position in space")
    return c.x.to(c.shape, [p for p in c.x.planes if cover(p) == {1}])


SPATIAL = ("pool1d", "pool2d", "pool3d", "upsample_", "reflection_pad", "replication_pad")

RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("mean", "sum", "amax", "amin", "max", "min", "nansum", "logsumexp", "prod", "any", "all"), _reduce(1, 2)
    ),
    **dict.fromkeys(("linalg_vector_norm", "norm"), _reduce(2, 3)),
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), _reduce(1, 3)),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), softmax),
    **dict.fromkeys(("cumsum", "cumprod", "sort", "topk", "argsort"), along),
    **dict.fromkeys(
        (
            "native_batch_norm",
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "_batch_norm_no_update",
            "cudnn_batch_norm",
        ),
        batch_norm,
    ),
    "native_layer_norm": layer_norm,
    "_fused_rms_norm": rms_norm,
    "rms_norm": rms_norm,
    "native_group_norm": group_norm,
    "max_unpool2d": unpool,
    "max_unpool3d": unpool,
    **dict.fromkeys(("argmax", "argmin"), largest_at),
    "grid_sampler_2d": grid_sample,
    "grid_sampler_3d": grid_sample,
}
