"""Running a network once and following its labels, operator by operator."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruning_core.errors import UserError
from pruning_core.graph.capturing.guard import Overwrites, is_overwritten
from pruning_core.graph.capturing.hollow import HEAVY, Memory, NeedsValues, reads_values, run_hollow
from pruning_core.graph.capturing.passage import KINDS, Passage
from pruning_core.graph.labelling.contract import Ledger
from pruning_core.graph.labelling.labels import Labelled, Origin
from pruning_core.graph.labelling.rules import Call, Rule, rule_for
from pruning_core.graph.labelling.universe import Universe
from pruning_core.graph.modules import modules_by_name, tensors_in, tensors_of

# operators told sizes by the model's own code
SIZED = frozenset(
    {
        "view",
        "_unsafe_view",
        "expand",
        "slice",
        "split",
        "split_with_sizes",
        "new_zeros",
        "new_full",
        "new_ones",
        "zeros",
        "ones",
        "full",
    }
)


@dataclass
class Recording:
    """The labels of one or more forward passes of the same network."""

    universe: Universe = field(default_factory=Universe)
    ledger: Ledger = field(default_factory=Ledger)
    parameters: dict[str, Labelled] = field(default_factory=dict)  # parameters and buffers by first name
    used: dict[str, int] = field(default_factory=dict)  # name -> position of its first use
    passages: list[Passage] = field(default_factory=list)
    sized: list[tuple[str, Labelled]] = field(default_factory=list)  # module -> tensor whose sizes its code may know
    calls: list[Call] = field(default_factory=list)  # only when kept for a program
    modules: dict[str, nn.Module] = field(default_factory=dict)
    # tensors of the original by identity: code that looks the network up somewhere reads those
    outside: dict[int, str] = field(default_factory=dict)
    operators: int = 0
    trail: list[str] = field(default_factory=list)  # the operators by name, as they were called

    @cached_property
    def role_flags(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For every label, whether it was consumed, and whether it was produced; to be asked when all is recorded."""
        flags = []
        for planes in (self.ledger.consumed, self.ledger.produced):
            flag = np.zeros(self.universe.size, dtype=bool)
            for plane in planes:
                flag[plane.ravel()] = True
            flags.append(flag)
        return flags[0], flags[1]


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


