"""Walking through a network's modules and tensors, each once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Every module under its first name, as ``named_modules`` gives them, without its nested generators."""
    found: dict[str, nn.Module] = {}
    seen: set[nn.Module] = set()

    def walk(name: str, module: nn.Module) -> None:
        if module in seen:
            return
        seen.add(module)
        found[name] = module
        prefix = f"{name}." if name else ""
        for child, below in module._modules.items():
            if below is not None:
                walk(prefix + child, below)

    walk("", model)
    return found


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers under the first name of each; shared ones appear once."""
    return tensors_of(modules_by_name(model))


def tensors_of(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Those of modules that were walked through already."""
    held = [(f"{name}." if name else "", module) for name, module in modules.items()]
    every = [
        (prefix + leaf, tensor)
        for kind in ("_parameters", "_buffers")
        for prefix, module in held
        for leaf, tensor in getattr(module, kind).items()
        if tensor is not None
    ]
    first: dict[int, str] = {}
    return {name: tensor for name, tensor in every if first.setdefault(id(tensor), name) == name}


def tensors_in(value: Any, seen: frozenset[int] = frozenset()) -> list[Tensor]:
    """Tensors inside whatever a network returns: containers, and objects with fields."""
    if isinstance(value, Tensor):
        return [value]
    if type(value) is tuple and len(value) == 1 and isinstance(value[0], Tensor):  # what most layers are given
        return [value[0]]
    found = []
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif not isinstance(leaf, type | nn.Module) and not callable(leaf) and id(leaf) not in seen:
            held = list(leaf.values()) if isinstance(leaf, Mapping) else list(getattr(leaf, "__dict__", {}).values())
            found += tensors_in(held, seen | {id(leaf)})
    return found
