"""One tensor in the place of a program's inputs, and its measured output in front.

Everything beyond the door calls a network with one tensor and judges the first thing that it gives. So a program of
several inputs, or of whole numbers, is called with all numbers of an example in a row, which a layer takes apart; and
the output to be judged goes before the others. Both are written into the graph as layers that :func:`restored` takes
out again, so that what a person takes home reads and gives what they brought.
"""

from __future__ import annotations

import keyword
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.graph import _PyTreeCodeGen, _PyTreeInfo
from torch.utils import _pytree as pytree

from pruning_core.graph.copies import aliased
from pruning_core.zoo.interface import Input

aten = torch.ops.aten
SPREAD = 997  # noise between two whole numbers stands for any of them, so that a proof on noise sees many
FEW = 2  # where nothing says how many there are: zeros and ones, as in a mask


class Unpack(nn.Module):
    """(N, all numbers of an example) -> each input (N, …) in its own type.

    Whole numbers that are known go through as they are; anything else, which is noise, stands for one of them.
    """

    def __init__(self, inputs: Sequence[Input]) -> None:
        super().__init__()
        self.inputs = tuple(inputs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        parts = x.split([each.numbers for each in self.inputs], 1)
        return tuple(_as(part, each).reshape(-1, *each.shape) for part, each in zip(parts, self.inputs))

    def extra_repr(self) -> str:
        return ", ".join(f"{each.name}: {each}" for each in self.inputs)


def _as(part: Tensor, each: Input) -> Tensor:
    if not each.whole:
        return part
    noise = (part.abs() * SPREAD).floor().remainder(each.known or FEW)
    right = part == part.floor()
    if each.known:
        right = right & (part >= 0) & (part < each.known)
    return torch.where(right, part, noise).to(each.dtype)


def pack(inputs: Sequence[Tensor], dtype: torch.dtype = torch.float32) -> Tensor:
    """What ``Unpack`` takes apart: (N, …) each -> (N, all numbers of an example)."""
    flat = (each.reshape(each.shape[0], -1) for each in inputs)  # a length would be followed as that very number
    return torch.cat([each.to(dtype) for each in flat], 1)


class Order(nn.Module):
    """The outputs, with the one at ``first`` before the others; ``spec``: how the program handed them out."""

    def __init__(self, first: int, spec: Any = None) -> None:
        super().__init__()
        self.first, self.spec = first, spec

    def forward(self, *outputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(in_front(outputs, self.first))


def in_front(values: Sequence[Any], first: int) -> list[Any]:
    return [values[first], *values[:first], *values[first + 1 :]]


def in_place(values: Sequence[Any], first: int) -> list[Any]:
    """What :func:`in_front` was given."""
    return [*values[1 : first + 1], values[0], *values[first + 1 :]]


# -- a program as it is called here ------------------------------------------------------------------------------------


def read_packed(program: fx.GraphModule, inputs: Sequence[Input]) -> None:
    """Let ``program`` be called with one tensor, in place."""
    graph = program.graph
    given = [node for node in graph.nodes if node.op == "placeholder"]
    program.add_submodule(_free(program, "inputs"), unpack := Unpack(inputs))
    with graph.inserting_before(given[0]):
        x = graph.placeholder("x")
        parts = graph.call_module(_name_of(program, unpack), (x,))
        for at, old in enumerate(given):
            old.replace_all_uses_with(graph.call_function(operator.getitem, (parts, at)))
    for old in given:
        graph.erase_node(old)
    _specs(graph, ["x"], None)
    program.recompile()


def give_first(program: fx.GraphModule, first: int) -> None:
    """Let ``program`` give its output at ``first`` before the others, in place."""
    graph = program.graph
    (end,) = (node for node in graph.nodes if node.op == "output")
    flat = results(program)
    info = graph._codegen.pytree_info if isinstance(graph._codegen, _PyTreeCodeGen) else None
    program.add_submodule(_free(program, "outputs"), order := Order(first, info.out_spec if info else None))
    with graph.inserting_before(end):
        ordered = graph.call_module(_name_of(program, order), tuple(flat))
        end.args = (tuple(graph.call_function(operator.getitem, (ordered, at)) for at in range(len(flat))),)
    _specs(graph, None, pytree.tree_structure(tuple(range(len(flat)))))
    program.recompile()


def results(program: fx.GraphModule) -> list[Any]:
    """The nodes that ``program`` gives, in their order."""
    (end,) = (node for node in program.graph.nodes if node.op == "output")
    return [each for each in pytree.tree_leaves(end.args[0]) if isinstance(each, fx.Node)]


def names_of(program: fx.GraphModule) -> list[str]:
    """What the outputs are called by the structure in which they are given; "" for one that is given alone."""
    codegen = program.graph._codegen
    number = len(results(program))
    if not isinstance(codegen, _PyTreeCodeGen) or codegen.pytree_info.out_spec is None:
        return [str(at) if number > 1 else "" for at in range(number)]
    spec = codegen.pytree_info.out_spec
    paths, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten(range(spec.num_leaves), spec))
    named = [".".join(str(getattr(key, "key", getattr(key, "idx", ""))) for key in path) for path, _ in paths]
    return named if len(named) == number else [str(at) for at in range(number)]


# -- as it came --------------------------------------------------------------------------------------------------------


def restored(model: nn.Module) -> nn.Module:
    """``model`` with the inputs and outputs that it came with; itself where it has them. Tensors are shared.

    What is no graph any more is called through layers around it that do the same (:func:`around`).
    """
    if not isinstance(model, fx.GraphModule) or not any(isinstance(m, Unpack | Order) for m in model.children()):
        return model
    program: Any = aliased(model)
    graph = program.graph
    for node in list(graph.nodes):
        layer = program.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, Unpack):
            _read_as_it_came(graph, node, layer)
        elif isinstance(layer, Order):
            _give_as_it_came(graph, node, layer)
    program.delete_all_unused_submodules()
    graph.lint()
    program.recompile()
    return program.train(model.training)


