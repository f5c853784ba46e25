"""Sizes written into a graph, told by what they mean: what the input has there, the rest, so many for each image.

The graph was tried at two numbers of images; what is the same at both is a size of the network, what grows is the
batch's. A graph for a fixed batch was tried at that one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from pruning_core.zoo.programs.sized import Expand, Reshape
from pruning_core.zoo.programs.trial import Seen

aten = torch.ops.aten
Shapes = Sequence[tuple[int, ...]]  # of one tensor, at each number of images that was tried


@dataclass(frozen=True)
class Tried:
    """``batches``: the numbers of images of the trials; ``seen``: what each of them saw."""

    batches: tuple[int, ...]
    seen: tuple[dict[str, Seen], ...]

    def shapes(self, node: Any) -> Shapes | None:
        """None for what is no tensor."""
        if not isinstance(node, fx.Node) or any(node.name not in seen for seen in self.seen):
            return None
        return [seen[node.name].shape for seen in self.seen]

    def numbers(self, node: Any) -> list[Any] | None:
        """The numbers of a small tensor that does not come from the images; None when it does, or is large."""
        if not isinstance(node, fx.Node):
            return None if node is None else [node for _ in self.seen]
        found = [seen[node.name].numbers if node.name in seen else None for seen in self.seen]
        return None if any(value is None for value in found) else found

    def per_image(self, values: Sequence[int]) -> int | None:
        """k where the values are k for every image; None when they are not."""
        first, images = values[0], self.batches[0]
        if first % images or any(v * images != first * n for v, n in zip(values, self.batches)):
            return None
        return first // images


def reshape_to(before: Shapes, after: Shapes, said: Sequence[Any] = ()) -> tuple[int, ...] | None:
    """What :class:`Reshape` needs to go from the one to the other; None where that cannot be said at any batch size.

    ``said``: what the graph itself asks for; where it leaves a size open, that one is the rest.
    """
    shape: list[int] = []
    for dim in range(min(len(before[0]), len(after[0]))):
        if any(a[dim] != b[dim] for a, b in zip(before, after)):
            break
        shape.append(0)
    rest = [{sizes[dim] for sizes in after} for dim in range(len(shape), len(after[0]))]
    varying = [at for at, sizes in enumerate(rest) if len(sizes) > 1]
    if len(varying) > 1:
        return None
    left = [at for at in range(len(rest)) if len(said) == len(after[0]) and said[len(shape) + at] == -1]
    free = varying or left or ([0] if len(rest) == 1 else [])
    return (*shape, *(-1 if at in free else min(sizes) for at, sizes in enumerate(rest)))


def expand_to(before: Shapes, after: Shapes, tried: Tried) -> Expand | None:
    """What goes from the one to the other by repeating; None where that cannot be said at any batch size."""
    more = len(after[0]) - len(before[0])
    sizes, grows = [], []
    for dim in range(len(after[0])):
        wanted = [shape[dim] for shape in after]
        have = [shape[dim - more] if dim >= more else 1 for shape in before]
        each = tried.per_image(wanted)
        if wanted == have:
            sizes.append(1)
        elif len(set(wanted)) == 1:
            sizes.append(wanted[0])
        elif each is not None and len(tried.batches) > 1:
            sizes.append(each)
            grows.append(dim)
        else:
            return None
    return Expand(sizes, grows)


class Rewriter:
    """Puts layers in the place of nodes of a graph, under names that are free."""

    def __init__(self, program: fx.GraphModule, tried: Tried) -> None:
        self.program, self.tried = program, tried
        self.images = next(node for node in program.graph.nodes if node.op == "placeholder")
        self._next = 0

    def layer(self, node: fx.Node, layer: nn.Module, *args: Any) -> None:
        """``layer(*args)`` in the place of ``node``, whose own layer, if it has one, goes."""
        name = str(node.target) if node.op == "call_module" else self._free(type(layer).__name__.lower())
        self.program.add_submodule(name, layer)
        with self.program.graph.inserting_before(node):
            self.exchange(node, self.program.graph.call_module(name, args))

    def exchange(self, node: fx.Node, new: fx.Node) -> None:
        """``new`` in the place of ``node``; what the trials saw of the one holds for the other."""
        new.meta = dict(node.meta)
        for seen in self.tried.seen:
            if node.name in seen:
                seen[new.name] = seen[node.name]
        node.replace_all_uses_with(new)
        self.program.graph.erase_node(node)

    def _free(self, kind: str) -> str:
        while True:
            self._next += 1
            name = f"{kind}_{self._next}"
            if not hasattr(self.program, name):
                return name

    def finish(self) -> None:
        """Drop what nothing reads any more; tensors stay, used or not."""
        for node in reversed(list(self.program.graph.nodes)):
            if node.op in ("call_function", "call_method", "call_module") and not node.users and not _writes(node):
                self.program.graph.erase_node(node)
        self.program.graph.lint()
        self.program.recompile()


def _writes(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


VIEWS = (aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.unflatten.int)
Rule = Callable[[Rewriter, fx.Node, Tried], None]


def _reshape(rewriter: Rewriter, node: fx.Node, tried: Tried) -> None:
    x = node.args[0]
    before, after = tried.shapes(x), tried.shapes(node)
    said = node.args[-1] if isinstance(node.args[-1], list | tuple) and node.target in VIEWS[:3] else ()
    shape = reshape_to(before, after, said) if before and after else None
    if shape is not None:
        rewriter.layer(node, Reshape(shape), x)


def _expand(rewriter: Rewriter, node: fx.Node, tried: Tried) -> None:
    x = node.args[0]
    before, after = tried.shapes(x), tried.shapes(node)
    layer = expand_to(before, after, tried) if before and after else None
    if layer is not None:
        rewriter.layer(node, layer, x, rewriter.images)


RULES: dict[object, Rule] = {**dict.fromkeys(VIEWS, _reshape), aten.expand.default: _expand}


def follow_sizes(program: fx.GraphModule, tried: Tried) -> None:
    """Let layers hold the sizes that operators of ``program`` have written into them, in place."""
    rewriter = Rewriter(program, tried)
    for node in list(program.graph.nodes):
        rule = RULES.get(node.target) if node.op == "call_function" else None
        if rule is not None:
            rule(rewriter, node, tried)
    rewriter.finish()
