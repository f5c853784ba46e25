"""How operators whose arguments are sizes, positions or groups are written for the smaller network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.graph.labelling.rules import Call
from pruning_core.graph.removing.emitter import Emitter, Special
from pruning_core.graph.removing.two_recordings import CannotEmit, Take


# -- shapes -----------------------------------------------------------------------------------------------------------
def view(e: Emitter, a: Call, b: Call) -> Any:
    return e.call(torch.ops.aten.reshape.default, e.node(a.args[0]), e.shape(a.look(a.out), b.look(b.out)))


def expand(e: Emitter, a: Call, b: Call) -> Any:
    return e.call(torch.ops.aten.expand.default, e.node(a.args[0]), e.shape(a.look(a.out), b.look(b.out)))


def same(e: Emitter, a: Call, b: Call) -> Any:
    """Only another arrangement in memory (what changes the shape has no rule)."""
    return e.node(a.args[0])


def fill(e: Emitter, a: Call, b: Call) -> Any:
    """Made on the device of the input, whatever that will be."""
    size = e.shape(a.look(a.out), b.look(b.out))
    value = 0 if "zeros" in a.name or "empty" in a.name else 1 if "ones" in a.name else a.args[-1]
    kind = {} if a.out.dtype == e.precision else {"dtype": a.out.dtype}  # else that of the input, whatever it will be
    return e.call(torch.ops.aten.new_full.default, e.input, size, value, **kind)


def arange(e: Emitter, a: Call, b: Call) -> Any:
    numbers = [e.value(p, q) for p, q in zip(a.args, b.args)]
    device = e.call(getattr, e.input, "device")
    follows = a.out.dtype == e.precision and a.out.is_floating_point()
    kind = e.call(getattr, e.input, "dtype") if follows else a.out.dtype
    return e.call(torch.arange, *numbers, dtype=kind, device=device)


# -- parts ------------------------------------------------------------------------------------------------------------
def _before(take: Take, c: Call, dim: int, position: int) -> int:
    """How many of the first ``position`` entries remain."""
    x = c.look(c.args[0])
    n = x.shape[dim]
    position = min(max(position if position >= 0 else position + n, 0), n)
    return int(take.live(x, dim)[:position].sum())


def slice_(e: Emitter, a: Call, b: Call) -> Any:
    x, y = a.look(a.args[0]), b.look(b.args[0])
    dim = a.arg(1, "dim", 0) % len(x.shape)
    if not x.over(dim) or e.one.live(x, dim).all():
        return e.plain(a, b)
    piece = slice(a.arg(2, "start"), a.arg(3, "end"), a.arg(4, "step", 1))
    if piece.step != 1:
        places = torch.arange(x.shape[dim])[piece]
        return _select_places(e, a, dim, places)
    last = (b.arg(2, "start") or 0, y.shape[dim] if b.arg(3, "end") is None else b.arg(3, "end"))
    first = (piece.start or 0, x.shape[dim] if piece.stop is None else piece.stop)
    bounds = [e.number(_before(e.one, a, dim, p), _before(e.two, b, dim, q)) for p, q in zip(first, last)]
    return e.call(torch.ops.aten.slice.Tensor, e.node(a.args[0]), dim, *bounds)


def select(e: Emitter, a: Call, b: Call) -> Any:
    dim = a.args[1] % len(a.look(a.args[0]).shape)
    position = e.number(_before(e.one, a, dim, int(a.args[2])), _before(e.two, b, dim, int(b.args[2])))
    return e.call(torch.ops.aten.select.int, e.node(a.args[0]), dim, position)


def split(e: Emitter, a: Call, b: Call) -> Any:
    dim = a.arg(2, "dim", 0) % a.out[0].dim()
    sizes = [e.number(e.one.size(a.look(p), dim), e.two.size(b.look(q), dim)) for p, q in zip(a.out, b.out)]
    op = torch.ops.aten.unsafe_split_with_sizes if a.name.startswith("unsafe") else torch.ops.aten.split_with_sizes
    return e.call(op.default, e.node(a.args[0]), sizes, dim)


def pad(e: Emitter, a: Call, b: Call) -> Any:
    x, rank = a.look(a.out), a.out.dim()
    amounts = list(a.args[1])
    for k in range(len(amounts) // 2):
        dim, (before, after) = rank - 1 - k, amounts[2 * k : 2 * k + 2]
        if not x.over(dim) or (before == 0 and after == 0):
            continue
        if min(before, after) < 0 and not e.one.live(a.look(a.args[0]), dim).all():
            raise CannotEmit("channels that were removed are cropped")
        if min(before, after) >= 0:
            live = e.one.live(x, dim)
            amounts[2 * k : 2 * k + 2] = int(live[:before].sum()), int(live[x.shape[dim] - after :].sum())
    return e.call(torch.ops.aten.constant_pad_nd.default, e.node(a.args[0]), amounts, a.arg(2, "value", 0))


def index(e: Emitter, a: Call, b: Call) -> Any:
    used = [d for d, i in enumerate(a.args[1]) if i is not None]
    x = a.look(a.args[0])
    if len(used) == 1 and x.over(used[0]) and not e.one.live(x, used[0]).all():
        places = a.args[1][used[0]]
        return _select_places(e, a, used[0], places.nonzero() if places.dtype == torch.bool else places)
    return e.plain(a, b)


def index_select(e: Emitter, a: Call, b: Call) -> Any:
    return _select_places(e, a, a.args[1] % max(1, a.out.dim()), a.args[2])


def _select_places(e: Emitter, a: Call, dim: int, places: Tensor) -> Any:
    """Constant positions along a dimension that shrinks: only kept entries, renumbered."""
    live = e.one.live(a.look(a.args[0]), dim)
    flat = places.cpu().numpy().reshape(-1)
    flat = np.where(flat < 0, flat + len(live), flat)
    name = e.constant(torch.as_tensor((np.cumsum(live) - 1)[flat[live[flat]]], device=places.device))
    return e.call(torch.ops.aten.index_select.default, e.node(a.args[0]), dim, e.graph.get_attr(name))


def channel_shuffle(e: Emitter, a: Call, b: Call) -> Any:
    """What is left of the groups, or fewer of them; as positions, where groups lost other channels than each other."""
    x, groups = a.look(a.args[0]), int(a.args[1])
    live = e.one.live(x, 1).reshape(groups, -1)
    if (live == np.outer(live.any(1), live.any(0))).all():
        return e.call(a.op, e.node(a.args[0]), int(live.any(1).sum()))
    return _select_places(e, a, 1, torch.arange(live.size).reshape(groups, -1).t())


# -- layers -----------------------------------------------------------------------------------------------------------
def convolution(e: Emitter, a: Call, b: Call) -> Any:
    x, w, groups, transposed = a.look(a.args[0]), a.look(a.args[1]), int(a.args[8]), bool(a.args[6])
    args = [e.value(p, q) for p, q in zip(a.args, b.args)]
    if groups > 1:
        inner, outer = e.one.size(w, 1), e.one.size(w, 0)
        whole = inner == w.shape[1] and e.one.size(x, 1) * w.shape[0] == outer * x.shape[1]
        args[8] = (groups * outer // w.shape[0]) if transposed or whole else e.one.size(x, 1) // inner
    return e.call(a.op, *args)


BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def batch_norm(e: Emitter, a: Call, b: Call) -> Any:
    """As a module, so that training it updates its statistics; a plain one where the model's own does more."""
    name = e.names.get(id(a.args[3]), "") if isinstance(a.args[3], Tensor) else ""
    owner, _, leaf = name.rpartition(".")
    module = e.root.get_submodule(owner) if leaf == "running_mean" else None
    if not isinstance(module, nn.modules.batchnorm._BatchNorm):
        return e.plain(a, b)
    if type(module).__module__ != nn.modules.batchnorm.__name__:
        module = _plain_batch_norm(module, BATCH_NORMS[a.out[0].dim()])
        parent, _, last = owner.rpartition(".")
        setattr(e.root.get_submodule(parent), last, module)
    return (e.graph.call_module(owner, (e.node(a.args[0]),)),)


