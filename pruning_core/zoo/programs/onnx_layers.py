"""What onnx2torch makes of ONNX operators, as layers that hold their numbers.

onnx2torch hands sizes over as tensors, as ONNX does, and reads them each time the network runs. Here each such layer
gets them once, from what the trials saw; what then computes sizes is read by nobody, and goes. Layers are told by the
names of their classes, so that nothing of onnx2torch is imported before a file needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning_core.zoo.programs.sized import (
    Filled,
    Lookup,
    Pad,
    Pick,
    Reshape,
    Resize,
    Slice,
    Slope,
    Split,
    Squeeze,
    Sum,
    Take,
    Tile,
    TopK,
    Unsqueeze,
)
from pruning_core.zoo.programs.sizes import Rewriter, Tried, expand_to, reshape_to

Old = Any  # a layer of onnx2torch
Rule = Callable[[Rewriter, fx.Node, Old, Tried], None]
PADDINGS = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "replicate": "replicate"}
MODES = {("nearest", 1): "nearest", ("nearest", 2): "nearest", ("nearest", 3): "nearest", ("linear", 1): "linear",
         ("linear", 2): "bilinear", ("linear", 3): "trilinear", ("cubic", 2): "bicubic"}  # fmt: skip


def plain_slopes(program: fx.GraphModule) -> None:
    """PReLU as arithmetic, in place: onnx2torch looks for the negative numbers, and nobody can follow that."""
    for node in program.graph.nodes:
        if node.op == "call_module" and type(program.get_submodule(str(node.target))).__name__ == "OnnxPReLU":
            program.add_submodule(str(node.target), Slope())


def hold_sizes(program: fx.GraphModule, tried: Tried) -> None:
    """Exchange the layers of ``program`` that read sizes, in place. Those whose sizes are unclear stay as they are."""
    rewriter = Rewriter(program, tried)
    for node in list(program.graph.nodes):
        if node.op != "call_module":
            continue
        old = program.get_submodule(str(node.target))
        ours = type(old) is Slope
        rule = RULES.get(type(old).__name__) if ours or type(old).__module__.startswith("onnx2torch.") else None
        if rule is not None:
            rule(rewriter, node, old, tried)
    _keep_constants(rewriter, tried)
    rewriter.finish()
    _let_weights_learn(program)
    program.delete_all_unused_submodules()


def _given(node: fx.Node, at: int, name: str = "") -> Any:
    """An argument of the layer, by position or by name."""
    return node.args[at] if len(node.args) > at else node.kwargs.get(name)


def _fixed(tried: Tried, node: Any) -> list[Any] | None:
    """The numbers of an argument, as a list, where they are the same at every batch size."""
    found = tried.numbers(node)
    if found is None or any(value != found[0] for value in found):
        return None
    return found[0] if isinstance(found[0], list) else [found[0]]


def _sizes(tried: Tried, node: Any) -> tuple[list[int], list[int]] | None:
    """(sizes, which of them are for each image) of an argument that may grow with the batch."""
    found = tried.numbers(node)
    if found is None or not all(isinstance(value, list) and len(value) == len(found[0]) for value in found):
        return None
    sizes, grows = [], []
    for at, values in enumerate(zip(*found)):
        if len(set(values)) == 1:
            sizes.append(int(values[0]))
            continue
        each = tried.per_image(values)
        if each is None:
            return None
        sizes.append(each)
        grows.append(at)
    return sizes, grows


def _reshape(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    x = node.args[0]
    before, after, said = tried.shapes(x), tried.shapes(node), tried.numbers(node.args[1])
    shape = reshape_to(before, after, said[0] if said else ()) if before and after else None
    if shape is not None:
        r.layer(node, Reshape(shape), x)


def _expand(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    x = node.args[0]
    before, after = tried.shapes(x), tried.shapes(node)
    layer = expand_to(before, after, tried) if before and after else None
    if layer is not None:
        r.layer(node, layer, x, r.images)


def _slice(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    starts, ends = _fixed(tried, _given(node, 1, "starts")), _fixed(tried, _given(node, 2, "ends"))
    axes, steps = _given(node, 3, "axes"), _given(node, 4, "steps")
    if starts is None or ends is None:
        return
    along = list(range(len(starts))) if axes is None else _fixed(tried, axes)
    by = [1] * len(starts) if steps is None else _fixed(tried, steps)
    if along is not None and by is not None:
        r.layer(node, Slice(along, starts, ends, by), node.args[0])


def _split(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    sizes = _given(node, 1, "split")
    found = None if sizes is None else _fixed(tried, sizes)
    if found is not None:
        r.layer(node, Split(old.axis, found), node.args[0])


def _tile(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    found = _sizes(tried, node.args[1])
    if found is not None:
        r.layer(node, Tile(*found), node.args[0], r.images)


def _pad(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    pads, value = _fixed(tried, node.args[1]), _given(node, 2, "constant_value")
    fill = [0.0] if value is None else _fixed(tried, value)
    if pads is None or fill is None or old.mode not in PADDINGS:
        return
    half = len(pads) // 2
    turned = [n for begin, end in zip(reversed(pads[:half]), reversed(pads[half:])) for n in (begin, end)]
    if old.mode != "constant":
        while turned[-2:] == [0, 0] and len(turned) > 2:  # other modes take the last dimensions only
            del turned[-2:]
    r.layer(node, Pad(turned, PADDINGS[old.mode], float(fill[0])), node.args[0])


def _filled(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    found = _sizes(tried, node.args[0])
    if found is not None:
        sizes, grows = found
        r.layer(node, Filled(sizes, old.value.item(), old.value.dtype, grows), r.images)


def _resize(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    """By sizes where they are given, else by scales; images and channels are never resized."""
    before, after = tried.shapes(node.args[0]), tried.shapes(node)
    plain: Any = getattr(old, "_resize", old)
    scales = _given(node, 1 if plain is not old else 2, "scales")
    mode = MODES.get((plain.onnx_mode, len(before[0]) - 2)) if before else None
    if before is None or after is None or mode is None or any(a[:2] != b[:2] for a, b in zip(before, after)):
        return
    by = _fixed(tried, scales) if scales is not None else []
    if by is None:
        return
    size, scale = (None, tuple(float(n) for n in by[2:])) if by else (after[0][2:], None)
    r.layer(node, Resize(size, scale, mode, plain.align_corners), node.args[0])


def _squeeze(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    axes = _given(node, 1, "axes")
    found = [] if axes is None else _fixed(tried, axes)
    if found:
        r.layer(node, Squeeze(found), node.args[0])


def _unsqueeze(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    found = _fixed(tried, node.args[1])
    if found:
        r.layer(node, Unsqueeze(found), node.args[0])


def _sum(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    axes = _given(node, 1, "axes")
    found = [] if axes is None else _fixed(tried, axes)
    if found is not None and (found or not old._noop_with_empty_axes):
        r.layer(node, Sum(found, bool(old._keepdims)), node.args[0])


def _gather(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    """Where the positions are written down, and where numbers that come in look up a table of weights."""
    found, data = tried.numbers(node.args[1]), tried.numbers(node.args[0])
    table = _tensor(r.program, node.args[0])
    if found is None and old._axis == 0 and table is not None and table.ndim == 2 and table.is_floating_point():
        r.layer(node, Lookup(), *node.args[:2])
        return
    if found is None or data is not None or any(value != found[0] for value in found):
        return
    if isinstance(found[0], int):
        r.layer(node, Pick(old._axis, found[0]), node.args[0])
    elif found[0] and isinstance(found[0][0], int):
        shape = tried.shapes(node.args[0])
        size = shape[0][old._axis] if shape else 0
        if not all(-size <= n < size for n in found[0]):
            return  # it will be said when it runs
        r.layer(node, Take(old._axis, torch.tensor([n % size for n in found[0]])), node.args[0])


def _top(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    k = _fixed(tried, node.args[1])
    if k:
        r.layer(node, TopK(int(k[0]), old.dim, old.largest, old.sorted), node.args[0])


def _prelu(r: Rewriter, node: fx.Node, old: Old, tried: Tried) -> None:
    """One slope for all, or one for every channel, is torch's own layer; (C), (C, 1, 1) and (1, C, 1, 1) say that."""
    x, slope = node.args[0], node.args[1]
    shapes = tried.shapes(x)
    value = _tensor(r.program, slope)
    if value is None or shapes is None:
        return
    channels, rank = shapes[0][1] if len(shapes[0]) > 1 else 1, len(shapes[0])
    aligned = (1,) * (rank - value.dim()) + tuple(value.shape)
    if value.numel() == 1 or (aligned == (1, channels, *[1] * (rank - 2))):
        layer = nn.PReLU(value.numel())
        layer.weight = nn.Parameter(value.detach().reshape(-1).clone())
        r.layer(node, layer, x)


