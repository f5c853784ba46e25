"""What each ATen operator does to labels. An operator without a rule pins what it reads: never guess."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.graph import moves
from pruning_core.graph.contract import Ledger, convolution, elementwise, product
from pruning_core.graph.labels import Labelled, Origin, Plane, Universe, cover, line


@dataclass(frozen=True)
class Call:
    """One operator as it ran: ``args`` hold real tensors, ``look`` gives their labels."""

    op: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    look: Callable[[Any], Labelled]
    universe: Universe
    ledger: Ledger

    def arg(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    @property
    def shape(self) -> tuple[int, ...]:
        out = self.out[0] if isinstance(self.out, tuple | list) else self.out
        return tuple(out.shape)

    @property
    def x(self) -> Labelled:
        return self.look(self.args[0])

    def tensors(self) -> list[Labelled]:
        leaves = torch.utils._pytree.tree_leaves((self.args, self.kwargs))
        return [self.look(v) for v in leaves if isinstance(v, Tensor)]


Rule = Callable[[Call], Labelled | list[Labelled]]


def _bare(value: Any) -> Labelled:
    return Labelled(tuple(value.shape), (), Origin.ACTIVATION)


def _with_extras(c: Call, first: Labelled) -> Labelled | list[Labelled]:
    """The first of several outputs carries the labels; the others (statistics, masks) carry none."""
    if isinstance(c.out, tuple | list):
        return [first, *(_bare(v) for v in c.out[1:] if isinstance(v, Tensor))]
    return first


# -- moving data ------------------------------------------------------------------------------------------------------
def _view(c: Call) -> Labelled:
    return moves.viewed(c.universe, c.x, c.shape)


def _same(c: Call) -> Labelled | list[Labelled]:
    return _with_extras(c, c.x)


def _as_strided(c: Call) -> Labelled:
    if tuple(c.x.shape) == c.shape:
        return c.x
    return _unknown(c)


def _transpose(c: Call) -> Labelled:
    return moves.swapped(c.x, c.args[1], c.args[2])


def _squeeze(c: Call) -> Labelled:
    x = c.x
    given = c.arg(1, "dim")
    dims = range(len(x.shape)) if given is None else [given] if isinstance(given, int) else given
    gone = {d % len(x.shape) for d in dims if x.shape and x.shape[d] == 1}
    return moves.reshaped_planes(x, c.shape, lambda p: p.reshape([n for d, n in enumerate(p.shape) if d not in gone]))


def _unsqueeze(c: Call) -> Labelled:
    dim = c.args[1] % len(c.shape)
    return moves.reshaped_planes(c.x, c.shape, lambda p: np.expand_dims(p, dim))


def _expand(c: Call) -> Labelled:
    return moves.expanded_to(c.x, c.shape)


def _slice(c: Call) -> Labelled:
    piece = slice(c.arg(2, "start"), c.arg(3, "end"), c.arg(4, "step", 1))
    return moves.sliced(c.x, c.shape, c.arg(1, "dim", 0), piece)


def _select(c: Call) -> Labelled:
    return moves.sliced(c.x, c.shape, c.args[1], int(c.args[2]))


def _split(c: Call) -> list[Labelled]:
    dim = c.arg(2, "dim", 0)
    parts, start = [], 0
    for piece in c.out:
        size = piece.shape[dim]
        parts.append(moves.sliced(c.x, piece.shape, dim, slice(start, start + size)))
        start += size
    return parts


def _unbind(c: Call) -> list[Labelled]:
    dim = c.arg(1, "dim", 0)
    return [moves.sliced(c.x, piece.shape, dim, i) for i, piece in enumerate(c.out)]


def _cat(c: Call) -> Labelled:
    return moves.concatenated(c.universe, [c.look(t) for t in c.args[0]], c.shape, c.arg(1, "dim", 0))


def _stack(c: Call) -> Labelled:
    dim = c.arg(1, "dim", 0) % len(c.shape)
    parts = [c.look(t) for t in c.args[0]]
    lifted = [moves.reshaped_planes(p, (*p.shape[:dim], 1, *p.shape[dim:]), lambda q: np.expand_dims(q, dim)) for p in parts]
    return moves.concatenated(c.universe, lifted, c.shape, dim)


def _pad(c: Call) -> Labelled:
    return moves.padded(c.universe, c.x, c.shape, c.args[1])


def _roll(c: Call) -> Labelled:
    dims = c.arg(2, "dims", [])
    dims = [dims] if isinstance(dims, int) else dims
    if not dims:
        return _unknown(c)
    for d in dims:
        c.universe.pin(c.x.over(d % len(c.shape)), "its positions are rotated")
    return c.x


def _index(c: Call) -> Labelled:
    """Advanced indexing by constants: one indexed dimension moves labels, the rest is pinned."""
    x, indices = c.x, c.args[1]
    used = [d for d, i in enumerate(indices) if i is not None]
    constant = all(not c.look(indices[d]).planes and indices[d].dtype != torch.bool for d in used)
    if len(used) == 1 and constant and indices[used[0]].dim() == 1:
        d, index = used[0], indices[used[0]].cpu().numpy()
        return moves.reshaped_planes(x, c.shape, lambda p: p.take(index, axis=d) if p.shape[d] > 1 else p)
    if constant and used and used == list(range(used[0], used[-1] + 1)):
        rank = max(indices[d].dim() for d in used)

        def drop(p: Plane) -> Plane:
            return p.reshape(p.shape[:used[0]] + (1,) * rank + p.shape[used[-1] + 1:])

        free = [p for p in x.planes if not cover(p) & set(used)]
        c.universe.pin([p for p in x.planes if cover(p) & set(used)], "its positions are looked up in a table")
        return moves.reshaped_planes(Labelled(x.shape, tuple(free), x.origin), c.shape, drop)
    return _unknown(c)


def _index_select(c: Call) -> Labelled:
    d, index = c.args[1] % len(c.shape), c.args[2].cpu().numpy()
    return moves.reshaped_planes(c.x, c.shape, lambda p: p.take(index, axis=d) if p.shape[d] > 1 else p)


def _moved(c: Call) -> Labelled:
    return moves.moved(c.universe, c.x, lambda t: c.op(t, *c.args[1:], **c.kwargs))


def _pixel_shuffle(c: Call) -> Labelled:
    """The r*r channels that become one channel's neighbours in space stay together."""
    r, x = int(c.args[1]), c.x
    planes = []
    for p in x.planes:
        if cover(p) != {1}:
            c.universe.pin([p], "it is a position in space")
            continue
        blocks = p.reshape(-1, r * r)
        c.universe.tie(blocks, [1])
        planes.append(line(blocks[:, 0], 1, len(c.shape)))
    return Labelled(c.shape, tuple(p for p in planes if p.size > 1), x.origin)