def _plain_batch_norm(module: nn.modules.batchnorm._BatchNorm, kind: type[nn.Module]) -> nn.Module:
    plain = kind(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
    plain._parameters.update(module._parameters)
    plain._buffers.update(module._buffers)
    return plain.train(module.training)


def layer_norm(e: Emitter, a: Call, b: Call) -> Any:
    shape = e.one.sizes(a.look(a.args[0]))[-len(a.args[1]) :]
    weights = [e.value(p, q) for p, q in zip(a.args[2:4], b.args[2:4])]
    return (e.call(F.layer_norm, e.node(a.args[0]), shape, *weights, a.args[4]),)


def rms_norm(e: Emitter, a: Call, b: Call) -> Any:
    shape = e.one.sizes(a.look(a.args[0]))[-len(a.args[1]) :]
    return (e.call(F.rms_norm, e.node(a.args[0]), shape, e.value(a.args[2], b.args[2]), a.arg(3, "eps")),)


def group_norm(e: Emitter, a: Call, b: Call) -> Any:
    channels, groups = int(a.args[4]), int(a.args[6])
    left = e.one.size(a.look(a.args[0]), 1)
    weights = [e.value(p, q) for p, q in zip(a.args[1:3], b.args[1:3])]
    return (e.call(F.group_norm, e.node(a.args[0]), left if groups == channels else groups, *weights, a.args[7]),)


def prelu(e: Emitter, a: Call, b: Call) -> Any:
    """As the operator that people know, with one slope per channel in a row."""
    slopes = e.call(torch.ops.aten.reshape.default, e.node(a.args[1]), [-1])
    return e.call(torch.ops.aten.prelu.default, e.node(a.args[0]), slopes)


def attention(e: Emitter, a: Call, b: Call) -> Any:
    """With the scale of the width it was trained with."""
    q, k, v = (e.node(t) for t in a.args[:3])
    mask = a.arg(3, "attn_bias") if "efficient" in a.name else a.kwargs.get("attn_mask")
    causal = bool(a.kwargs.get("is_causal", a.args[4] if len(a.args) > 4 else False))
    options = {"scale": a.kwargs.get("scale") or a.args[0].shape[-1] ** -0.5}
    if a.args[0].shape[-3] != a.args[1].shape[-3]:
        options["enable_gqa"] = True
    mask = None if mask is None else e.node(mask)
    return (e.call(F.scaled_dot_product_attention, q, k, v, mask, 0.0, causal, **options),)


FACTORIES: dict[str, Special] = {
    "arange": arange,
    **dict.fromkeys(("zeros", "ones", "full", "new_zeros", "new_ones", "new_full", "empty", "new_empty"), fill),
}
SPECIAL: dict[str, Special] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), view),
    "expand": expand,
    **dict.fromkeys(("as_strided", "as_strided_"), same),
    "slice": slice_,
    "select": select,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"), split),
    "constant_pad_nd": pad,
    "index": index,
    "index_select": index_select,
    "convolution": convolution,
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), channel_shuffle),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), batch_norm),
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    "_fused_rms_norm": rms_norm,
    "_prelu_kernel": prelu,
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
        ),
        attention,
    ),
}
