"""Walking through a network's modules and tensors, each once."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

WEAK_PROXIES = (weakref.ProxyType, weakref.CallableProxyType)


def referent(value: Any) -> Any:
    """What a weak proxy stands for, None when that is gone; everything else stands for itself."""
    if type(value) not in WEAK_PROXIES:
        return value
    try:
        return value.__init__.__self__
    except ReferenceError:
        return None


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Every module under its first name, as ``named_modules`` gives them, without its nested generators."""
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()  # modules may say themselves what equals what

    def walk(name: str, module: nn.Module) -> None:
        module = referent(module)
        if module is None or id(module) in seen:
            return
        seen.add(id(module))
        found[name] = module
        prefix = f"{name}." if name else ""
        for child, below in module._modules.items():
            if below is not None:
                walk(prefix + child, below)

    walk("", model)
    return found


def set_mode(model: nn.Module, training: bool) -> None:
    """``model.train(training)``; module by module where PyTorch cannot walk through them, because one is a proxy."""
    modules = modules_by_name(model).values()
    if any(type(child) in WEAK_PROXIES for module in modules for child in module._modules.values()):
        for module in modules:
            module.training = training
    else:
        model.train(training)


def set_mode_if_able(model: nn.Module, training: bool) -> None:
    """``model.train(training)``; an exported program stays in the one mode it was exported in."""
    with contextlib.suppress(NotImplementedError):
        model.train(training)


def switch(model: nn.Module, training: bool) -> None:
    """Into a mode throughout; by way of the other one where it is there already (:func:`turn_over`)."""
    if any(module.training is not training for module in modules_by_name(model).values()):
        set_mode(model, training)
    else:
        turn_over(model)


def turn_over(model: nn.Module) -> None:
    """Into the other mode and back, where a class has code of its own for that: what it keeps for one mode only
    (tables, folded weights) is made anew.

    Every module ends in the mode it was in. The network's own code runs, and may change its tensors.
    """
    if not turns_in_its_own_way(model):
        return
    modules = modules_by_name(model).values()
    modes = [(module, module.training) for module in modules]
    training = model.training
    try:
        set_mode(model, not training)
        set_mode(model, training)
    except NotImplementedError:  # exported programs do not switch
        return
    finally:
        for module, mode in modes:
            if module.training is not mode:
                module.training = mode


def turns_in_its_own_way(model: nn.Module) -> bool:
    """Whether a class of the network has code of its own for the change between training and evaluation."""
    modules = modules_by_name(model).values()
    return any(type(module).train is not nn.Module.train or "train" in module.__dict__ for module in modules)


def renew(model: nn.Module) -> None:
    """What a copy of our own keeps for its mode is made anew from its tensors; its parameters stay to the bit."""
    if not turns_in_its_own_way(model):
        return
    parameters = [(t, t.detach().clone()) for t in named_tensors(model).values() if isinstance(t, nn.Parameter)]
    turn_over(model)
    with torch.no_grad():
        for parameter, before in parameters:
            if not torch.equal(parameter, before):  # folded out and in again, and rounded
                parameter.copy_(before)


def write(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put numbers that it has in evaluation into a copy of our own, whatever its mode, which stays.

    What it keeps for its mode, or folds into its weights, is made anew of them.
    """
    modes = [(module, module.training) for module in modules_by_name(model).values()]
    training, peculiar = model.training, turns_in_its_own_way(model)
    if peculiar:
        switch(model, False)
    with torch.no_grad():
        for name, tensor in named_tensors(model).items():
            if name in tensors:
                tensor.copy_(tensors[name])
    if peculiar:
        set_mode(model, True) if training else renew(model)
        for module, mode in modes:
            if module.training is not mode:
                module.training = mode


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