def _filled(c: Call) -> Labelled:
    """A tensor of one repeated value can have any size: labels of its own."""
    return c.universe.fresh_tensor(c.shape, Origin.CONSTANT)


def _embedding(c: Call) -> Labelled:
    w = c.look(c.args[0])
    c.universe.pin(w.over(0), "its rows are looked up by index")
    extra = len(c.shape) - 1
    planes = tuple(p.reshape((1,) * extra + (-1,)) for p in w.planes if cover(p) == {1})
    c.ledger.produced.extend(planes)
    return Labelled(c.shape, planes, Origin.ACTIVATION)


# -- arithmetic -------------------------------------------------------------------------------------------------------
def _elementwise(c: Call) -> Labelled | list[Labelled]:
    return _with_extras(c, elementwise(c.universe, c.tensors(), c.shape))


def _mm(c: Call) -> Labelled:
    return product(c.universe, c.ledger, c.x, "mk", c.look(c.args[1]), "kn", "mn", c.shape)


def _bmm(c: Call) -> Labelled:
    return product(c.universe, c.ledger, c.x, "bmk", c.look(c.args[1]), "bkn", "bmn", c.shape)


def _plus(c: Call, result: Labelled) -> Labelled:
    return elementwise(c.universe, [result, c.x], c.shape)


