"""Rules of operators that move data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pruning_core.graph.labelling import moves
from pruning_core.graph.labelling.labels import Labelled, Origin, Plane, cover, line
from pruning_core.graph.labelling.pointwise import elementwise as joined
from pruning_core.graph.labelling.rules.call import BY_DATA, Call, Rule, unknown_one


def view(c: Call) -> Labelled:
    return moves.viewed(c.universe, c.x, c.shape)


def same(c: Call) -> Labelled | list[Labelled]:
    return c.with_extras(c.x.to(c.shape, c.x.planes))


def overwritten(c: Call) -> Labelled:
    """The shape stays, the values do not."""
    return replace(c.x, zero=c.name == "zero_")


def as_strided(c: Call) -> Labelled:
    return c.x if tuple(c.x.shape) == c.shape else unknown_one(c)


def permute(c: Call) -> Labelled:
    return moves.permuted(c.x, c.args[1])


def transpose(c: Call) -> Labelled:
    return moves.swapped(c.x, c.args[1], c.args[2])


def t(c: Call) -> Labelled:
    return moves.swapped(c.x, 0, 1) if len(c.x.shape) == 2 else c.x


def squeeze(c: Call) -> Labelled:
    x = c.x
    given = c.arg(1, "dim")
    dims = range(len(x.shape)) if given is None else [given] if isinstance(given, int) else given
    gone = {d % len(x.shape) for d in dims if x.shape and x.shape[d] == 1}
    return moves.each_plane(x, c.shape, lambda p: p.reshape([n for d, n in enumerate(p.shape) if d not in gone]))


def unsqueeze(c: Call) -> Labelled:
    dim = c.args[1] % len(c.shape)
    return moves.each_plane(c.x, c.shape, lambda p: np.expand_dims(p, dim))


def expand(c: Call) -> Labelled:
    return moves.expanded_to(c.universe, c.x, c.shape)


def slice_(c: Call) -> Labelled:
    piece = slice(c.arg(2, "start"), c.arg(3, "end"), c.arg(4, "step", 1))
    return moves.sliced(c.universe, c.x, c.shape, c.arg(1, "dim", 0), piece)


def select(c: Call) -> Labelled:
    return moves.sliced(c.universe, c.x, c.shape, c.args[1], int(c.args[2]))


def split(c: Call) -> list[Labelled]:
    dim = c.arg(2, "dim", 0)
    parts, start = [], 0
    for piece in c.out:
        size = piece.shape[dim]
        parts.append(moves.sliced(c.universe, c.x, piece.shape, dim, slice(start, start + size)))
        start += size
    return parts


def unbind(c: Call) -> list[Labelled]:
    dim = c.arg(1, "dim", 0)
    return [moves.sliced(c.universe, c.x, piece.shape, dim, i) for i, piece in enumerate(c.out)]


def cat(c: Call) -> Labelled:
    return moves.concatenated(c.universe, [c.look(t) for t in c.args[0]], c.shape, c.arg(1, "dim", 0))


def stack(c: Call) -> Labelled:
    dim = c.arg(1, "dim", 0) % len(c.shape)
    parts = [c.look(t) for t in c.args[0]]
    lifted = [moves.each_plane(p, (*p.shape[:dim], 1, *p.shape[dim:]), lambda q: np.expand_dims(q, dim)) for p in parts]
    return moves.concatenated(c.universe, lifted, c.shape, dim)


def pad(c: Call) -> Labelled:
    result = moves.padded(c.universe, c.x, c.shape, c.args[1])
    return result if c.arg(2, "value", 0) == 0 else replace(result, zero=False)


def roll(c: Call) -> Labelled:
    dims = c.arg(2, "dims", [])
    dims = [dims] if isinstance(dims, int) else dims
    if not dims:
        return unknown_one(c)
    for d in dims:
        c.universe.pin(c.x.over(d % len(c.shape)), "its positions are rotated")
    return c.x


def index(c: Call) -> Labelled:
    """Advanced indexing: by one list of constants labels move; else what is indexed stays, and the rest passes."""
    x, indices = c.x, c.args[1]
    used = [d for d, i in enumerate(indices) if i is not None]
    by_data = any(c.follows_data(indices[d]) for d in used)
    if any(indices[d].dtype == torch.bool for d in used):
        (mask, *more) = (indices[d] for d in used)
        if by_data or more or mask.dim() > 1 or c.look(mask).planes:
            return unknown_one(c)
        return _taken(c, used[0], mask.nonzero())
    constant = not by_data and all(c.look(indices[d]).origin is Origin.CONSTANT for d in used)
    if constant:  # a table of positions that the network's code computes stays as long as it is
        c.universe.pin([p for d in used for p in c.look(indices[d]).planes], "its positions are looked up in a table")
    if len(used) == 1 and constant and indices[used[0]].dim() == 1:
        return _taken(c, used[0], indices[used[0]])
    if (by_data or constant) and used and used == list(range(used[0], used[-1] + 1)):
        rank = max(indices[d].dim() for d in used)

        def drop(p: Plane) -> Plane:
            return p.reshape(p.shape[: used[0]] + (1,) * rank + p.shape[used[-1] + 1 :])

        free = [p for p in x.planes if not cover(p) & set(used)]
        met = [*(p for p in x.planes if cover(p) & set(used)), *(p for d in used for p in c.look(indices[d]).planes)]
        c.universe.pin(met, BY_DATA if by_data else "its positions are looked up in a table")
        result = moves.each_plane(x.to(x.shape, free), c.shape, drop)
        return _chosen(c, result) if by_data else result
    return unknown_one(c)


def _chosen(c: Call, result: Labelled) -> Labelled:
    """What the data choose is an activation; channels that a weight gives to it begin here, as an embedding's do."""
    if c.x.origin is Origin.PARAMETER:
        c.ledger.produced.extend(result.planes)
    return replace(result, origin=Origin.ACTIVATION)


