"""Running a network once and following its labels, operator by operator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruning_core.graph.contract import Ledger
from pruning_core.graph.labels import Labelled, Origin, Universe
from pruning_core.graph.rules import Call, rule_for


@dataclass(frozen=True)
class Passage:
    """What one leaf module read and wrote, the first time it ran."""

    module: str
    kind: str
    read: Labelled
    wrote: Labelled


@dataclass
class Recording:
    """The labels of one or more forward passes of the same network."""

    universe: Universe = field(default_factory=Universe)
    ledger: Ledger = field(default_factory=Ledger)
    parameters: dict[str, Labelled] = field(default_factory=dict)  # parameters and buffers by first name
    used: dict[str, int] = field(default_factory=dict)  # name -> position of its first use
    passages: list[Passage] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)  # only when kept for a program
    operators: int = 0


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers under the first name of each; shared ones appear once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


class LabelMode(TorchDispatchMode):
    """Propagates labels beside the real computation.

    Labels of intermediate tensors live on the tensors, so memory is freed as the network runs; parameters are looked
    up by identity, so nothing is left behind on the caller's model.
    """

    def __init__(self, recording: Recording, tensors: Mapping[str, Tensor], keep_calls: bool = False) -> None:
        super().__init__()
        self.recording, self.keep_calls = recording, keep_calls
        self.names = {id(t): name for name, t in tensors.items()}
        self.stack: list[str] = []

    def look(self, value: Any) -> Labelled:
        name = self.names.get(id(value))
        if name is not None:
            self.recording.used.setdefault(name, self.recording.operators)
            return self.recording.parameters[name]
        labels = getattr(value, "_unit_labels", None)
        return labels if labels is not None else Labelled(tuple(value.shape))

    def mark(self, value: Any, labels: Labelled) -> None:
        if isinstance(value, Tensor) and id(value) not in self.names:
            value._unit_labels = labels  # type: ignore[attr-defined]  # an attribute of ours on the tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._schema.name.split("::")[-1]
        recording = self.recording
        recording.operators += 1
        universe, ledger = recording.universe, recording.ledger
        universe.operator, ledger.owner = name, self.stack[-1] if self.stack else ""
        rule = rule_for(func, name)
        call = Call(func, name, tuple(args), dict(kwargs), out, self.look, universe, ledger)
        result = rule(call)
        if func is torch.ops.aten.copy_.default:
            result = Labelled(result.shape, result.planes, self.look(args[1]).origin)
        if self.keep_calls:
            recording.calls.append(call)
        if isinstance(out, Tensor):
            self.mark(out, result if isinstance(result, Labelled) else result[0])
        elif isinstance(out, tuple | list):
            results = result if isinstance(result, list) else [result]
            for value, labels in zip(out, results):
                self.mark(value, labels)
        return out


@contextlib.contextmanager
def _module_hooks(model: nn.Module, mode: LabelMode) -> Iterator[None]:
    """Keeps the stack of running modules, so that costs have an owner, and notes what leaves read and wrote."""
    names = {m: name for name, m in model.named_modules()}
    leaves = {m for m in names if not list(m.children())}
    seen: set[str] = set()

    def enter(module: nn.Module, args: Any) -> None:
        mode.stack.append(names[module])

    def leave(module: nn.Module, args: Any, out: Any) -> Any:
        mode.stack.pop()
        name = names[module]
        if mode.keep_calls and args and out is args[0] and isinstance(out, Tensor) and _is_dropout(module):
            out = out.view_as(out)  # an identity of its own, so that the program can name the module
            call = mode.recording.calls[-1]
            mode.recording.calls[-1] = replace(call, name=f"module:{name}")
        tensors = [t for t in tree_leaves(args) if isinstance(t, Tensor)]
        results = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        if module in leaves and name not in seen and tensors and results:
            seen.add(name)
            mode.recording.passages.append(
                Passage(name, type(module).__name__, mode.look(tensors[0]), mode.look(results[0])))
        return out

    handles = []
    try:
        for module in names:
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_dropout(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ in ("StochasticDepth", "DropPath")


def start(model: nn.Module) -> tuple[Recording, dict[str, Tensor]]:
    """A recording with fresh labels on every dimension of every parameter and buffer."""
    recording = Recording()
    tensors = named_tensors(model)
    for name, tensor in tensors.items():
        # integer buffers are tables of positions, not values per channel
        shape = tuple(tensor.shape)
        recording.parameters[name] = (recording.universe.fresh_tensor(shape, Origin.PARAMETER)
                                      if tensor.is_floating_point() else Labelled(shape))
    return recording, tensors


def follow(model: nn.Module, example: tuple[Any, ...], recording: Recording, tensors: Mapping[str, Tensor],
           *, keep_calls: bool = False) -> Any:
    """Run the model as it stands (its mode, its buffers) and add what happens to ``recording``."""
    mode = LabelMode(recording, tensors, keep_calls)
    inputs = [t for t in tree_leaves(example) if isinstance(t, Tensor)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_module_hooks(model, mode))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_eager_attention())
        stack.enter_context(mode)
        for value in inputs:
            mode.mark(value, Labelled(tuple(value.shape), (), Origin.ACTIVATION))
        out = model(*example)
    recording.universe.operator = "output"
    for value in tree_leaves(out):
        if isinstance(value, Tensor):
            recording.universe.pin(mode.look(value).planes, "it is the network's output")
    return out


@contextlib.contextmanager
def _eager_attention() -> Iterator[None]:
    """The fused multi-head kernel hides its projections; the ordinary path shows them."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