class LabelMode(TorchDispatchMode):
    """Propagates labels beside the real computation.

    Labels of intermediate tensors live on the tensors, so memory is freed as the network runs; parameters are looked
    up by identity, so nothing is left behind on the model. ``hollow``: products are not computed, only their shapes are
    right. ``memory``: where nothing may be written. ``stopped`` is what had to end the run; the network's own code may
    have caught it.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and the default imports the compiler: two seconds of a cold start."""
        return False

    def __init__(
        self,
        recording: Recording,
        tensors: Mapping[str, Tensor],
        *,
        keep_calls: bool = False,
        hollow: bool = False,
        memory: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self.recording, self.keep_calls, self.hollow, self.guarded = recording, keep_calls, hollow, memory
        self.stopped: Exception | None = None
        self.names = {**recording.outside, **{id(t): name for name, t in tensors.items()}}
        self.stack: list[str] = []
        self.memory = Memory()
        self.passed: set[str] = set()  # layers whose shapes were noted
        self.composite = {name for name, m in recording.modules.items() if any(m._modules.values())}

    def peek(self, value: Any) -> Labelled:
        """The labels of a tensor, without counting as a use."""
        name = self.names.get(id(value))
        return self._carried(value) if name is None else self.recording.parameters[name]

    def _carried(self, value: Any) -> Labelled:
        universe, labels = getattr(value, "_unit_labels", (None, None))
        if universe is self.recording.universe and labels is not None:  # else: left by another recording
            return labels
        return Labelled(tuple(value.shape))

    def look(self, value: Any) -> Labelled:
        """The labels of a tensor that something reads."""
        name = self.names.get(id(value))
        if name is not None:
            self.recording.used.setdefault(name, self.recording.operators)
            labels = self.recording.parameters[name]
        else:
            labels = self._carried(value)
        if labels.debts:
            self.recording.universe.inexact.extend(labels.debts)
            labels = replace(labels, debts=())
            self.mark(value, labels)
        return labels

    def mark(self, value: Any, labels: Labelled) -> None:
        if isinstance(value, Tensor) and id(value) not in self.names:
            value._unit_labels = (self.recording.universe, labels)  # type: ignore[attr-defined]  # an attribute of ours

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, mutable, rule = _known(func)
        if name == "empty" and self.hollow and not self.keep_calls:  # batch norms make one each, and it says nothing
            return func(*args, **kwargs)
        if (
            self.hollow
            and reads_values(name, args)
            and any(self.peek(t).origin is Origin.ACTIVATION for t in _tensors(args))
        ):
            self._stop(NeedsValues(name))
        if self.guarded and is_overwritten(func, args, kwargs, self.guarded):
            self._stop(Overwrites(name))
        hollow = self.hollow and name in HEAVY and self._active(args, written=mutable)
        out = run_hollow(func, name, args, kwargs, self.memory) if hollow else func(*args, **kwargs)
        recording = self.recording
        recording.operators += 1
        recording.trail.append(name)
        running = self.stack[-1] if self.stack else ""
        owner = self._layer(args, running) if running in self.composite else running
        recording.universe.operator, recording.ledger.owner = name, owner
        call = Call(func, name, tuple(args), dict(kwargs), out, self.look, recording.universe, recording.ledger)
        result = rule(call)
        results = result if isinstance(result, list) else [result]
        if mutable and isinstance(args[0], Tensor):
            results = [self._mutated(call, results[0]), *results[1:]]
        if self.keep_calls:
            recording.calls.append(call)
        if name in SIZED:
            recording.sized.extend((running, labels) for labels in results)
        if owner != running and owner not in self.passed:
            self._note_passage(owner, name, args, results[0])
        for value, labels in zip(out if isinstance(out, tuple | list) else [out], results):
            self.mark(value, labels)
        return out

    def _stop(self, why: Exception) -> NoReturn:
        self.stopped = why
        raise why

    def _layer(self, args: Any, running: str) -> str:
        """The layer that an operator belongs to, where code calls it for another: the one that holds what it reads."""
        for value in args:
            base = value._base if isinstance(value, Tensor) and id(value) not in self.names else None
            name = self.names.get(id(value if base is None else base)) if isinstance(value, Tensor) else None
            if name is not None:
                return name.rpartition(".")[0]
        return running

    def _note_passage(self, layer: str, name: str, args: Any, wrote: Labelled) -> None:
        """Shapes of a layer that is no running module: all of an exported program's, and attention's projections."""
        read = next((self.peek(v) for v in args if isinstance(v, Tensor) and id(v) not in self.names), None)
        if read is not None and read.origin is Origin.ACTIVATION:
            self.passed.add(layer)
            self.recording.passages.append(Passage(layer, KINDS.get(name, name), read, wrote))

    def _active(self, args: Any, *, written: bool) -> bool:
        """Whether the result depends on the input: only then can nobody read it unnoticed."""
        for value in args[:1] if written else args:
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, Tensor) and self.peek(each).origin is Origin.ACTIVATION:
                    return True
        return False

    def _mutated(self, call: Call, result: Labelled) -> Labelled:
        """A view that is written into changes what its base holds."""
        if call.name == "copy_":
            result = replace(result, origin=self.look(call.args[1]).origin)
        base = call.args[0]._base
        if base is not None and id(base) not in self.names:
            before = self.peek(base)
            origin = max(before.origin, result.origin, key=lambda o: o.value)
            self.mark(base, replace(before, origin=origin, zero=before.zero and result.zero))
        return result