def _addmm(c: Call) -> Labelled:
    return _plus(c, product(c.universe, c.ledger, c.look(c.args[1]), "mk", c.look(c.args[2]), "kn", "mn", c.shape))


def _baddbmm(c: Call) -> Labelled:
    return _plus(c, product(c.universe, c.ledger, c.look(c.args[1]), "bmk", c.look(c.args[2]), "bkn", "bmn", c.shape))


def _mv(c: Call) -> Labelled:
    return product(c.universe, c.ledger, c.x, "mk", c.look(c.args[1]), "k", "m", c.shape)


def _dot(c: Call) -> Labelled:
    return product(c.universe, c.ledger, c.x, "k", c.look(c.args[1]), "k", "", c.shape)


def _linear(c: Call) -> Labelled:
    batch = "abcdefgh"[: len(c.x.shape) - 1]
    result = product(c.universe, c.ledger, c.x, batch + "k", c.look(c.args[1]), "nk", batch + "n", c.shape)
    bias = c.arg(2, "bias")
    return result if bias is None else elementwise(c.universe, [result, c.look(bias)], c.shape)


def _convolution(c: Call) -> Labelled:
    bias = c.args[2]
    return convolution(c.universe, c.ledger, c.x, c.look(c.args[1]), None if bias is None else c.look(bias),
                       int(c.args[8]), bool(c.args[6]), c.shape)


def _attention(c: Call) -> Labelled | list[Labelled]:
    """Scaled dot-product attention over (batch, heads, tokens, width): whole heads are units."""
    q, k, v = (c.look(a) for a in c.args[:3])
    last = len(q.shape) - 1
    names = "abcdefgh"[: last - 1]
    for t in (q, k, v):
        for p in t.planes:
            if last - 1 in cover(p):
                c.universe.pin([p], "it is a position in the sequence")
    scores = product(c.universe, c.ledger, q, names + "qd", k, names + "kd", names + "qk", (*q.shape[:-1], k.shape[-2]))
    bias = c.arg(3, "attn_bias") if "efficient" in c.name else c.kwargs.get("attn_mask")
    if isinstance(bias, Tensor):
        scores = elementwise(c.universe, [scores, c.look(bias)], scores.shape)
    _softmax_over(c, scores, last)
    if len(names) > 1:  # heads: the width inside a head cannot differ between heads
        for t in (q, k, v):
            for p in t.planes:
                if last in cover(p):
                    c.universe.tie(p, [last])
    return _with_extras(c, product(c.universe, c.ledger, scores, names + "qk", v, names + "kd", names + "qd", c.shape))


def _trilinear(c: Call) -> Labelled:
    for t in c.tensors():
        c.universe.pin([p for p in t.planes], "it enters a product of three tensors")
    return _bare(c.out)


# -- reductions and normalisations ------------------------------------------------------------------------------------
def _dims(value: Any, rank: int) -> list[int]:
    if value is None or (isinstance(value, list | tuple) and not value):
        return list(range(rank))
    return [d % rank for d in ([value] if isinstance(value, int) else value)]


def _reduced(c: Call, x: Labelled, dims: Sequence[int], keep: bool, shape: Sequence[int]) -> Labelled:
    """Sums, means, norms, maxima: over whole units inexact, inside a unit exact once it is tied."""
    planes = []
    for plane in x.planes:
        over = [d for d in dims if plane.shape[d] > 1]
        if over:
            if cover(plane) == set(over):
                c.universe.blur(plane, "it is averaged or summed over the channels")
            c.universe.tie(plane, over)
            plane = plane[tuple(slice(0, 1) if d in over else slice(None) for d in range(plane.ndim))]
        if not keep:
            plane = plane.reshape([n for d, n in enumerate(plane.shape) if d not in dims])
        if plane.size > 1:
            planes.append(plane)
    return Labelled(tuple(shape), tuple(planes), x.origin)


