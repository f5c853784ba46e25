"""The recorded operators as a module: the form a cut takes when the model's own code has sizes written into it.

The network is recorded at two batch sizes, so every number that grows with the batch is known to do so and the program
runs at any batch size. Sizes along removed units come from the labels.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from pruning_core.graph.labels import Labelled, cover
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.record import Recording, follow, start
from pruning_core.graph.recurrent import link_recurrent_layers, plain_recurrence
from pruning_core.graph.rules import Call
from pruning_core.graph.surgery import cut


class CannotEmit(Exception):
    """An operator whose numbers cannot be rewritten for the smaller network."""


@dataclass
class _Take:
    """One recording with, for each label, whether it lives."""

    recording: Recording
    tensors: dict[str, Tensor]
    inputs: tuple[Any, ...]
    out: Any
    alive: NDArray[np.bool_]

    def live(self, x: Labelled, dim: int) -> NDArray[np.bool_]:
        """Flags of the positions along ``dim`` that remain."""
        flags = np.ones(x.shape[dim], dtype=bool)
        for plane in x.over(dim):
            others = tuple(d for d in range(plane.ndim) if d != dim)
            flags &= self.alive[plane].any(axis=others)
        return flags

    def size(self, x: Labelled, dim: int) -> int:
        return int(self.live(x, dim).sum()) if x.over(dim) else x.shape[dim]


def build_program(model: nn.Module, network: Network, plan: Plan, arguments: tuple[Any, ...]) -> nn.Module:
    """Raises CannotEmit (or whatever an operator raises) when the program cannot be written."""
    clone = copy.deepcopy(model).eval()
    batch = next(len(a) for a in arguments if isinstance(a, Tensor) and a.dim())
    longer = tree_map(lambda v: torch.cat([v, v[:1]]) if isinstance(v, Tensor) and v.dim() and len(v) == batch else v, arguments)
    takes = (_take(clone, network, plan, arguments), _take(clone, network, plan, longer))
    if len(takes[0].recording.calls) != len(takes[1].recording.calls):
        raise CannotEmit("the network takes another path at another batch size")
    root = cut(clone, network, plan)
    return _Emitter(takes, root, batch).emit()


def _take(model: nn.Module, network: Network, plan: Plan, arguments: tuple[Any, ...]) -> _Take:
    inputs = tree_map(lambda v: v.detach().clone() if isinstance(v, Tensor) else v, arguments)
    with plain_recurrence(model):
        recording, tensors = start(model)
        link_recurrent_layers(model, recording)
        out = follow(model, inputs, recording, tensors, keep_calls=True)
    units = recording.universe.resolve()
    kept = network.keep(plan)
    alive = np.ones(len(units.pinned), dtype=bool)
    for (name, dim), unit in network.layout.unit_of.items():
        labels = next(p for p in recording.parameters[name].planes if cover(p) == {dim}).reshape(-1)
        alive[units.of[labels[~kept[unit]]]] = False
    return _Take(recording, tensors, inputs, out, alive[units.of])


class _Emitter:
    def __init__(self, takes: tuple[_Take, _Take], root: nn.Module, batch: int) -> None:
        self.one, self.two = takes
        self.root, self.batch = root, batch
        self.graph = fx.Graph()
        self.nodes: dict[int, fx.Node] = {}
        self.attributes: dict[str, fx.Node] = {}
        self.names = {id(t): name for name, t in self.one.tensors.items()}
        self.batch_node: fx.Node | None = None
        self.constants = 0
        self.held: list[Tensor] = []  # constants we made: identities are keys, so they must stay alive

    def emit(self) -> nn.Module:
        leaves = [t for t in tree_leaves(self.one.inputs) if isinstance(t, Tensor)]
        for number, value in enumerate(leaves):
            self.nodes[id(value)] = self.graph.placeholder(f"x{number}" if len(leaves) > 1 else "x")
        self.input = self.nodes[id(leaves[0])]
        for a, b in zip(self.one.recording.calls, self.two.recording.calls):
            self._call(a, b)
        result = tree_map(lambda v: self._node(v) if isinstance(v, Tensor) else v, self.one.out)
        self.graph.output(dict(result) if isinstance(result, dict) else result)
        self.graph.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output") or _mutates(n))
        module = fx.GraphModule(self.root, self.graph, "PrunedProgram")
        module.train(self.root.training)
        return module

    # -- values -------------------------------------------------------------------------------------------------------
    def _node(self, value: Tensor) -> fx.Node:
        if id(value) in self.nodes:
            return self.nodes[id(value)]
        name = self.names.get(id(value))
        if name is None:  # a constant made on the way
            name = f"constant_{self.constants}"
            self.constants += 1
            self.held.append(value)
            self.names[id(value)] = name
            self.root.register_buffer(name, self._shrunk(value, self.one), persistent=True)
        if name not in self.attributes:
            self.attributes[name] = self.graph.get_attr(name)
        return self.attributes[name]

    def _shrunk(self, value: Tensor, take: _Take) -> Tensor:
        x = getattr(value, "_unit_labels", None)
        plain = value.detach().clone()
        for dim in range(value.dim() if x is not None else 0):
            flags = take.live(x, dim)
            if not flags.all():
                plain = plain.index_select(dim, torch.as_tensor(np.flatnonzero(flags)))
        return plain

    def number(self, one: int, two: int) -> Any:
        """A number that may grow with the batch: written as a line through both recordings."""
        slope = two - one
        if slope == 0:
            return one
        if self.batch_node is None:
            with self.graph.inserting_after(self.input):
                self.batch_node = self.graph.call_function(torch.ops.aten.sym_size.int, (self.input, 0))
        scaled = self.graph.call_function(operator.mul, (self.batch_node, slope)) if slope != 1 else self.batch_node
        offset = one - slope * self.batch
        return self.graph.call_function(operator.add, (scaled, offset)) if offset else scaled

    def shape(self, a: Any, b: Any, call_a: Call, call_b: Call) -> list[Any]:
        x, y = call_a.look(a), call_b.look(b)
        return [self.number(self.one.size(x, d), self.two.size(y, d)) for d in range(len(x.shape))]

    def value(self, a: Any, b: Any) -> Any:
        if isinstance(a, Tensor):
            return self._node(a)
        if isinstance(a, bool) or a is None:
            return a
        if isinstance(a, int) and isinstance(b, int):
            return self.number(a, b)
        if isinstance(a, list | tuple):
            return type(a)(self.value(p, q) for p, q in zip(a, b))
        if isinstance(a, dict):
            return {k: self.value(a[k], b[k]) for k in a}
        if isinstance(a, torch.device | torch.memory_format):
            return a
        if a != b and a == a:
            raise CannotEmit("a number in the network depends on the data")
        return a

    # -- operators ----------------------------------------------------------------------------------------------------
    def _dynamic(self, c: Call) -> bool:
        leaves = [v for v in tree_leaves((c.args, c.kwargs)) if isinstance(v, Tensor)]
        return any(id(v) in self.nodes or id(v) in self.names for v in leaves)

    def _call(self, a: Call, b: Call) -> None:
        if a.name.startswith("module:"):
            self._bind(a.out, self.graph.call_module(a.name.removeprefix("module:"), (self._node(a.args[0]),)))
            return
        if not self._dynamic(a):
            grows = isinstance(a.out, Tensor) and a.out.shape != b.out.shape
            if grows and a.name in _FILLS:
                self._bind(a.out, self._fill(a, b))
            return
        if a.name == "_local_scalar_dense":
            raise CannotEmit("the network reads a number from its data and decides with it")
        special = _SPECIAL.get(a.name)
        node = special(self, a, b) if special else self._plain(a, b)
        self._bind(a.out, node)

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

    def _plain(self, a: Call, b: Call, args: Sequence[Any] | None = None) -> fx.Node:
        kwargs = {k: self.value(v, b.kwargs[k]) for k, v in a.kwargs.items() if k not in ("device", "pin_memory", "layout")}
        own = [self.value(p, q) for p, q in zip(a.args, b.args)] if args is None else args
        return self.graph.call_function(a.op, tuple(own), kwargs)

    def _fill(self, a: Call, b: Call) -> fx.Node:
        size = self.shape(a.out, b.out, a, b)
        dtype = a.out.dtype
        value = 0 if "zeros" in a.name or "empty" in a.name else 1 if "ones" in a.name else a.args[1]
        return self.call(torch.ops.aten.new_full.default, self.input, size, value, dtype=dtype)


Special = Callable[[_Emitter, Call, Call], Any]


def _view(e: _Emitter, a: Call, b: Call) -> Any:
    return e.call(torch.ops.aten.reshape.default, e._node(a.args[0]), e.shape(a.out, b.out, a, b))


def _expand(e: _Emitter, a: Call, b: Call) -> Any:
    return e.call(torch.ops.aten.expand.default, e._node(a.args[0]), e.shape(a.out, b.out, a, b))


def _new_fill(e: _Emitter, a: Call, b: Call) -> Any:
    return e._fill(a, b)


def _before(e: _Emitter, take: _Take, c: Call, dim: int, position: int) -> int:
    """How many of the first ``position`` entries remain."""
    x = c.look(c.args[0])
    n = x.shape[dim]
    position = min(position if position >= 0 else position + n, n)
    return int(take.live(x, dim)[:position].sum())


def _slice(e: _Emitter, a: Call, b: Call) -> Any:
    dim = a.arg(1, "dim", 0) % len(a.look(a.args[0]).shape)
    start, end, step = a.arg(2, "start"), a.arg(3, "end"), a.arg(4, "step", 1)
    if not a.look(a.args[0]).over(dim):
        return e._plain(a, b)
    if step != 1 and not e.one.live(a.look(a.args[0]), dim).all():
        raise CannotEmit("every n-th channel is taken of channels that were removed")
    if step != 1:
        return e._plain(a, b)
    bounds = [e.number(_before(e, e.one, a, dim, p), _before(e, e.two, b, dim, q))
              for p, q in ((start or 0, b.arg(2, "start") or 0),
                           (a.look(a.args[0]).shape[dim] if end is None else end,
                            b.look(b.args[0]).shape[dim] if b.arg(3, "end") is None else b.arg(3, "end")))]
    return e.call(torch.ops.aten.slice.Tensor, e._node(a.args[0]), dim, *bounds)


def _select(e: _Emitter, a: Call, b: Call) -> Any:
    dim = a.args[1] % len(a.look(a.args[0]).shape)
    position = e.number(_before(e, e.one, a, dim, int(a.args[2])), _before(e, e.two, b, dim, int(b.args[2])))
    return e.call(torch.ops.aten.select.int, e._node(a.args[0]), dim, position)


def _split(e: _Emitter, a: Call, b: Call) -> Any:
    dim = a.arg(2, "dim", 0) % a.out[0].dim()
    sizes = [e.number(e.one.size(a.look(p), dim), e.two.size(b.look(q), dim)) for p, q in zip(a.out, b.out)]
    return e.call(torch.ops.aten.split_with_sizes.default, e._node(a.args[0]), sizes, dim)


def _pad(e: _Emitter, a: Call, b: Call) -> Any:
    x, rank = a.look(a.out), a.out.dim()
    pad = list(a.args[1])
    for k in range(len(pad) // 2):
        dim = rank - 1 - k
        if x.over(dim) and min(pad[2 * k], pad[2 * k + 1]) >= 0:
            live, end = e.one.live(x, dim), x.shape[dim]
            pad[2 * k], pad[2 * k + 1] = int(live[: pad[2 * k]].sum()), int(live[end - pad[2 * k + 1]:].sum())
    value = a.arg(2, "value", 0)
    return e.call(torch.ops.aten.constant_pad_nd.default, e._node(a.args[0]), pad, value)


def _remapped(e: _Emitter, c: Call, dim: int, index: Tensor) -> Tensor:
    """A constant index along a dimension that shrinks: only kept entries, renumbered."""
    live = e.one.live(c.look(c.args[0]), dim)
    rank = np.cumsum(live) - 1
    flat = index.cpu().numpy()
    flat = np.where(flat < 0, flat + len(live), flat)
    return torch.as_tensor(rank[flat[live[flat]]])


def _index(e: _Emitter, a: Call, b: Call) -> Any:
    used = [d for d, i in enumerate(a.args[1]) if i is not None]
    x = a.look(a.args[0])
    if len(used) == 1 and x.over(used[0]) and not e.one.live(x, used[0]).all():
        index = _remapped(e, a, used[0], a.args[1][used[0]])
        indices = [None] * used[0] + [e._node(index)]
        return e.call(torch.ops.aten.index.Tensor, e._node(a.args[0]), indices)
    return e._plain(a, b)


def _index_select(e: _Emitter, a: Call, b: Call) -> Any:
    dim = a.args[1] % len(a.look(a.args[0]).shape)
    index = _remapped(e, a, dim, a.args[2])
    return e.call(torch.ops.aten.index_select.default, e._node(a.args[0]), dim, e._node(index))


def _convolution(e: _Emitter, a: Call, b: Call) -> Any:
    x, w, groups, transposed = a.look(a.args[0]), a.look(a.args[1]), int(a.args[8]), bool(a.args[6])
    args = [e.value(p, q) for p, q in zip(a.args, b.args)]
    if groups > 1:
        inner, outer = e.one.size(w, 1), e.one.size(w, 0)
        whole = inner == w.shape[1] and e.one.size(x, 1) * w.shape[0] == outer * x.shape[1]
        args[8] = (groups * outer // w.shape[0]) if transposed or whole else e.one.size(x, 1) // inner
    return e.call(a.op, *args)


def _batch_norm(e: _Emitter, a: Call, b: Call) -> Any:
    """As the module it came from, so that training it updates its statistics."""
    name = e.names.get(id(a.args[3]), "") if isinstance(a.args[3], Tensor) else ""
    owner = name.rpartition(".")[0]
    if name and isinstance(e.root.get_submodule(owner), nn.modules.batchnorm._BatchNorm):
        out = e.graph.call_module(owner, (e._node(a.args[0]),))
        return (out,)
    return e._plain(a, b)


def _layer_norm(e: _Emitter, a: Call, b: Call) -> Any:
    x = a.look(a.args[0])
    shape = [e.one.size(x, d) for d in range(len(x.shape) - len(a.args[1]), len(x.shape))]
    weights = [e.value(p, q) for p, q in zip(a.args[2:4], b.args[2:4])]
    return (e.call(torch.nn.functional.layer_norm, e._node(a.args[0]), shape, *weights, a.args[4]),)


def _group_norm(e: _Emitter, a: Call, b: Call) -> Any:
    channels, groups = int(a.args[4]), int(a.args[6])
    left = e.one.size(a.look(a.args[0]), 1)
    weights = [e.value(p, q) for p, q in zip(a.args[1:3], b.args[1:3])]
    return (e.call(torch.nn.functional.group_norm, e._node(a.args[0]), left if groups == channels else groups, *weights, a.args[7]),)


def _attention(e: _Emitter, a: Call, b: Call) -> Any:
    q, k, v = (e._node(t) for t in a.args[:3])
    mask = a.arg(3, "attn_bias") if "efficient" in a.name else a.kwargs.get("attn_mask")
    causal = bool(a.kwargs.get("is_causal", a.args[4] if len(a.args) > 4 else False))
    scale = a.kwargs.get("scale") or a.args[0].shape[-1] ** -0.5
    out = e.call(torch.nn.functional.scaled_dot_product_attention, q, k, v,
                 None if mask is None else e._node(mask), 0.0, causal, scale=scale)
    return (out,)


_FILLS = ("zeros", "ones", "full", "new_zeros", "new_ones", "new_full", "empty", "new_empty")
_SPECIAL: dict[str, Special] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), _view), "expand": _expand,
    **dict.fromkeys(_FILLS, _new_fill), "slice": _slice, "select": _select,
    **dict.fromkeys(("split", "split_with_sizes"), _split), "constant_pad_nd": _pad, "index": _index,
    "index_select": _index_select, "convolution": _convolution,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    "native_layer_norm": _layer_norm, "native_group_norm": _group_norm,
    **dict.fromkeys(("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
                     "_scaled_dot_product_efficient_attention"), _attention),
}


def _mutates(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable
