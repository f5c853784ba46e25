"""How many whole numbers a program knows at an input: the rows of the tables that it looks them up in."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from pruning_core.zoo.interface import Input
from pruning_core.zoo.programs.packing import Unpack
from pruning_core.zoo.programs.sizes import Tried

aten = torch.ops.aten
FUNCTIONS = {  # operator -> (place of the table, place of the numbers, place of the dimension or the dimension itself)
    aten.embedding.default: (0, 1, None),
    aten.index_select.default: (0, 2, 1),
    aten.gather.default: (0, 2, 1),
    aten.index.Tensor: (0, 1, None),
}
LAYERS = ("OnnxGather", "OnnxGatherElements")
KEEP = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def looked_up(program: fx.GraphModule, tried: Tried, inputs: Sequence[Input]) -> tuple[Input, ...]:
    """``inputs`` of a packed program with what is known of the whole ones, which its layer is told as well."""
    (node,) = (n for n in program.graph.nodes if n.op == "call_module" and isinstance(_layer(program, n), Unpack))
    parts = {part.args[1]: part for part in node.users if part.target is operator.getitem}
    found = tuple(
        replace(each, known=_rows(program, tried, parts[at])) if each.whole and at in parts else each
        for at, each in enumerate(inputs)
    )
    layer = _layer(program, node)
    assert isinstance(layer, Unpack)
    layer.inputs = found
    return found


def _rows(program: fx.GraphModule, tried: Tried, start: fx.Node) -> int:
    """Of the smallest table that numbers from ``start`` are looked up in; 0 where there is none."""
    reached, found = {start}, list[int]()
    for node in program.graph.nodes:
        if node in reached or not reached.intersection(node.all_input_nodes):
            continue
        layer = _layer(program, node) if node.op == "call_module" else None
        table, numbers, dim = _lookup(program, node)
        if isinstance(layer, nn.Embedding):
            found.append(layer.num_embeddings)
        elif table is not None and reached.intersection(numbers):
            shapes = tried.shapes(table)
            if shapes:
                found.append(shapes[0][dim])
        elif (what := tried.seen[0].get(node.name)) is not None and what.dtype in KEEP:
            reached.add(node)
    return min(found, default=0)


def _lookup(program: fx.GraphModule, node: fx.Node) -> tuple[Any, list[Any], int]:
    """(table, nodes of numbers, dimension); (None, [], 0) for what is no lookup."""
    if node.op == "call_module":
        layer = _layer(program, node)
        if type(layer).__name__ in LAYERS and len(node.args) > 1:
            return node.args[0], [node.args[1]], int(getattr(layer, "_axis", 0))
    if node.op != "call_function" or node.target not in FUNCTIONS:
        return None, [], 0
    table, numbers, dim = FUNCTIONS[node.target]
    given: Any = node.args[numbers]
    if isinstance(given, list | tuple):
        given, at = [each for each in given if isinstance(each, fx.Node)], [each is not None for each in given]
        return node.args[table], given, at.index(True) if any(at) else 0
    along: Any = 0 if dim is None else node.args[dim]
    return node.args[table], [given], int(along)


def _layer(program: fx.GraphModule, node: fx.Node) -> Any:
    return program.get_submodule(str(node.target))
