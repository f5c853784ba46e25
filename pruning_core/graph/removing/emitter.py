"""Writing the recorded operators down as a graph, operator by operator."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from pruning_core.graph.labelling.labels import Labelled
from pruning_core.graph.labelling.rules import Call
from pruning_core.graph.removing.two_recordings import CannotEmit, Take

BATCHES = (2, 3)
Special = Callable[["Emitter", Call, Call], Any]


class Emitter:
    """Writes a graph, operator by operator; ``root`` holds the tensors and the modules it refers to.

    ``special`` and ``factories`` say how operators are written whose arguments are sizes, positions or groups, and
    those that make tensors of nothing; every other operator is written as it was called.
    """

    def __init__(
        self,
        takes: tuple[Take, Take],
        root: nn.Module,
        special: Mapping[str, Special],
        factories: Mapping[str, Special],
    ) -> None:
        self.one, self.two = takes
        self.root, self.special, self.factories = root, special, factories
        self.graph = fx.Graph()
        self.nodes: dict[int, fx.Node] = {}
        self.attributes: dict[str, fx.Node] = {}
        self.names = {id(t): name for name, t in self.one.tensors.items()}
        self.batch_node: fx.Node | None = None
        self.written = {
            _storage(c.args[0])
            for c in self.one.recording.calls
            if c.op._schema.is_mutable and isinstance(c.args[0], Tensor)
        }
        self.growing: dict[int, str] = {}  # constants that are not the same at both batch sizes
        self.held: list[Tensor] = []  # constants we made: identities are keys, so they must stay alive

    def emit(self) -> nn.Module:
        leaves = [t for t in tree_leaves(self.one.inputs) if isinstance(t, Tensor)]
        for number, value in enumerate(leaves):
            self.nodes[id(value)] = self.graph.placeholder(f"x{number}" if len(leaves) > 1 else "x")
        batched = next((t for t in leaves if t.dim() and len(t) == BATCHES[0]), leaves[0])
        self.input, self.precision = self.nodes[id(batched)], batched.dtype
        for a, b in zip(self.one.recording.calls, self.two.recording.calls):
            self._call(a, b)
        result = tree_map(lambda v: self.node(v) if isinstance(v, Tensor) else v, self.one.out)
        if any(not isinstance(v, fx.Node | int | float | str | bool | None) for v in tree_leaves(result)):
            raise CannotEmit("the network returns an object of its own class")
        self.graph.output(dict(result) if isinstance(result, dict) else result)
        self.graph.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output") or _mutates(n))
        module = fx.GraphModule(self.root, self.graph, "PrunedProgram")
        module.training = self.root.training
        return module

    # -- values -------------------------------------------------------------------------------------------------------
    def node(self, value: Tensor) -> fx.Node:
        """What stands for a tensor of the first recording."""
        if id(value) in self.nodes:
            return self.nodes[id(value)]
        if id(value) in self.growing:
            raise CannotEmit(f"{self.growing[id(value)]} makes values whose number grows with the batch")
        name = self.names.get(id(value)) or self.constant(self._shrunk(value), value)
        if name not in self.attributes:
            self.attributes[name] = self.graph.get_attr(name)
        return self.attributes[name]

    def constant(self, value: Tensor, stands_for: Tensor | None = None) -> str:
        """A buffer of the program; it moves with it and is saved with it."""
        name = f"constant_{len(self.held)}"
        self.held.append(value if stands_for is None else stands_for)
        self.names[id(self.held[-1])] = name
        self.root.register_buffer(name, value, persistent=True)
        return name

    def _shrunk(self, value: Tensor) -> Tensor:
        x = self.one.recording.calls[0].look(value)
        plain = torch.empty_like(value).copy_(value.detach())
        for dim in range(value.dim()):
            flags = self.one.live(x, dim)
            if not flags.all():
                plain = plain.index_select(dim, torch.as_tensor(np.flatnonzero(flags), device=plain.device))
        return plain

    def number(self, one: int, two: int) -> Any:
        """A number that may grow with the batch: written as a line through both recordings."""
        slope = (two - one) // (BATCHES[1] - BATCHES[0])
        if slope == 0:
            return one
        if self.batch_node is None:
            with self.graph.inserting_after(self.input):
                self.batch_node = self.graph.call_function(torch.ops.aten.sym_size.int, (self.input, 0))
        scaled = self.graph.call_function(operator.mul, (self.batch_node, slope)) if slope != 1 else self.batch_node
        offset = one - slope * BATCHES[0]
        return self.graph.call_function(operator.add, (scaled, offset)) if offset else scaled

    def shape(self, a: Labelled, b: Labelled) -> list[Any]:
        return [self.number(m, n) for m, n in zip(self.one.sizes(a), self.two.sizes(b))]

    def value(self, a: Any, b: Any) -> Any:
        """What stands for an argument, seen in both recordings."""
        if isinstance(a, Tensor):
            return self.node(a)
        if isinstance(a, bool) or a is None:
            return a
        if isinstance(a, int) and isinstance(b, int):
            return self.number(a, b)
        if isinstance(a, list | tuple):
            return type(a)(self.value(p, q) for p, q in zip(a, b))
        if isinstance(a, float) and a != b and a == a:
            raise CannotEmit("a number in the network depends on the batch")
        return a

    # -- operators ----------------------------------------------------------------------------------------------------
    def _call(self, a: Call, b: Call) -> None:
        if a.name.startswith("module:"):
            self._bind(a.out, self.graph.call_module(a.name.removeprefix("module:"), (self.node(a.args[0]),)))
            return
        dynamic = any(id(v) in self.nodes or id(v) in self.names for v in a.leaves())
        if a.name in self.factories and (dynamic or a.out.shape != b.out.shape or _storage(a.out) in self.written):
            self._bind(a.out, self.factories[a.name](self, a, b))
            return
        if not dynamic:
            self._note_growing(a, b)
            return
        if a.name == "_local_scalar_dense":
            raise CannotEmit("the network reads a number from its data and decides with it")
        special = self.special.get(a.name)
        self._bind(a.out, special(self, a, b) if special else self.plain(a, b))

    def _note_growing(self, a: Call, b: Call) -> None:
        """Operators on constants run once; their results must not depend on the batch."""
        first, second = ([v for v in tree_leaves(c.out) if isinstance(v, Tensor)] for c in (a, b))
        for p, q in zip(first, second):
            if p.shape != q.shape or not torch.equal(p, q):
                self.growing[id(p)] = a.name
                self.held.append(p)

    def _bind(self, out: Any, node: Any) -> None:
        if isinstance(node, tuple):  # an operator with statistics beside its result, written as one without
            self.nodes[id(out[0] if isinstance(out, tuple | list) else out)] = node[0]
        elif isinstance(out, Tensor):
            self.nodes[id(out)] = node
        elif isinstance(out, tuple | list):
            for i, value in enumerate(out):
                if isinstance(value, Tensor):
                    self.nodes[id(value)] = self.graph.call_function(operator.getitem, (node, i))

    def call(self, op: Any, *args: Any, **kwargs: Any) -> fx.Node:
        return self.graph.call_function(op, args, kwargs)

    def plain(self, a: Call, b: Call, args: Sequence[Any] | None = None) -> fx.Node:
        """The same operator; results stay on the device of what they are made of."""
        kwargs = {
            k: self.value(v, b.kwargs[k]) for k, v in a.kwargs.items() if k not in ("device", "pin_memory", "layout")
        }
        own = [self.value(p, q) for p, q in zip(a.args, b.args)] if args is None else args
        return self.graph.call_function(a.op, tuple(own), kwargs)


def _storage(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()


def _mutates(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable
