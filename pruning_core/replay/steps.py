"""A network as a list of steps over numbered registers, each step knowing which groups its result carries.

This is what lets a sweep compute only what a removal changes: everything before the first consumer of a group is the
unpruned network's result, or that result with channels left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from pruning_core.graph import Network
from pruning_core.graph.capturing.follow import follow
from pruning_core.graph.capturing.hollow import NeedsValues
from pruning_core.graph.capturing.record import Recording, start
from pruning_core.graph.capturing.recurrent import link_recurrent_layers, plain_recurrence
from pruning_core.graph.capturing.remarks import Act
from pruning_core.graph.copies import copied
from pruning_core.graph.labelling.labels import Labelled, cover
from pruning_core.graph.labelling.rules import Call
from pruning_core.graph.modules import named_tensors, switch
from pruning_core.numeric.outputs import Takes, behind_one_another, every

# operators whose numbers are rewritten from the sizes of their results
REWRITTEN = frozenset(
    {
        "view",
        "_unsafe_view",
        "reshape",
        "expand",
        "native_layer_norm",
        "native_group_norm",
        "split",
        "split_with_sizes",
        "convolution",
    }
)


class NotReplayable(Exception):
    """The network cannot be run step by step; it is run as a whole instead."""


@dataclass(frozen=True)
class Register:
    """Stands for a tensor in the arguments of a step."""

    number: int


@dataclass(frozen=True)
class Weight:
    """Stands for a parameter or buffer in the arguments of a step."""

    name: str


@dataclass(frozen=True)
class Size:
    """One dimension of a result: ``fixed + slope * batch`` entries, of which ``units`` name those of groups."""

    fixed: int
    slope: int
    units: NDArray[np.int64] | None

    def at(self, batch: int, alive: NDArray[np.bool_]) -> int:
        full = self.fixed + self.slope * batch
        return full if self.units is None else int(alive[self.units].sum())


@dataclass
class Operation:
    """One operator: ``args`` and ``kwargs`` hold registers and weights where tensors go."""

    name: str
    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: tuple[int, ...]
    sizes: tuple[tuple[Size, ...], ...]  # per output, per dimension
    reads: tuple[int, ...]
    weights: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Parameters the step was made of."""
        return self.weights


@dataclass(frozen=True)
class Operations:
    steps: tuple[Operation, ...]
    inputs: tuple[int, ...]
    result: int
    tensors: dict[str, Tensor]  # parameters and buffers, and the constants made on the way
    units: int

    def on(self, device: torch.device) -> Operations:
        """The same steps where operators that are told a device are told this one; the tensors stay where they are."""

        def told(value: Any) -> Any:
            return device if isinstance(value, torch.device) else value

        steps = [replace(s, args=tree_map(told, s.args), kwargs=tree_map(told, s.kwargs)) for s in self.steps]
        return replace(self, steps=tuple(steps))


def record_steps(model: nn.Module, network: Network, example: Tensor, *, takes: Takes = Takes.MAIN) -> Operations:
    """Run a copy of the model at two batch sizes and write down what happened.

    The result is the main output; where ``takes`` says several, a last step puts them behind one another.

    They run on the CPU, whose operators are the ones that labels and steps know; elsewhere see :meth:`Operations.on`.
    Of the second run only the shapes are looked at, so its products are not computed.

    Raises NotReplayable for what steps cannot repeat: decisions on data, views changed in place.
    """
    outside = {id(tensor): name for name, tensor in named_tensors(model).items()}
    clone, example = copied(model).cpu(), example.cpu()
    one, out = _take(clone, outside, torch.cat([example[:1]] * 2), hollow=False)
    if any(remark.act in (Act.DECIDES, Act.LEAVES) for remark in one.remarks):
        raise NotReplayable("what it does follows from numbers in the data")
    try:
        two, _ = _take(clone, outside, torch.cat([example[:1]] * 3), hollow=True)
    except NeedsValues:
        two, _ = _take(clone, outside, torch.cat([example[:1]] * 3), hollow=False)
    if len(one.calls) != len(two.calls):
        raise NotReplayable("another path is taken at another batch size")
    return _Writer(network, one, two, clone, out).write(takes)


def _take(model: nn.Module, outside: dict[int, str], x: Tensor, *, hollow: bool) -> tuple[Recording, Any]:
    switch(model, False)  # what it keeps of its weights while it evaluates is made anew, where it is seen
    with plain_recurrence(model):
        recording, tensors = start(model)
        recording.outside.update(outside)  # code that looks the original up somewhere reads its tensors
        link_recurrent_layers(model, recording)
        out = follow(model, (x,), recording, tensors, keep_calls=True, hollow=hollow)
    recording.calls = [
        replace(c, name="alias", op=torch.ops.aten.alias.default, args=c.args[:1], kwargs={})
        if c.name.startswith("module:")
        else c
        for c in recording.calls
    ]
    recording.input = x  # type: ignore[attr-defined]  # the first register
    return recording, out