def _reduce(position: int, keep_position: int) -> Rule:
    def rule(c: Call) -> Labelled | list[Labelled]:
        x = c.x
        dims = _dims(c.arg(position, "dim"), len(x.shape))
        result = _reduced(c, x, dims, bool(c.arg(keep_position, "keepdim", False)), c.shape)
        return [result] * len(c.out) if isinstance(c.out, tuple | list) else result

    return rule


def _softmax_over(c: Call, x: Labelled, dim: int) -> None:
    for plane in x.over(dim % len(x.shape)):
        if cover(plane) == {dim % len(x.shape)}:
            c.universe.blur(plane, "it is normalised over the channels (softmax)")
        else:
            c.universe.tie(plane, [dim % len(x.shape)])


def _softmax(c: Call) -> Labelled:
    _softmax_over(c, c.x, c.args[1])
    return c.x


def _along(c: Call) -> Labelled | list[Labelled]:
    """Operators that run along one dimension (cumulative sums, sorting): that dimension keeps its size."""
    dim = c.arg(1, "dim", -1) if c.name not in ("topk", "kthvalue") else c.arg(2, "dim", -1)
    rank = len(c.x.shape)
    pinned = c.x.over(int(dim) % rank)
    c.universe.pin(pinned, "its order matters")
    rest = Labelled(c.shape, tuple(p for p in c.x.planes if not any(p is q for q in pinned)), c.x.origin)
    return [rest] * len(c.out) if isinstance(c.out, tuple | list) else rest


def _batch_norm(c: Call) -> Labelled | list[Labelled]:
    x = c.x
    training = c.name != "_native_batch_norm_legit_no_training" and bool(c.args[5])
    own = x.over(1)
    for plane in x.planes:
        others = cover(plane) - {1}
        if others and 1 in cover(plane):
            c.universe.tie(plane, others)
        elif others and training:
            c.universe.blur(plane, "its mean and variance are taken over the channels")
    for value in c.args[1:5]:
        if isinstance(value, Tensor):
            for plane in c.look(value).planes:
                _per_channel(c, plane.reshape(-1), own)
    return _with_extras(c, x)


def _per_channel(c: Call, labels: Plane, own: Sequence[Plane]) -> None:
    if not own:
        c.universe.pin([labels], "its layer's inputs are not labelled")
    for plane in own:
        c.universe.link(line(labels, 1, plane.ndim), plane)


def _layer_norm(c: Call) -> Labelled | list[Labelled]:
    x, rank = c.x, len(c.x.shape)
    normalised = range(rank - len(c.args[1]), rank)
    for plane in x.planes:
        if cover(plane) & set(normalised):
            c.universe.blur(plane, "its mean and variance are taken over the channels (layer normalisation)")
    result = elementwise(c.universe, [x, *(c.look(v) for v in c.args[2:4] if isinstance(v, Tensor))], x.shape)
    return _with_extras(c, result)


def _rms_norm(c: Call) -> Labelled | list[Labelled]:
    x, rank = c.x, len(c.x.shape)
    for plane in x.planes:
        if cover(plane) & set(range(rank - len(c.args[1]), rank)):
            c.universe.blur(plane, "its mean square is taken over the channels (RMS normalisation)")
    weights = [c.look(v) for v in c.args[2:3] if isinstance(v, Tensor)]
    return _with_extras(c, elementwise(c.universe, [x, *weights], x.shape))


