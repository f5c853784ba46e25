"""Copies of a model that share, or exchange, some of its tensors."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph.modules import modules_by_name


def copied(model: nn.Module, exchanged: Mapping[int, Tensor]) -> nn.Module:
    """A deep copy in which the tensors with these identities are replaced, wherever the model refers to them."""
    memo: dict[int, Any] = {**_simple_parts(model), **exchanged}
    return copy.deepcopy(model, memo)


def _simple_parts(model: nn.Module) -> dict[int, Any]:
    """Copies of what ``deepcopy`` is slow at, by identity: a module's many empty containers, and ordinary buffers."""
    modules = modules_by_name(model).values()
    attributes = {id(v): v for m in modules for v in m.__dict__.values()}
    buffers = {id(t): t for m in modules for t in m._buffers.values() if t is not None}
    loose = [v for i, v in attributes.items() if isinstance(v, Tensor) and i not in buffers]
    memory = Counter(_memory(t) for t in [*buffers.values(), *loose])  # what is shared must stay shared
    return {
        **{i: type(v)() for i, v in attributes.items() if type(v) in CONTAINERS and not v},
        **{i: t.detach().clone() for i, t in buffers.items() if _is_ordinary(t) and memory[_memory(t)] == 1},
    }


CONTAINERS = (dict, list, set, OrderedDict)


def _is_ordinary(value: Tensor) -> bool:
    return (
        type(value) is Tensor
        and value.layout is torch.strided
        and not value.requires_grad
        and not vars(value)
        and value.is_contiguous()
    )


def _memory(value: Tensor) -> int:
    plain = type(value) is Tensor and value.layout is torch.strided
    return value.untyped_storage().data_ptr() if plain else id(value)


def shadow(model: nn.Module) -> nn.Module:
    """Modules and buffers of its own, the parameters of the original: to be run, not to be changed."""
    return copied(model, {id(p): p for p in model.parameters()})
