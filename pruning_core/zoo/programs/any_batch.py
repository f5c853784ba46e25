"""Programs for a fixed number of images, rewritten for any number; where that does not work, run in pieces.

``torch.export.export(model, (example,))`` writes the example's batch into every size. Most of these sizes repeat what
the input has and are gone already (:mod:`.sizes`). What is left is found by running the program on another number of
images, on shapes alone, and mending each operator at which the batch meets a number; whether that is right is decided
by running it for real, beside the program as it came.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from pruning_core.graph.copies import aliased
from pruning_core.zoo.programs.sizes import VIEWS
from pruning_core.zoo.programs.trial import Seen, Trial
from pruning_core.zoo.programs.watch import Limits, watched

aten = torch.ops.aten
TOLERANCE = 1e-4  # of the largest score; another number of images is another order of summation
END = 2**63 - 1
Sizes = tuple[int, ...]


class InPieces(nn.Module):
    """A network for exactly ``batch`` images, called with any number: piece by piece, the last one filled up."""

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        self.network, self.batch = network, batch

    def forward(self, x: Tensor) -> Any:
        short = -len(x) % self.batch
        whole = torch.cat([x, x[:1].expand(short, *x.shape[1:])]) if short else x
        found = [self.network(piece) for piece in whole.split(self.batch)]
        return tree_map(lambda *parts: (torch.cat(parts) if len(parts) > 1 else parts[0])[: len(x)], *found)


def for_any_batch(
    program: fx.GraphModule, size: tuple[int, ...], batch: int, seen: Mapping[str, Seen]
) -> fx.GraphModule | None:
    """``program``, made for ``batch`` images (C, H, W), written for any number; None when that cannot be done.

    Weights are shared with ``program``, which is left as it is. ``seen``: what the trial at ``batch`` saw. What comes
    of it must be compared with what there was (:func:`agrees`).
    """
    freed: Any = aliased(program)
    images = torch.empty(batch + 1, *size, device="meta")
    try:
        found = watched(freed, lambda: _Freeing(freed, seen, batch).walk(images), Limits.none())
    except Exception:  # whatever an operator says of sizes that do not fit: the program is run in pieces
        return None
    if not found or any(not each.dim() or len(each) != len(images) for each in found):
        return None
    freed.graph.lint()
    freed.recompile()
    return freed.eval()


def agrees(freed: nn.Module, pieces: InPieces, size: tuple[int, ...]) -> bool:
    """Whether both give the same scores for one image, and for more than a batch of different ones."""
    generator = torch.Generator().manual_seed(0)
    like = next((p for p in freed.parameters() if p.is_floating_point()), torch.empty(0))
    for count in (1, pieces.batch + 2):
        images = torch.rand(count, *size, generator=generator).to(like)
        with torch.no_grad():
            try:
                ours, theirs = tree_leaves(freed(images)), tree_leaves(pieces(images))
            except Exception:  # a stranger's program may fail in any way at another number of images
                return False
        if len(ours) != len(theirs) or not all(map(_near, ours, theirs)):
            return False
    return True


def _near(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and float((ours - theirs).abs().max()) <= TOLERANCE * float(theirs.abs().max())


class _Freeing(Trial):
    """Runs the program on one image more than it was made for, mending what stands in the way as it comes there."""

    def __init__(self, program: fx.GraphModule, seen: Mapping[str, Seen], batch: int) -> None:
        super().__init__(program)
        self.before, self.batch = seen, batch
        self.images = next(node for node in program.graph.nodes if node.op == "placeholder")
        self._count: fx.Node | None = None

    def walk(self, images: Tensor) -> list[Tensor]:
        """The tensors that the program returns; nodes may be put before the one that is about to run."""
        self.args_iter = iter([images])
        for node in list(self.graph.nodes):
            args, _ = self.fetch_args_kwargs_from_env(node)
            if node.op == "output":
                return [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
            mend = self._mend(node)
            if mend is not None:
                mend(self, node)
            self.env[node] = self.run_node(node)
        return []

    def _mend(self, node: fx.Node) -> Mend | None:
        if node.op == "call_function":
            return MENDS.get(node.target)
        if node.op == "call_module":
            return LAYERS.get(type(self.fetch_attr(str(node.target))).__name__)
        return None

    def sizes(self, node: Any) -> tuple[Sizes, Sizes]:
        """The shape of a tensor then and now."""
        return self.before[node.name].shape, tuple(self.env[node].shape)

    def count(self) -> fx.Node:
        """The number of images, as a node."""
        if self._count is None:
            with self.graph.inserting_after(self.images):
                self._count = self.graph.call_function(aten.sym_size.int, (self.images, 0))
            self.env[self._count] = len(self.env[self.images])
        return self._count

    def place(self, node: fx.Node, after: Sizes) -> int | None:
        """Where the dimension that grew with the batch goes, when a tensor takes the shape ``after``; None: nowhere.

        Shapes are read in the order of memory: it goes where as much lies before it as did before.
        """
        was, now = self.sizes(node)
        grew = [dim for dim, (a, b) in enumerate(zip(was, now)) if a != b]
        if len(grew) != 1:
            return None
        before = math.prod(was[: grew[0]])
        for dim, n in enumerate(after):
            if math.prod(after[:dim]) == before and n * now[grew[0]] % was[grew[0]] == 0:
                return dim
        return None


Mend = Callable[["_Freeing", Any], None]


def _view(f: _Freeing, node: Any) -> None:
    after = f.before[node.name].shape
    at = f.place(node.args[0], after)
    if at is not None:
        node.target, node.kwargs = aten.reshape.default, {}
        node.args = (node.args[0], [-1 if dim == at else n for dim, n in enumerate(after)])


def _reshape(f: _Freeing, node: Any) -> None:
    layer = f.fetch_attr(str(node.target))
    after = f.before[node.name].shape
    at = f.place(node.args[0], after)
    if at is not None and layer.shape[at] not in (0, -1):
        layer.shape = tuple(
            -1 if dim == at else n if s == -1 else s for dim, (n, s) in enumerate(zip(after, layer.shape))
        )


def _grow(f: _Freeing, node: Any) -> None:
    """A layer that makes or repeats something: one for each image, where it was one for each of several."""
    layer = f.fetch_attr(str(node.target))
    if f.batch > 1 and layer.sizes and layer.sizes[0] == f.batch and not layer.grows:
        layer.sizes, layer.grows = (1, *layer.sizes[1:]), (0,)


def _size(position: int) -> Mend:
    """An operator that makes or repeats something, whose sizes are the argument at ``position``."""

    def mend(f: _Freeing, node: Any) -> None:
        sizes = node.args[position]
        if f.batch > 1 and isinstance(sizes, list | tuple) and sizes and sizes[0] == f.batch:
            node.update_arg(position, [f.count(), *sizes[1:]])

    return mend


def _slice(f: _Freeing, node: Any) -> None:
    x, dim, start, end = (*node.args, 0, None, None)[:4] if len(node.args) < 4 else node.args[:4]
    was, now = f.sizes(x)
    if was != now and isinstance(dim, int) and start in (0, None) and end == was[dim] != now[dim]:
        node.update_arg(3, END)


def _join(f: _Freeing, node: Any) -> None:
    """What is the same for every image is repeated where it meets what is not."""
    whole = node.args[0] if isinstance(node.args[0], list | tuple) else node.args
    grown = {dim: n for part in whole for dim, (a, n) in enumerate(zip(*f.sizes(part))) if a != n}
    parts = []
    for part in whole:
        was, now = f.sizes(part)
        if part.op != "placeholder" and f.batch == 1 and was == now and any(now[dim] == 1 for dim in grown):
            sizes: list[Any] = [f.count() if dim in grown and n == 1 else -1 for dim, n in enumerate(now)]
            with f.graph.inserting_before(node):
                part = f.graph.call_function(aten.expand.default, (part, sizes))
            f.env[part] = f.run_node(part)
        parts.append(part)
    node.args = (parts, *node.args[1:]) if isinstance(node.args[0], list | tuple) else tuple(parts)


MENDS: dict[object, Mend] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys((aten.zeros.default, aten.ones.default, aten.full.default), _size(0)),
    **dict.fromkeys(
        (aten.new_zeros.default, aten.new_ones.default, aten.new_full.default, aten.repeat.default), _size(1)
    ),
    aten.slice.Tensor: _slice,
    **dict.fromkeys((aten.cat.default, aten.stack.default), _join),
}
LAYERS: dict[str, Mend] = {"Reshape": _reshape, "Expand": _grow, "Filled": _grow, "OnnxConcat": _join}