class _Writer:
    def __init__(self, network: Network, one: Recording, two: Recording, model: nn.Module, out: Any) -> None:
        self.network, self.one, self.two, self.out = network, one, two, out
        held = named_tensors(model)
        self.names = {**one.outside, **{id(t): n for n, t in held.items()}}
        self.tensors: dict[str, Tensor] = {n: t.detach() for n, t in held.items()}
        self.registers: dict[int, int] = {}
        self.storage: dict[int, set[int]] = {}
        self.stale: set[int] = set()  # tensors that another view has changed since
        self.count = 0
        units = one.universe.resolve()
        # components of this recording -> units of the network
        component = np.full(len(units.pinned), -1, dtype=np.int64)
        for (name, dim), unit in network.layout.unit_of.items():
            labels = next(p for p in one.parameters[name].planes if cover(p) == {dim}).reshape(-1)
            component[units.of[labels]] = unit
        self.unit_of_label = component[units.of]

    def write(self, takes: Takes) -> Operations:
        image = self.one.input  # type: ignore[attr-defined]
        first = self._new(image)
        steps = []
        for a, b in zip(self.one.calls, self.two.calls):
            step = self._step(a, b)
            if step is not None:
                steps.append(step)
        outs = [
            t
            for t in tree_leaves(self.out["out"] if isinstance(self.out, dict) and "out" in self.out else self.out)
            if isinstance(t, Tensor)
        ]
        if not outs or id(outs[0]) not in self.registers:
            raise NotReplayable("the output does not come from the input")
        if len(several := every(self.out, takes)) > 1:
            steps.append(self._join(several))
            return Operations(tuple(steps), (first,), steps[-1].outs[0], self.tensors, self.network.layout.units)
        return Operations(tuple(steps), (first,), self.registers[id(outs[0])], self.tensors, self.network.layout.units)

    def _join(self, outs: list[Tensor]) -> Operation:
        if any(id(t) not in self.registers for t in outs):
            raise NotReplayable("an output does not come from the input")
        reads = tuple(self.registers[id(t)] for t in outs)
        sizes = (Size(0, 1, None), Size(sum(t[0].numel() for t in outs), 0, None))
        self.count += 1
        args = ([Register(r) for r in reads],)
        return Operation("join", behind_one_another, args, {}, (self.count - 1,), (sizes,), reads, ())

    def _new(self, value: Tensor) -> int:
        self.registers[id(value)] = self.count
        self.storage.setdefault(value.untyped_storage().data_ptr(), set()).add(id(value))
        self.count += 1
        return self.count - 1

    def _step(self, a: Call, b: Call) -> Operation | None:
        leaves = [v for v in tree_leaves((a.args, a.kwargs)) if isinstance(v, Tensor)]
        if not any(id(v) in self.registers or id(v) in self.names for v in leaves):
            if isinstance(a.out, Tensor) and a.out.shape != b.out.shape:
                raise NotReplayable(f"{a.name} makes values whose number grows with the batch")
            return None  # a constant: read where it is used
        if a.name == "_local_scalar_dense":
            raise NotReplayable("a number is read from the data")
        if any(id(v) in self.stale for v in leaves):
            raise NotReplayable(f"{a.name} reads a tensor that was changed through another view")
        op, mutated = _functional(a)
        if mutated is not None:
            if id(mutated) in self.names:
                raise NotReplayable(f"{a.name} changes a parameter")
            self.stale |= self.storage.get(mutated.untyped_storage().data_ptr(), set()) - {id(mutated)}
        if a.name not in REWRITTEN and _plain(a) != _plain(b):
            raise NotReplayable(f"{a.name} is told the size of the batch")
        reads: list[int] = []
        weights: list[str] = []

        def stand(v: Any) -> Any:
            if not isinstance(v, Tensor):
                return v
            if id(v) in self.registers:
                reads.append(self.registers[id(v)])
                return Register(self.registers[id(v)])
            name = self.names.get(id(v))
            if name is None:
                name = f"constant {len(self.tensors)}"
                self.names[id(v)] = name
                self.tensors[name] = v
            weights.append(name)
            return Weight(name)

        args, kwargs = tree_map(stand, a.args), tree_map(stand, a.kwargs)
        outs_a = [v for v in (a.out if isinstance(a.out, tuple | list) else [a.out]) if isinstance(v, Tensor)]
        outs_b = [v for v in (b.out if isinstance(b.out, tuple | list) else [b.out]) if isinstance(v, Tensor)]
        sizes = tuple(self._sizes(p, q, a, b) for p, q in zip(outs_a, outs_b))
        outs = tuple(self._new(v) for v in outs_a)
        return Operation(a.name, op, tuple(args), kwargs, outs, sizes, tuple(dict.fromkeys(reads)), tuple(weights))

    def _sizes(self, p: Tensor, q: Tensor, a: Call, b: Call) -> tuple[Size, ...]:
        x: Labelled = a.look(p)
        sizes = []
        for d, (n, m) in enumerate(zip(p.shape, q.shape)):
            slope = m - n
            vectors = [
                self.unit_of_label[v[tuple(slice(None) if i == d else 0 for i in range(v.ndim))]] for v in x.over(d)
            ]
            vectors = [v for v in vectors if (v >= 0).any() and not (v == v[0]).all()]
            if vectors and slope:
                raise NotReplayable("channels are folded into the batch")
            sizes.append(Size(n - 2 * slope, slope, vectors[0] if vectors else None))
        return tuple(sizes)


def _plain(c: Call) -> list[Any]:
    return [v for v in tree_leaves((c.args, c.kwargs)) if not isinstance(v, Tensor)]


def _functional(a: Call) -> tuple[Any, Tensor | None]:
    """The operator without side effects, and the tensor that the original changes."""
    if not a.op._schema.is_mutable:
        return a.op, None
    if not a.name.endswith("_") or not hasattr(torch.ops.aten, a.name[:-1]):
        raise NotReplayable(f"{a.name} writes into a tensor")
    packet = getattr(torch.ops.aten, a.name[:-1])
    overload = a.op._overloadname
    if overload not in packet.overloads():
        raise NotReplayable(f"{a.name} writes into a tensor")
    return getattr(packet, overload), a.args[0]