def index_select(c: Call) -> Labelled:
    dim = c.args[1] % max(1, len(c.shape))
    if not c.follows_data(c.args[2]):
        return _taken(c, dim, c.args[2])
    c.universe.pin([*c.x.over(dim), *c.look(c.args[2]).planes], BY_DATA)
    return _chosen(c, c.x.to(c.shape, [p for p in c.x.planes if p.shape[dim] == 1]))


def gather(c: Call) -> Labelled:
    """Along one dimension positions are chosen; along every other both have as many."""
    x, chosen = c.x, c.look(c.args[2])
    dim = c.args[1] % max(1, len(c.shape))
    if len(x.shape) != len(chosen.shape) or any(x.shape[d] != n for d, n in enumerate(c.shape) if d != dim):
        return unknown_one(c)
    by_data = c.follows_data(c.args[2])
    c.universe.pin([*x.over(dim), *chosen.over(dim)], BY_DATA if by_data else "it is looked up")
    parts = [each.to(c.shape, [p for p in each.planes if p.shape[dim] == 1]) for each in (x, chosen)]
    result = joined(c.universe, parts, c.shape, zero=x.zero)
    return _chosen(c, result) if by_data else result


def _taken(c: Call, dim: int, index: Tensor) -> Labelled:
    places = index.reshape(-1).cpu().numpy()
    return moves.picked(c.universe, c.x, c.shape, lambda p: p.take(places, axis=dim) if p.shape[dim] > 1 else p)


def moved(c: Call) -> Labelled:
    return moves.moved(c.universe, c.x, lambda t: c.op(t, *c.args[1:], **c.kwargs))


def pixel_shuffle(c: Call) -> Labelled:
    """The r*r channels that become one channel's neighbours in space stay together."""
    return _channels_to_positions(c, int(c.args[1]) ** 2)


def col2im(c: Call) -> Labelled:
    """Overlapping patches are added up: the k*k rows of one channel stay together."""
    kernel = c.args[2]
    return _channels_to_positions(c, kernel[0] * kernel[1])


def _channels_to_positions(c: Call, count: int) -> Labelled:
    planes = []
    for p in c.x.planes:
        if cover(p) != {1}:
            c.universe.pin([p], "it is a position in space")
            continue
        blocks = p.reshape(-1, count)
        c.universe.tie(blocks, [1])
        planes.append(line(blocks[:, 0], 1, len(c.shape)))
    return c.x.to(c.shape, [p for p in planes if p.size > 1])


def im2col(c: Call) -> Labelled:
    """Patches: every channel becomes k*k rows."""
    kernel = c.args[1]
    c.universe.pin([p for p in c.x.planes if cover(p) != {1}], "it is a position in space")
    rows = [np.repeat(p.reshape(-1), kernel[0] * kernel[1]) for p in c.x.planes if cover(p) == {1}]
    return c.x.to(c.shape, [line(r, 1, len(c.shape)) for r in rows])


def filled(c: Call) -> Labelled:
    """A tensor of one repeated value (or of noise) can have any size: labels of its own."""
    return c.universe.fresh_tensor(c.shape, Origin.CONSTANT, zero="zeros" in c.name)


FILLS = (
    "zeros",
    "ones",
    "full",
    "zeros_like",
    "ones_like",
    "full_like",
    "new_zeros",
    "new_ones",
    "new_full",
    "new_empty",
    "empty",
    "empty_like",
    "scalar_tensor",
    "rand",
    "randn",
    "randint",
    "rand_like",
    "randn_like",
    "randint_like",
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten"), view),
    **dict.fromkeys(
        (
            "clone",
            "detach",
            "alias",
            "contiguous",
            "lift_fresh",
            "lift_fresh_copy",
            "_to_copy",
            "to",
            "native_dropout",
            "dropout",
        ),
        same,
    ),
    **dict.fromkeys(("bernoulli_", "fill_", "zero_", "uniform_", "normal_"), overwritten),
    **dict.fromkeys(("as_strided", "as_strided_"), as_strided),
    "permute": permute,
    "transpose": transpose,
    "transpose_": transpose,
    "t": t,
    "t_": t,
    "squeeze": squeeze,
    "squeeze_": squeeze,
    "unsqueeze": unsqueeze,
    "unsqueeze_": unsqueeze,
    "expand": expand,
    "slice": slice_,
    "select": select,
    "unbind": unbind,
    "cat": cat,
    "stack": stack,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"), split),
    "constant_pad_nd": pad,
    "roll": roll,
    **dict.fromkeys(("index", "_unsafe_index"), index),
    "index_select": index_select,
    "gather": gather,
    **dict.fromkeys(
        (
            "repeat",
            "flip",
            "tile",
            "pixel_unshuffle",
            "channel_shuffle",
            "native_channel_shuffle",
            "unfold",
            "repeat_interleave",
            "rot90",
            "movedim",
        ),
        moved,
    ),
    "pixel_shuffle": pixel_shuffle,
    "im2col": im2col,
    "col2im": col2im,
    **dict.fromkeys(FILLS, filled),
}
