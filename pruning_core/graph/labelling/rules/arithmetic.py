"""Rules of operators that calculate position by position, and of products."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from pruning_core.graph.labelling.contract import product
from pruning_core.graph.labelling.convolution import convolution
from pruning_core.graph.labelling.labels import Labelled, Origin, cover
from pruning_core.graph.labelling.moves import sliced
from pruning_core.graph.labelling.pointwise import elementwise as joined
from pruning_core.graph.labelling.pointwise import lift
from pruning_core.graph.labelling.rules.call import Call, Rule
from pruning_core.graph.labelling.rules.reducing import normalised


# -- position by position ---------------------------------------------------------------------------------------------
def elementwise(c: Call) -> Labelled | list[Labelled]:
    operands = c.tensors()
    before = len(c.universe.edges)
    result = joined(c.universe, operands, c.shape, zero=_stays_zero(c, operands))
    if c.name.removesuffix("_") in ("add", "sub") and all(x.origin is Origin.ACTIVATION for x in operands):
        c.universe.sums += c.universe.edges[before:]
        del c.universe.edges[before:]
    elif c.name.removesuffix("_") == "mul":
        _begin(c, [lift(x, len(c.shape)) for x in operands])
    return c.with_extras(result)


def _begin(c: Call, operands: list[Labelled]) -> None:
    """A number of the data times a vector of weights: its channels begin here, as those of a table's columns do."""
    active = [x for x in operands if x.origin is Origin.ACTIVATION]
    wide = {d for x in active for d, n in enumerate(x.shape) if n > 1}
    planes = [p for x in operands if x.origin is Origin.PARAMETER for p in x.planes]
    if active:
        c.ledger.produced.extend(p for p in planes if not cover(p) & wide)


def many(c: Call) -> list[Labelled]:
    """A pointwise operator on lists: as if it were called on the first of each, on the second of each, ..."""
    lists = [[c.look(v) for v in value] for value in c.args if _is_list(value)]
    return [joined(c.universe, operands, operands[0].shape) for operands in zip(*lists)]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(v, Tensor) for v in value)


def _stays_zero(c: Call, operands: list[Labelled]) -> bool:
    """Whether the operator gives zero where its operands do: found by calling it on a few numbers."""
    which = _where_zero(operands, len(c.shape))
    if not which or not all(any(zeros) for zeros in which):
        return False
    plain = not c.kwargs and not any(isinstance(v, list | tuple | dict) for v in c.args)
    leaves, spec = (list(c.args), None) if plain else tree_flatten((c.args, c.kwargs))
    kinds = tuple(v.dtype if isinstance(v, Tensor) else repr(v) for v in leaves)
    return all(_zero_of(_Probe(c.op, kinds, zeros, leaves, spec)) for zeros in which)


def _where_zero(operands: list[Labelled], rank: int) -> set[tuple[bool, ...]]:
    """For the units of each plane, which operands are zero where they are silenced."""
    if len(operands) == 1:
        return {(operands[0].zero,)} if operands[0].planes else set()
    lifted = [lift(x, rank) for x in operands]
    covers = {cover(p) for x in lifted for p in x.planes}
    return {tuple(x.zero and any(cover(p) & dims for p in x.planes) for x in lifted) for dims in covers}


def glu(c: Call) -> Labelled:
    """The first half, gated by the second."""
    x = c.x
    dim = c.arg(1, "dim", -1) % len(x.shape)
    half = x.shape[dim] // 2
    first, second = (sliced(c.universe, x, c.shape, dim, piece) for piece in (slice(0, half), slice(half, None)))
    return joined(c.universe, [first, second], c.shape, zero=x.zero)


class _Probe:
    """An operator to try out; two of the same kind are equal, so that each kind is tried once."""

    def __init__(self, op: Any, kinds: tuple[Any, ...], zeros: tuple[bool, ...], leaves: list[Any], spec: Any) -> None:
        self.op, self.zeros, self.leaves, self.spec = op, zeros, leaves, spec
        self.key = (op, kinds, zeros)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Probe) and self.key == other.key