def _group_norm(c: Call) -> Labelled | list[Labelled]:
    """Every group loses the same positions, so that the number of groups still divides the channels."""
    x = c.x
    channels, groups = x.shape[1], int(c.args[6])
    for plane in x.planes:
        if cover(plane) != {1}:
            c.universe.pin([plane], "it is a position in space")
        elif groups < channels:
            c.universe.blur(plane, "its mean and variance are taken over several channels (group normalisation)")
            c.universe.tie(plane.reshape(groups, channels // groups), [0])
    for value in c.args[1:3]:
        if isinstance(value, Tensor):
            for plane in c.look(value).planes:
                _per_channel(c, plane.reshape(-1), [p for p in x.planes if cover(p) == {1}])
    return _with_extras(c, x)


def _spatial(c: Call) -> Labelled | list[Labelled]:
    """Pooling, resizing, reflecting: channels pass, positions do not."""
    rank = len(c.x.shape)
    kept = []
    for plane in c.x.planes:
        if cover(plane) <= set(range(rank - _spatial_rank(c))):
            kept.append(plane)
        else:
            c.universe.pin([plane], "it is a position in space")
    result = Labelled(c.shape, tuple(kept), Origin.ACTIVATION)
    return [result] * len(c.out) if isinstance(c.out, tuple | list) else result


def _spatial_rank(c: Call) -> int:
    return next((n for n in (1, 2, 3) if f"{n}d" in c.name), 2)


def _unknown(c: Call) -> Labelled | list[Labelled]:
    for x in c.tensors():
        c.universe.pin(x.planes, "no rule describes this operator")
    outputs = c.out if isinstance(c.out, tuple | list) else [c.out]
    bare = [_bare(v) for v in outputs if isinstance(v, Tensor)]
    return bare if isinstance(c.out, tuple | list) else (bare[0] if bare else Labelled(()))


RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten"), _view),
    **dict.fromkeys(("clone", "detach", "alias", "contiguous", "lift_fresh", "lift_fresh_copy", "_to_copy", "to",
                     "native_dropout", "bernoulli_", "fill_", "zero_", "dropout", "view_as_real"), _same),
    **dict.fromkeys(("as_strided", "as_strided_"), _as_strided),
    "permute": lambda c: moves.permuted(c.x, c.args[1]),
    "transpose": _transpose, "t": lambda c: moves.swapped(c.x, 0, 1) if len(c.x.shape) == 2 else c.x,
    "squeeze": _squeeze, "squeeze_": _squeeze, "unsqueeze": _unsqueeze, "unsqueeze_": _unsqueeze, "expand": _expand,
    "slice": _slice, "select": _select, "unbind": _unbind, "cat": _cat, "stack": _stack,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split"), _split),
    "constant_pad_nd": _pad, "roll": _roll, "index": _index, "index_select": _index_select,
    **dict.fromkeys(("repeat", "flip", "tile", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "unfold",
                     "repeat_interleave", "rot90", "movedim"), _moved),
    "pixel_shuffle": _pixel_shuffle,
    **dict.fromkeys(("zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
                     "new_empty", "empty", "empty_like", "scalar_tensor"), _filled),
    "embedding": _embedding,
    "mm": _mm, "bmm": _bmm, "addmm": _addmm, "baddbmm": _baddbmm, "mv": _mv, "dot": _dot, "linear": _linear,
    "convolution": _convolution, "_convolution": _convolution, "_trilinear": _trilinear,
    **dict.fromkeys(("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
                     "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
                     "_scaled_dot_product_attention_math"), _attention),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "nansum", "logsumexp"), _reduce(1, 2)),
    "linalg_vector_norm": _reduce(2, 3), "norm": _reduce(2, 3), "var": _reduce(1, 3), "std": _reduce(1, 3),
    "var_mean": _reduce(1, 3),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), _softmax),
    **dict.fromkeys(("cumsum", "cumprod", "sort", "topk", "argsort"), _along),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
                     "_batch_norm_no_update", "cudnn_batch_norm"), _batch_norm),
    "native_layer_norm": _layer_norm, "_fused_rms_norm": _rms_norm, "rms_norm": _rms_norm, "native_group_norm": _group_norm,
}

UNTAGGED_POINTWISE = frozenset({"hardswish", "hardswish_", "_prelu_kernel", "prelu", "copy_", "where", "masked_fill"})
SPATIAL = ("pool1d", "pool2d", "pool3d", "upsample_", "reflection_pad", "replication_pad")

def rule_for(op: Any, name: str) -> Rule:
    if name in RULES:
        return RULES[name]
    if any(part in name for part in SPATIAL):
        return _spatial
    if torch.Tag.pointwise in op.tags or name in UNTAGGED_POINTWISE:
        return _elementwise
    return _unknown