def _tensor(program: fx.GraphModule, node: Any) -> Tensor | None:
    """The weight that a node fetches."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    owner, _, leaf = str(node.target).rpartition(".")
    value = getattr(program.get_submodule(owner), leaf)
    return value if isinstance(value, Tensor) else None


RULES: dict[str, Rule] = {
    "OnnxReshape": _reshape,
    "OnnxExpand": _expand,
    "OnnxSlice": _slice,
    "OnnxSplit13": _split,
    "OnnxTile": _tile,
    "OnnxPadDynamic": _pad,
    "OnnxConstantOfShape": _filled,
    "OnnxResize": _resize,
    "OnnxResizeV10": _resize,
    "OnnxSqueezeDynamicAxes": _squeeze,
    "OnnxUnsqueezeDynamicAxes": _unsqueeze,
    "OnnxReduceSumDynamicAxes": _sum,
    "OnnxGather": _gather,
    "OnnxTopK": _top,
    "Slope": _prelu,
}


def _keep_constants(r: Rewriter, tried: Tried) -> None:
    """What layers compute of sizes and constants alone, the same for every image, is computed once."""
    program, number = r.program, 0
    for node in list(program.graph.nodes):
        if node.op != "call_module" or not node.users:
            continue
        found = tried.numbers(node)
        if found is None or any(value != found[0] for value in found):
            continue
        seen = tried.seen[0][node.name]
        kind = type(program.get_submodule(str(node.target))).__name__
        if seen.dtype is None or (seen.dtype.is_floating_point and seen.shape and kind != "OnnxConstant"):
            continue  # it may come from weights, which are to be found under their own names
        name = f"constant_{number}"
        program.register_buffer(name, torch.tensor(found[0], dtype=seen.dtype).reshape(seen.shape))
        number += 1
        with program.graph.inserting_before(node):
            r.exchange(node, program.graph.get_attr(name))


LEARNING = (
    "OnnxMatMul",
    "OnnxGemm",
    "OnnxBinaryMathOperation",
    "OnnxTranspose",
    "Reshape",
    "Expand",
    "Slope",
    "Lookup",
)
FEW = 8  # different numbers: a mask or a scale


def _let_weights_learn(program: fx.GraphModule) -> None:
    """onnx2torch knows the weights of layers; those that are multiplied or added by operators are weights too."""
    for node in program.graph.nodes:
        value = _tensor(program, node)
        if value is None or isinstance(value, nn.Parameter) or not value.is_floating_point() or value.numel() < 2:
            continue
        kinds = {type(program.get_submodule(str(u.target))).__name__ for u in node.users if u.op == "call_module"}
        few = value.dim() > 1 and len(value.unique()) <= FEW
        if kinds and kinds <= set(LEARNING) and not few:
            owner, _, leaf = str(node.target).rpartition(".")
            holder = program.get_submodule(owner)
            del holder._buffers[leaf]
            holder.register_parameter(leaf, nn.Parameter(value))