def _read_as_it_came(graph: fx.Graph, node: fx.Node, layer: Unpack) -> None:
    x = node.args[0]
    assert isinstance(x, fx.Node)
    names: list[str] = []
    taken = {int(part.args[1]): part for part in node.users}  # type: ignore[arg-type]
    with graph.inserting_before(x):
        for at, each in enumerate(layer.inputs):
            new = graph.placeholder(_word(each.name, at, names))
            names.append(str(new.target))
            if at in taken:
                taken[at].replace_all_uses_with(new)
                graph.erase_node(taken[at])
    graph.erase_node(node)
    graph.erase_node(x)
    _specs(graph, names, None)


def _give_as_it_came(graph: fx.Graph, node: fx.Node, layer: Order) -> None:
    (end,) = (each for each in graph.nodes if each.op == "output")
    parts = list(node.users)
    end.args = (tuple(node.args),)
    for part in parts:
        graph.erase_node(part)
    graph.erase_node(node)
    _specs(graph, None, layer.spec or pytree.tree_structure(tuple(range(len(parts)))))


def unpacked(model: nn.Module, inputs: Sequence[Input]) -> nn.Module:
    """``model``, which was recorded while its one input was taken apart as :class:`Unpack` does, with ``inputs`` in its
    place; itself where that is not what its graph begins with. Tensors are shared."""
    if not isinstance(model, fx.GraphModule):
        return model
    program: Any = aliased(model)
    graph = program.graph
    (x,) = (node for node in graph.nodes if node.op == "placeholder")
    split = next((node for node in x.users if node.target is aten.split_with_sizes.default), None)
    if split is None or split.args[1] != [each.numbers for each in inputs]:
        return model
    names: list[str] = []
    for at, each in enumerate(inputs):
        ends = [end for part in split.users if part.args[1] == at for end in _ends(part, each)]
        with graph.inserting_before(x):
            new = graph.placeholder(_word(each.name, at, names))
        names.append(str(new.target))
        for end in ends:
            end.replace_all_uses_with(new)
    first = next(iter(graph.nodes))
    for node in list(x.users):
        if node.target is aten.sym_size.int and node.args[1] == 0:
            node.replace_input_with(x, first)
    graph.eliminate_dead_code()
    if x.users:
        return model
    graph.erase_node(x)
    graph.lint()
    program.recompile()
    return program.train(model.training)


def _ends(part: fx.Node, each: Input) -> list[fx.Node]:
    """Where ``_as`` and the reshape after it end in a recording: of whole numbers, behind what chooses between a number
    and what noise stands for."""
    if each.whole:
        chosen = [node for node in part.users if node.target is aten.where.self and node.args[1] is part]
        found = [typed for node in chosen for typed in node.users if typed.target is aten._to_copy.default]
    else:
        found = [part]
    return [node for typed in found for node in typed.users if node.target is aten.reshape.default]


def around(network: nn.Module, inputs: Sequence[Input], first: int, packed: bool) -> nn.Module:
    """``network``, which is called with one tensor, to be called with its own inputs; outputs in the order they had."""
    root = nn.Module()
    root.network, root.pack, root.place = network, Pack(), Place(first)
    graph, names = fx.Graph(), list[str]()
    for at, each in enumerate(inputs):
        names.append(_word(each.name, at, names))
    given = tuple(graph.placeholder(name) for name in names)
    found = graph.call_module("network", (graph.call_module("pack", given),) if packed else given)
    graph.output(graph.call_module("place", (found,)) if first else found)
    return fx.GraphModule(root, graph).train(network.training)


class Pack(nn.Module):
    """:func:`pack` as a layer."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return pack(inputs)


class Place(nn.Module):
    """:func:`in_place` as a layer."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first

    def forward(self, outputs: Any) -> tuple[Tensor, ...]:
        return tuple(in_place(pytree.tree_leaves(outputs), self.first))


# -- small things ------------------------------------------------------------------------------------------------------


def _specs(graph: fx.Graph, inputs: list[str] | None, out_spec: Any) -> None:
    """Tell a graph that comes with structures of inputs and outputs about new ones; others have none."""
    codegen = graph._codegen
    if not isinstance(codegen, _PyTreeCodeGen):
        return
    info = codegen.pytree_info
    names = info.orig_args if inputs is None else inputs
    in_spec = info.in_spec if inputs is None else pytree.tree_structure((tuple(range(len(names))), {}))
    graph.set_codegen(_PyTreeCodeGen(_PyTreeInfo(names, in_spec, info.out_spec if out_spec is None else out_spec)))


def _free(program: nn.Module, name: str) -> str:
    while hasattr(program, name):
        name = f"{name}_"
    return name


def _name_of(program: nn.Module, layer: nn.Module) -> str:
    return next(name for name, child in program.named_children() if child is layer)


def _word(name: str, at: int, taken: Sequence[str]) -> str:
    """``name`` as an argument in Python, other than those ``taken``."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[:60]
    fine = plain.isidentifier() and not keyword.iskeyword(plain) and plain not in taken
    return plain if fine else f"input_{at}"