@lru_cache(maxsize=4096)
def _zero_of(probe: _Probe) -> bool:
    zeros = iter(probe.zeros)
    values = torch.tensor([0.6, -1.3, 2.1, 0.9])

    def stand_in(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return (
            torch.zeros(4, dtype=value.dtype)
            if next(zeros)
            else (values > 0 if value.dtype == torch.bool else values.to(value.dtype))
        )

    tried, probe.leaves = (
        [stand_in(v) for v in probe.leaves],
        [],
    )  # the cache keeps the probe, not the network's tensors
    args, kwargs = (tried, {}) if probe.spec is None else tree_unflatten(tried, probe.spec)
    try:
        out = probe.op(*args, **kwargs)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
        return False
    return isinstance(out, Tensor) and not bool(torch.count_nonzero(out))


def weight_norm(c: Call) -> Labelled | list[Labelled]:
    """``g * v / |v|``: the length is taken over every dimension but one."""
    v, g = c.x, c.look(c.args[1])
    free = c.arg(2, "dim", 0)
    for plane in v.planes:
        if cover(plane) != {free}:
            c.universe.blur(plane, "the weight is normalised over it (weight normalisation)")
    return c.with_extras(joined(c.universe, [v, g], c.shape, zero=v.zero))


# -- products ---------------------------------------------------------------------------------------------------------
def _times(c: Call, x: Any, xs: str, y: Any, ys: str, out: str) -> Labelled:
    return product(c.universe, c.ledger, c.look(x), xs, c.look(y), ys, out, c.shape)


def _plus(c: Call, result: Labelled, bias: Labelled) -> Labelled:
    return joined(c.universe, [result, bias], c.shape, zero=result.zero and (bias.zero or not bias.planes))


def mm(c: Call) -> Labelled:
    return _times(c, c.args[0], "mk", c.args[1], "kn", "mn")


def bmm(c: Call) -> Labelled:
    return _times(c, c.args[0], "bmk", c.args[1], "bkn", "bmn")


def addmm(c: Call) -> Labelled:
    return _plus(c, _times(c, c.args[1], "mk", c.args[2], "kn", "mn"), c.x)


def baddbmm(c: Call) -> Labelled:
    return _plus(c, _times(c, c.args[1], "bmk", c.args[2], "bkn", "bmn"), c.x)


def mv(c: Call) -> Labelled:
    return _times(c, c.args[0], "mk", c.args[1], "k", "m")


def addmv(c: Call) -> Labelled:
    return _plus(c, _times(c, c.args[1], "mk", c.args[2], "k", "m"), c.x)


def dot(c: Call) -> Labelled:
    return _times(c, c.args[0], "k", c.args[1], "k", "")


def linear(c: Call) -> Labelled:
    batch = "abcdefgh"[: len(c.x.shape) - 1]
    result = _times(c, c.args[0], batch + "k", c.args[1], "nk", batch + "n")
    bias = c.arg(2, "bias")
    return result if bias is None else _plus(c, result, c.look(bias))


def convolve(c: Call) -> Labelled:
    bias = c.args[2]
    kernel, (stride, padding) = c.args[1].shape[2:], c.args[3:5]
    return convolution(
        c.universe,
        c.ledger,
        c.x,
        c.look(c.args[1]),
        None if bias is None else c.look(bias),
        int(c.args[8]),
        bool(c.args[6]),
        c.shape,
        pointwise=set(kernel) <= {1} and set(stride) <= {1} and not any(padding),
    )


def embedding(c: Call) -> Labelled:
    w = c.look(c.args[0])
    c.universe.pin(w.over(0), "its rows are looked up by index")
    extra = len(c.shape) - 1
    planes = tuple(p.reshape((1,) * extra + (-1,)) for p in w.planes if cover(p) == {1})
    c.ledger.produced.extend(planes)
    return Labelled(c.shape, planes, Origin.ACTIVATION, w.zero)


def attention(c: Call) -> Labelled | list[Labelled]:
    """Scaled dot-product attention over (batch, heads, tokens, width): heads leave as a whole.

    With a single head the positions of its width are free, for the keys and for the values.
    """
    q, k, v = (c.look(a) for a in c.args[:3])
    k, v = _for_every_head(k, q), _for_every_head(v, q)
    last = len(q.shape) - 1
    names = "abcdefgh"[: last - 1]
    for t in (q, k, v):
        c.universe.pin([p for p in t.planes if last - 1 in cover(p)], "it is a position in the sequence")
    scores = product(c.universe, c.ledger, q, names + "qd", k, names + "kd", names + "qk", (*q.shape[:-1], k.shape[-2]))
    bias = c.arg(3, "attn_bias") if "efficient" in c.name else c.kwargs.get("attn_mask")
    if isinstance(bias, Tensor):
        scores = joined(c.universe, [scores, c.look(bias)], scores.shape)
    scores = normalised(c.universe, scores, {last}, "softmax")
    result = product(c.universe, c.ledger, scores, names + "qk", v, names + "kd", names + "qd", c.shape)
    return c.with_extras(result)


def _for_every_head(shared: Labelled, q: Labelled) -> Labelled:
    """Keys or values that several heads next to each other share (grouped queries), once for each of them."""
    axis = len(shared.shape) - 3
    heads = q.shape[axis] if axis >= 0 else 1
    if axis < 0 or shared.shape[axis] in (1, heads):
        return shared
    times = heads // shared.shape[axis]
    planes = tuple(np.repeat(p, times, axis) if p.shape[axis] > 1 else p for p in shared.planes)
    return replace(shared, shape=(*shared.shape[:axis], heads, *shared.shape[axis + 1 :]), planes=planes)


def trilinear(c: Call) -> Labelled:
    """``sum over some letters of x*y*z``, each operand lacking some of the letters (`F.bilinear`)."""
    operands = [c.look(a) for a in c.args[:3]]
    rank = len(operands[0].shape) + len(c.args[3])
    letters = "abcdefgh"[:rank]
    x, y, z = ["".join(s for d, s in enumerate(letters) if d not in missing) for missing in c.args[3:6]]
    out = "".join(s for d, s in enumerate(letters) if d not in c.args[6])
    middle = "".join(s for s in letters if s in x + y and s in out + z)
    sizes = {s: n for names, operand in zip((x, y, z), operands) for s, n in zip(names, operand.shape)}
    counted = len(c.ledger.products)
    first = product(c.universe, c.ledger, operands[0], x, operands[1], y, middle, [sizes[s] for s in middle])
    result = product(c.universe, c.ledger, first, middle, operands[2], z, out, c.shape)
    del c.ledger.products[counted:]  # PyTorch's counter does not count this operator, nor do we
    return result


RULES: dict[str, Rule] = {
    "glu": glu,
    "_weight_norm_interface": weight_norm,
    "embedding": embedding,
    "mm": mm,
    "bmm": bmm,
    "addmm": addmm,
    "baddbmm": baddbmm,
    "mv": mv,
    "addmv": addmv,
    "dot": dot,
    "vdot": dot,
    "linear": linear,
    "convolution": convolve,
    "_convolution": convolve,
    "_trilinear": trilinear,
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_attention_math",
        ),
        attention,
    ),
}
MANY = frozenset(
    {"add", "addcdiv", "addcmul", "clamp_max", "clamp_min", "copy", "div", "lerp", "mul", "neg", "sqrt", "sub", "zero"}
)  # of these there is one on lists
UNTAGGED_POINTWISE = frozenset({"hardswish", "hardswish_", "_prelu_kernel", "prelu", "copy_", "where", "masked_fill"})