@lru_cache(maxsize=1024)
def _known(op: Any) -> tuple[str, bool, Rule]:
    """Name of an operator, whether it writes into its first argument, and its rule."""
    name = op._schema.name.split("::")[-1]
    return name, op._schema.is_mutable, rule_for(op, name)


@contextlib.contextmanager
def _followed_modules(modules: Mapping[str, nn.Module], mode: LabelMode) -> Iterator[None]:
    """Keeps the stack of running modules, so that costs have an owner, and notes what leaves read and wrote.

    Every ``forward`` is replaced on its module for as long as this lasts; hooks would do the same, more slowly.
    """

    def followed(name: str, module: nn.Module) -> Callable[..., Any]:
        forward, leaf = module.forward, not any(module._modules.values())

        def run(*args: Any, **kwargs: Any) -> Any:
            mode.stack.append(name)
            try:
                out = forward(*args, **kwargs)
            finally:
                mode.stack.pop()
            if mode.keep_calls and args and out is args[0] and isinstance(out, Tensor) and is_dropout(module):
                out = out.view_as(out)  # an identity of its own, so that the program can name the module
                call = mode.recording.calls[-1]
                mode.recording.calls[-1] = replace(call, name=f"module:{name}")
            if leaf and name not in mode.passed:
                tensors, results = tensors_in(args), tensors_in(out)
                if tensors and results:
                    mode.passed.add(name)
                    mode.recording.passages.append(
                        Passage(name, type(module).__name__, mode.peek(tensors[0]), mode.peek(results[0]))
                    )
            return out

        return run

    before = [(module, module.__dict__.get("forward")) for module in modules.values()]
    wrapped = [followed(name, module) for name, module in modules.items()]
    try:
        for module, run in zip(modules.values(), wrapped):
            module.__dict__["forward"] = run
        yield
    finally:
        for module, own in before:
            if own is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = own


def is_dropout(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ in ("StochasticDepth", "DropPath")


def start(model: nn.Module) -> tuple[Recording, dict[str, Tensor]]:
    """A recording with fresh labels on every dimension of every parameter and buffer."""
    recording = Recording(modules=modules_by_name(model))
    tensors = tensors_of(recording.modules)
    for name, tensor in tensors.items():
        # integer buffers are tables of positions, not values per channel
        shape = tuple(tensor.shape)
        recording.parameters[name] = (
            recording.universe.fresh_tensor(shape, Origin.PARAMETER, zero=True)
            if tensor.is_floating_point()
            else Labelled(shape)
        )
    return recording, tensors


def follow(
    model: nn.Module,
    example: tuple[Any, ...],
    recording: Recording,
    tensors: Mapping[str, Tensor],
    *,
    keep_calls: bool = False,
    hollow: bool = False,
    memory: frozenset[int] = frozenset(),
) -> Any:
    """Run the model as it stands (its mode, its buffers) and add what happens to ``recording``.

    With ``hollow``, raises NeedsValues when the network looks at numbers that were not computed. Raises Overwrites when
    it is about to write into ``memory``.
    """
    mode = LabelMode(recording, tensors, keep_calls=keep_calls, hollow=hollow, memory=memory)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_followed_modules(recording.modules, mode))
        stack.enter_context(eager_attention())
        stack.enter_context(mode)
        for value in _tensors(example):
            mode.mark(value, Labelled(tuple(value.shape), (), Origin.ACTIVATION))
        try:
            out = model(*example)
        finally:
            if mode.stopped is not None:  # it ends the run, whatever the network's own code made of it
                raise mode.stopped
    results = tensors_in(out)
    if not results:
        raise UserError(
            f"The network returns no tensor (but {type(out).__name__}), so there is nothing to compare. "
            "Wrap it so that it returns its outputs as tensors."
        )
    recording.universe.operator = "output"
    for value in results:
        recording.universe.pin(mode.look(value).planes, "it is the network's output")
    return out


@contextlib.contextmanager
def eager_attention() -> Iterator[None]:
    """The fused multi-head kernel hides its projections; the ordinary path shows them."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
