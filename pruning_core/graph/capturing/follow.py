"""Running a network once, with its labels followed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pruning_core.errors import UserError
from pruning_core.graph.capturing.functions import Functions
from pruning_core.graph.capturing.known_layers import KnownLayers, is_known
from pruning_core.graph.capturing.label_mode import LabelMode
from pruning_core.graph.capturing.passage import Passage
from pruning_core.graph.capturing.record import Recording
from pruning_core.graph.labelling.labels import Labelled, Origin
from pruning_core.graph.modules import tensors_in


def follow(
    model: nn.Module,
    example: tuple[Any, ...],
    recording: Recording,
    tensors: Mapping[str, Tensor],
    *,
    keep_calls: bool = False,
    hollow: bool = False,
    memory: frozenset[int] = frozenset(),
    training: bool = False,
    layers: KnownLayers | None = None,
) -> Any:
    """Run the model as it stands (its mode, its buffers) and add what happens to ``recording``.

    With ``hollow``, raises NeedsValues when the network looks at numbers that were not computed. Raises Overwrites when
    it is about to write into ``memory``. ``layers`` is filled by a hollow run, and spares one in training.
    """
    mode = LabelMode(recording, tensors, keep_calls=keep_calls, hollow=hollow, memory=memory, training=training)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_followed_modules(recording.modules, mode, layers if hollow else None))
        stack.enter_context(eager_attention())
        stack.enter_context(mode)
        stack.enter_context(Functions(mode))
        for value in tree_leaves(example):
            if isinstance(value, Tensor):
                mode.mark(value, Labelled(tuple(value.shape), (), Origin.ACTIVATION), True)
        if recording.throws:
            recording.throws.begin()
        try:
            out = model(*example)
            if recording.throws:
                recording.throws.enter(len(recording.trail))
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


@contextlib.contextmanager
def _followed_modules(modules: Mapping[str, nn.Module], mode: LabelMode, layers: KnownLayers | None) -> Iterator[None]:
    """Keeps the stack of running modules, so that costs have an owner, and notes what leaves read and wrote.

    Every ``forward`` is replaced on its module for as long as this lasts; hooks would do the same, more slowly.
    """

    def followed(name: str, module: nn.Module) -> Callable[..., Any]:
        forward, leaf = module.forward, not any(module._modules.values())
        known = layers if layers is not None and is_known(module) else None

        def run(*args: Any, **kwargs: Any) -> Any:
            given = None
            if known is not None:
                if mode.training:
                    repeated = known.repeat(name, args, kwargs, mode.carried)
                    if repeated is not None:
                        return repeated
                else:
                    given = known.given(name, args, kwargs, mode.carried)
            mode.stack.append(name)
            try:
                out = forward(*args, **kwargs)
            finally:
                mode.stack.pop()
            if mode.keep_calls and args and out is args[0] and isinstance(out, Tensor) and is_dropout(module):
                out = out.view_as(out)  # an identity of its own, so that the program can name the module
                call = mode.recording.calls[-1]
                mode.recording.calls[-1] = replace(call, name=f"module:{name}")
            if leaf and not mode.training and name not in mode.passed:
                tensors, results = tensors_in(args), tensors_in(out)
                if tensors and results:
                    mode.passed.add(name)
                    mode.recording.passages.append(
                        Passage(name, type(module).__name__, mode.peek(tensors[0]), mode.peek(results[0]))
                    )
            if known is not None and given is not None:
                known.note(name, given, args, kwargs, out, mode.carried)
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
