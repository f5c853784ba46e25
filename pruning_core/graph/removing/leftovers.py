"""What a cut network's modules still keep at an old size: code that did not run while capturing may trip over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from pruning_core.errors import clip
from pruning_core.graph.modules import modules_by_name
from pruning_core.graph.removing.surgery import Kept

SHOWN = 5
EVERY = frozenset(nn.Module().__dict__)  # attributes that every module has


def left_behind(cut: nn.Module, shapes: Mapping[str, tuple[int, ...]], kept: Kept) -> str:
    """A sentence that lists them, or "". ``shapes`` are those of the original's tensors, by name."""
    found = [
        entry
        for name, module in modules_by_name(cut).items()
        if not type(module).__module__.startswith(("torch.nn.", "torch.fx."))  # a graph has no code but what ran
        for entry in _of(module, f"{name}." if name else "", _old_widths(name, shapes, kept))
    ]
    if not found:
        return ""
    listed = ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
    return (
        f"Left as they are, although they equal a width that has shrunk: {listed}. "
        "Code of the network that did not run here may need them at the new size."
    )


def _old_widths(module: str, shapes: Mapping[str, tuple[int, ...]], kept: Kept) -> set[int]:
    """Of the dimensions that shrank in what a module consists of."""
    inside = f"{module}." if module else ""
    return {shapes[name][dim] for name, dims in kept.items() if name.startswith(inside) for dim in dims}


def _of(module: nn.Module, prefix: str, old: set[int]) -> Iterator[str]:
    for key, value in module.__dict__.items() if old else ():
        if key in EVERY:
            continue
        if type(value) is int and value in old:
            yield clip(f"{prefix}{key} = {value}")
        for where, tensor in _loose(value):
            if old.intersection(tensor.shape):
                yield clip(f"the tensor {prefix}{key}{where} ({' × '.join(map(str, tensor.shape))})")


def _loose(value: Any) -> Iterator[tuple[str, Tensor]]:
    """Tensors that are an attribute, or lie in a plain container that is one."""
    if isinstance(value, Tensor):
        yield "", value
    elif type(value) is dict:
        yield from ((f"[{key!r}]", v) for key, v in value.items() if isinstance(v, Tensor))
    elif type(value) in (list, tuple):
        yield from ((f"[{i}]", v) for i, v in enumerate(value) if isinstance(v, Tensor))
